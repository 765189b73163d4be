"""Choose a token from a row of logits, by a rule that makes speculation invisible.

Every token is drawn by the Gumbel-max rule [1]: argmax over the filtered candidates of
log p(id) + g, where the noise g is a pure function of (seed, position, id). Nothing has to be
rolled back when drafts are rejected, and the text depends on the target's logits and the seed
alone. The drafter proposes with the same noise, so that it tends to fall for the same token;
coupling two distributions this way needs no communication between them [2]. Knows only NumPy.

[1] E. J. Gumbel, Statistical Theory of Extreme Values and Some Practical Applications, 1954.
[2] M. Daliri, C. Musco, A. Suresh, Coupling without communication and drafter-invariant
    speculative decoding, arXiv 2408.07978.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gemma_mtp.api import DECIDED, Sampling
from gemma_mtp.decoding.constraint import Constraint
from gemma_mtp.decoding.rows import Ids, Row, Shortlist, likeliest
from gemma_mtp.errors import BadPair

# Tokens that are sorted at first to find how many top-p leaves; then as many times more.
FIRST_SORTED = 16
# Entries from which on a row is searched, laid out in so many parts; the largest of each column of
# these are searched in the same way, in so many groups.
LARGE_ROW, PARTS, GROUPS = 8192, 64, 16
_MASK = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB


class Sampler:
    """`sample(row, position, recent)` picks the token for `position` (0-based, in the context)."""

    def __init__(
        self,
        sampling: Sampling,
        seed: int,
        softcap: float = 0.0,
        constraint: Constraint | None = None,
    ) -> None:
        """`softcap`: the target's rows come without the model's cap on logits, which the candidates
        get here. A drafter has none (llama.cpp, src/models/gemma4-assistant.cpp)."""
        self.sampling, self.seed, self.softcap = sampling, seed, softcap
        self.constraint = constraint

    @property
    def reads_all(self) -> bool:
        """Whether what comes before in the text decides which tokens of a row are the likeliest."""
        return self.constraint is not None or self._penalizes

    @property
    def depth(self) -> int:
        """Of how many of a row's likeliest tokens it takes one; 0 for all of them."""
        if self.reads_all:
            return 0
        return 1 if self.sampling.temperature <= 0 else max(self.sampling.top_k, 0)

    @property
    def takes_shortlists(self) -> bool:
        """Whether a shortlist tells it what the whole row does, unless its end is full of ties."""
        return 0 < self.depth <= DECIDED

    def sample(self, row: Row | Shortlist, position: int, recent: Sequence[int] = ()) -> int:
        """The token for `position`. `recent` are the ids before it, newest last; with a constraint
        all of them. For a shortlist it is the same token as for the row, which is asked for where
        the shortlist does not tell.

        With a repeat penalty, or a constraint, the row's entries are changed in place.
        """
        allowed: Ids | None = None
        if isinstance(row, np.ndarray) or not 0 < self.depth <= row.sure:
            row, allowed = self._left(row if isinstance(row, np.ndarray) else row.whole(), recent)
        if self.sampling.temperature <= 0:
            best, logit = likeliest(row)
            if not np.isfinite(logit):
                raise _no_numbers()
            return best if allowed is None else int(allowed[best])
        ids, scores = filtered(row, self.sampling, self.candidate_cap)
        if allowed is not None:
            ids = allowed[ids]
        if len(ids) == 1:
            return int(ids[0])
        return int(ids[(scores + gumbel(self.seed, position, ids)).argmax()])

    def _left(self, row: Row, recent: Sequence[int]) -> tuple[Row, Ids | None]:
        """The row with its repeat penalty, and what the constraint leaves of it."""
        if self.softcap and self._penalizes:
            row[:] = capped(row, self.softcap)  # the penalty is on what the model says in the end
        self.penalize(row, recent)
        return self.restrict(row, recent)

    def restrict(self, row: Row, ids: Sequence[int]) -> tuple[Row, Ids | None]:
        """What the constraint, if there is one, leaves of the row after the transcript's `ids`: the
        logits, and the ids they belong to unless that is the whole row."""
        if self.constraint is None:
            return row, None
        return self.constraint.restrict(row, ids, self.sampling.top_k <= 0)

    @property
    def _penalizes(self) -> bool:
        return self.sampling.repeat_penalty != 1.0 and self.sampling.repeat_last_n > 0

    @property
    def candidate_cap(self) -> float:
        """The cap that candidates still need: none where the whole row was capped."""
        return 0.0 if self._penalizes else self.softcap

    def penalize(self, row: Row, recent: Sequence[int]) -> None:
        """Apply the repeat penalty, if there is one, to the row itself."""
        s = self.sampling
        if self._penalizes:
            _penalize(row, recent[-s.repeat_last_n :], s.repeat_penalty)


def capped(row: Row, softcap: float) -> Row:
    """A copy of the row with every logit x as softcap * tanh(x / softcap), or as it is for 0."""
    return softcap * np.tanh(row / softcap) if softcap else row.copy()


def filtered(
    row: Row | Shortlist, sampling: Sampling, softcap: float = 0.0
) -> tuple[Ids, NDArray[np.float64]]:
    """Candidates left by top-k, temperature, top-p and min-p, in this order.

    Returns ids and logits / temperature, best first, ids breaking ties: log-probabilities up to a
    constant, which is all that Gumbel-max needs.
    """
    if sampling.top_k <= 0 and isinstance(row, np.ndarray):
        return best_first(row, _left_of_all(row, sampling, softcap), sampling.temperature, softcap)
    ids, scores = best_first(row, sampling.top_k, sampling.temperature, softcap)
    n = kept(scores, sampling)
    return ids[:n], scores[:n]


