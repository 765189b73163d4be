"""Choose drafts: with the target's own noise, at a temperature that is learned.

With shared noise a draft is accepted nearly as often as any scheme allows [1], provided that the
drafter's distribution is as sharp as the target's. Drafters are not; how much a given one has to
be sharpened is learned by asking, for every draft that was judged, what each factor would have
proposed at that place: nothing has to be tried out. One factor for all drafts does as well as one
for each level of confidence. Knows only NumPy and the sampling rule.

[1] M. Daliri, C. Musco, A. Suresh, arXiv 2408.07978.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemma_mtp.api import DECIDED
from gemma_mtp.decoding.rows import Ids, Row, Shortlist
from gemma_mtp.decoding.sampler import Sampler, best_first, gumbel, kept
from gemma_mtp.errors import BadPair

# Factors of the request's temperature; 0 drafts the drafter's top token.
FACTORS = (0.0, 0.35, 0.7, 1.0)
# Shares of drafts that each factor is taken to have got right before any was judged, and the number
# of drafts that this weighs as much as.
FIRST_GUESS, GUESS_WEIGHT = (0.97, 0.995, 0.985, 0.95), 8
MEMORY = 0.999  # weight that what was known keeps with each draft
# Drafts of which all are judged; after them, those of one round in so many.
ALL_JUDGED, JUDGE_INTERVAL = 256, 4
GREEDY_CANDIDATES = 16  # tokens that confidence is reckoned among at temperature 0
CANDIDATES = 64  # and above it, where top-k sets no bound: a draft need not weigh all tokens


class DraftTemperature:
    """The factor that would have got most drafts right so far."""

    def __init__(self) -> None:
        self._right = np.array(FIRST_GUESS) * GUESS_WEIGHT
        self.judged = 0

    @property
    def factor(self) -> float:
        """What to multiply the temperature by for drafting."""
        return FACTORS[int(self._right.argmax())]

    def record(self, right: Sequence[bool]) -> None:
        """Whether each factor would have proposed what the target chose."""
        self._right *= MEMORY
        self._right += right
        self.judged += 1


@dataclass(frozen=True)
class _Candidates:
    """Best first: ids, logits / temperature, and the noise at this position."""

    ids: Ids
    scores: NDArray[np.float64]
    noise: NDArray[np.float64]


class Proposer:
    """`propose` draft after draft, `judge` them at the end of the round."""

    def __init__(self, sampler: Sampler, temperature: DraftTemperature) -> None:
        self.sampler, self.temperature = sampler, temperature
        self._round: list[_Candidates] = []
        self._rounds = 0

    @property
    def depth(self) -> int:
        """Among how many of a row's likeliest tokens it chooses."""
        sampling = self.sampler.sampling
        return GREEDY_CANDIDATES if sampling.temperature <= 0 else sampling.top_k or CANDIDATES

    @property
    def takes_shortlists(self) -> bool:
        """Whether it needs no more than a shortlist of a row."""
        return not self.sampler.reads_all and self.depth <= DECIDED

    def propose(
        self, row: Row | Shortlist, position: int, recent: Sequence[int] = ()
    ) -> tuple[int, float]:
        """The draft for `position`, and how sure the drafter is of it, from 0 to 1.

        That is its probability among the candidates, at temperature 1 whatever the request's is:
        it tells right drafts from wrong ones best, and one calibration serves all requests.
        Raises BadPair for a row without usable numbers.
        """
        sampling = self.sampler.sampling
        allowed: Ids | None = None
        if isinstance(row, np.ndarray):
            self.sampler.penalize(row, recent)
            row, allowed = self.sampler.restrict(row, recent)
        if sampling.temperature <= 0:
            ids, scores = _best(row, self.depth, 1.0)
            return int(ids[0] if allowed is None else allowed[ids[0]]), _probability(scores, 0)
        ids, scores = _best(row, self.depth, sampling.temperature)
        ids = ids if allowed is None else allowed[ids]
        found = _Candidates(ids, scores, gumbel(self.sampler.seed, position, ids))
        self._round.append(found)
        chosen = self._choice(found, self.temperature.factor)
        return int(ids[chosen]), _probability(scores * sampling.temperature, chosen)

    def _choice(self, found: _Candidates, factor: float) -> int:
        """Which candidate this factor proposes."""
        if factor == 0:
            return 0
        scores = found.scores / factor
        n = kept(scores, self.sampler.sampling)
        return int((scores[:n] + found.noise[:n]).argmax())

    def judge(self, tokens: Sequence[int]) -> None:
        """`tokens` are what the target chose where this round's drafts stood, as far as known."""
        self._rounds += 1
        if self.temperature.judged < ALL_JUDGED or self._rounds % JUDGE_INTERVAL == 0:
            for found, token in zip(self._round, tokens, strict=False):
                choices = (found.ids[self._choice(found, factor)] for factor in FACTORS)
                self.temperature.record([choice == token for choice in choices])
        self._round.clear()


def _best(row: Row | Shortlist, k: int, temperature: float) -> tuple[Ids, NDArray[np.float64]]:
    """`best_first` of a row of the drafter's, which is the one to blame if there is nothing."""
    try:
        return best_first(row, k, temperature)
    except BadPair as error:
        raise BadPair("The drafter computed no usable numbers.", error.hint) from error


def _probability(logits: NDArray[np.float64], chosen: int) -> float:
    return float(1 / np.exp(logits - logits[chosen]).sum())
