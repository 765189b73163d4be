"""Where two replies part, and whether rounding explains it.

Both ways are gone again from an empty cache without any drafting: row by row, and in batches. What
the logits differ by then is the rounding of this backend at this very token. The choice between
two tokens is a *near-tie* if rounding alone changes it: if the two ways repeat both choices, or if
the winner was ahead by no more than rounding can move both. Anything larger is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gemma_mtp.events import Sampling
from gemma_mtp.sampling import Row, Sampler, gumbel


@dataclass(frozen=True)
class Difference:
    """The first token that differs.

    `gap`: by how much the plain choice was ahead of the other one, in logits over temperature with
    the noise added. `rounding`: the largest difference of the rows without drafting, in the same
    unit. `repeated`: those rows alone lead to both choices.
    """

    token: int
    gap: float
    rounding: float
    repeated: bool

    @property
    def near_tie(self) -> bool:
        return self.repeated or self.gap <= 2 * self.rounding


def first_difference(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Index of the first id that differs, a missing one included; None for equal replies."""
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
    """`rows`: the logits for `position` by each way of evaluating, the plain way first; `plain`
    and `other` are the two choices, `token` where in the reply it was."""
    sampler = Sampler(sampling, seed)
    choices = [sampler.sample(row.copy(), position) for row in rows]
    scale = sampling.temperature if sampling.temperature > 0 else 1.0
    rounding = max(float(np.abs(row - rows[0]).max()) for row in rows) / scale
    gap = _score(rows[0], sampling, seed, position, plain, other)
    return Difference(token, gap, rounding, choices[0] == plain and other in choices[1:])


def _score(row: Row, sampling: Sampling, seed: int, position: int, plain: int, other: int) -> float:
    """By how much `plain` is ahead of `other`."""
    ids = np.array([plain, other])
    scores = row[ids].astype(np.float64)
    if sampling.temperature > 0:
        scores = scores / sampling.temperature + gumbel(seed, position, ids)
    return abs(float(scores[0] - scores[1]))