def _left_of_all(row: Row, sampling: Sampling, softcap: float) -> int:
    """How many tokens top-p and min-p leave where all are candidates; few of them are sorted."""
    scores = capped(row, softcap) / sampling.temperature
    weights = np.exp(scores - scores.max())
    n = len(row)
    if sampling.min_p > 0.0:
        n = int((weights >= sampling.min_p).sum())
    if sampling.top_p < 1.0:
        mass, some = sampling.top_p * weights.sum(dtype=np.float64), FIRST_SORTED
        while True:
            sums = weights[top_ids(row, some)].cumsum(dtype=np.float64)
            if some >= n or sums[-1] >= mass:
                break
            some = some * FIRST_SORTED if some < LARGE_ROW else n
        n = min(n, int(sums.searchsorted(mass)) + 1)
    return max(n, 1)


def best_first(
    row: Row | Shortlist, k: int, temperature: float, softcap: float = 0.0
) -> tuple[Ids, NDArray[np.float64]]:
    """The k likeliest ids (all for k <= 0) and their logits / temperature, in `top_ids` order.

    With `softcap` the logits are softcap * tanh(logit / softcap), which keeps their order.
    """
    if isinstance(row, np.ndarray):
        ids = top_ids(row, k)
        logits = row[ids]
    else:
        ids, logits = row.ids[:k], row.logits[:k]
    if len(ids) == 0 or not np.isfinite(logits[0]):
        raise _no_numbers()
    scores = logits.astype(np.float64)
    if scores[-1] == -np.inf:  # not allowed
        ids, scores = ids[scores > -np.inf], scores[scores > -np.inf]
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    scores /= temperature
    return ids, scores


def kept(scores: NDArray[np.float64], sampling: Sampling) -> int:
    """How many of the candidates top-p and min-p leave; `scores` are sorted, largest first."""
    n = len(scores)
    if sampling.top_p < 1.0 or sampling.min_p > 0.0:
        weights = np.exp(scores - scores[0])
        if sampling.top_p < 1.0:
            mass = weights.cumsum()
            # The candidate that crosses top_p is still in.
            n = int(mass.searchsorted(sampling.top_p * mass[-1])) + 1
        if sampling.min_p > 0.0:
            n = max(min(n, int((weights >= sampling.min_p).sum())), 1)
    return n


def top_ids(row: Row, k: int) -> Ids:
    """Ids of the k largest entries (all for k <= 0), largest first, the smaller id before a tie.

    A large vocabulary is not searched whole. Laid out in a few long rows, its column maxima are
    quickly found; the k-th largest of them bounds the k-th largest entry from below, and what
    reaches the bound lies in columns whose maximum does.
    """
    n = len(row)
    if k <= 0 or k >= n:
        return np.argsort(-row, kind="stable")
    if n < LARGE_ROW or n % (PARTS * GROUPS) or k > n // (PARTS * GROUPS):
        ids = _largest(row, k)
        return ids[np.argsort(-row[ids], kind="stable")]
    maxima = _column_maxima(row, PARTS)
    least = _kth_largest(_column_maxima(maxima, GROUPS), k)
    columns = np.flatnonzero(~(maxima < least))  # what is no number stays, and goes by the bound
    bound = _kth_largest(maxima[columns], k)
    columns = columns[maxima[columns] >= bound]
    places = (np.arange(0, n, len(maxima))[:, None] + columns).ravel()
    found: Ids = places[row[places] >= bound]
    return found[np.argsort(-row[found], kind="stable")][:k]


def _column_maxima(row: Row, parts: int) -> Row:
    maxima: Row = np.maximum.reduce(row.reshape(parts, -1), axis=0)
    return maxima


def _kth_largest(values: Row, k: int) -> np.float32:
    value: np.float32 = np.partition(values, len(values) - k)[len(values) - k]
    return value


def _largest(values: Row, k: int) -> Ids:
    """Places of the k largest values, in ascending order; among equals at the edge the first."""
    edge = _kth_largest(values, k)
    places = np.flatnonzero(values >= edge)
    if len(places) > k:
        at_edge = np.flatnonzero(values[places] == edge)
        places = np.delete(places, at_edge[k - len(places) :])
    return places


def gumbel(seed: int, position: int, ids: Ids) -> NDArray[np.float64]:
    """Standard Gumbel noise for each id, from a splitmix64 hash of (seed, position, id)."""
    key = _mix((_mix(seed) + _GOLDEN * (position + 1)) & _MASK)
    x = ids.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(key)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_MIX_1)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_MIX_2)
    x ^= x >> np.uint64(31)
    uniform = ((x >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return -np.log(-np.log(uniform))


def uniform(seed: int, position: int) -> float:
    """From 0 to 1, a hash of (seed, position)."""
    return (_mix(_mix(seed) ^ position) >> 11) * 2.0**-53


def _mix(x: int) -> int:
    x = (x + _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * _MIX_1) & _MASK
    x = ((x ^ (x >> 27)) * _MIX_2) & _MASK
    return x ^ (x >> 31)


def _no_numbers() -> BadPair:
    """NaN or infinity, which damaged weights lead to."""
    return BadPair(
        "The model computed no usable numbers; its file is probably damaged.",
        "gemma-mtp show MODEL --check compares it with its hash.",
    )


def _penalize(row: Row, recent: Sequence[int], penalty: float) -> None:
    """Divide positive and multiply negative logits of recent tokens (Keskar et al., 1909.05858)."""
    if not recent:
        return
    ids = np.unique(np.asarray(recent))
    values = row[ids]
    row[ids] = np.where(values > 0, values / penalty, values * penalty)
