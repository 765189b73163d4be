"""Where two replies part, and whether rounding explains it.

The text up to there is evaluated again from an empty cache, without any drafting: token by token,
and in batches of several widths. What the logits of the likeliest tokens differ by between these is
the rounding of this backend at this very token. The choice between two tokens is a *near-tie* if
rounding alone changes it: if those evaluations lead to both choices, if the winner was ahead by no
more than rounding can move both, or if rounding can move the winner out of the candidates. Anything
larger is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gemma_mtp.api import Sampling
from gemma_mtp.decoding.rows import Row
from gemma_mtp.decoding.sampler import Sampler, filtered, gumbel, top_ids


@dataclass(frozen=True)
class Difference:
    """The first token that differs between a plain reply and one with drafts.

    `token` is its index in the reply. `gap` is how far the two choices lay apart, in logits over
    temperature with the noise added; infinite where one reply ended there. `rounding` is the
    largest difference between the evaluations without drafting, among the likeliest tokens, in the
    same unit. `repeated`: these evaluations alone lead to both choices. `edge`: rounding decides
    whether the winner is a candidate at all. `possible`: the loser can be a candidate.
    """

    token: int
    gap: float
    rounding: float
    repeated: bool
    edge: bool = False
    possible: bool = True

    @property
    def near_tie(self) -> bool:
        close = self.edge or self.gap <= 2 * self.rounding
        return self.repeated or (self.possible and close)


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Index of the first id that differs, or that only one reply has; None for equal replies."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return None if len(one) == len(other) else min(len(one), len(other))


def judge(
    rows: Sequence[Row],
    sampling: Sampling,
    seed: int,
    position: int,
    token: int,
    plain: int,
    other: int,
) -> Difference:
    """What lies behind two different choices, `plain` and `other`, of token `token` of a reply.

    `rows` are the logits for `position` by each way of evaluating, the plain way first.
    """
    sampler = Sampler(sampling, seed)
    choices = [sampler.sample(row.copy(), position) for row in rows]
    scale = sampling.temperature if sampling.temperature > 0 else 1.0
    moved = _rounding(rows, sampling.top_k, (plain, other))
    ahead = _ahead(rows[0], sampling, seed, position, plain, other)
    leader = plain if ahead > 0 else other
    return Difference(
        token,
        abs(ahead),
        moved / scale,
        repeated=choices[0] == plain and other in choices[1:],
        edge=_surely(rows[0], sampling, leader, moved) != _maybe(rows[0], sampling, leader, moved),
        possible=_maybe(rows[0], sampling, other, moved),
    )


def _rounding(rows: Sequence[Row], top_k: int, choices: tuple[int, int]) -> float:
    """The largest difference from the first row, in logits, among the `top_k` tokens of any row.

    Less likely tokens are never chosen, and their logits are rounded more coarsely.
    """
    ids = np.unique(np.concatenate([np.array(choices), *(top_ids(row, top_k) for row in rows)]))
    return max(float(np.abs(row[ids] - rows[0][ids]).max()) for row in rows)


def _ahead(row: Row, sampling: Sampling, seed: int, position: int, plain: int, other: int) -> float:
    """By how much `plain` is ahead of `other`, taking both as candidates."""
    ids = np.array([plain, other])
    scores = row[ids].astype(np.float64)
    if sampling.temperature > 0:
        scores = scores / sampling.temperature + gumbel(seed, position, ids)
    return float(scores[0] - scores[1])


def _maybe(row: Row, sampling: Sampling, token: int, moved: float) -> bool:
    """Whether it is a candidate if all rounding is for it."""
    return _is_candidate(row, sampling, token, 2 * moved)


def _surely(row: Row, sampling: Sampling, token: int, moved: float) -> bool:
    """Whether it is a candidate even if all rounding is against it."""
    return _is_candidate(row, sampling, token, -2 * moved)


def _is_candidate(row: Row, sampling: Sampling, token: int, gain: float) -> bool:
    """Whether top-k, top-p and min-p would keep this token if its logit were larger by `gain`.

    For top-p that is the same as if all others were smaller: it then reaches further.
    """
    if sampling.temperature <= 0:
        return True  # nothing is filtered at temperature 0
    shifted = row.copy()
    shifted[token] += gain
    reach = sampling.top_p
    if reach < 1.0:
        odds = reach / (1 - reach) * np.exp(gain / sampling.temperature)
        reach = float(odds / (1 + odds))
    ids, _ = filtered(shifted, replace(sampling, top_p=reach))
    return token in ids
