"""Arrays that all of decoding speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]
"""[vocabulary] logits of one output, or [width] of a hidden state; several have one axis more."""

Ids = NDArray[np.int64]
"""Token ids."""


class Shortlist(Protocol):
    """The likeliest tokens of a row, in place of all of it: `ids` [n] and their `logits` [n], the
    largest first, the smaller id before a tie. The first `sure` of them are those that come first
    in the row; of tokens that tie with the last one, some may be missing."""

    @property
    def ids(self) -> Ids: ...
    @property
    def logits(self) -> Row: ...
    @property
    def sure(self) -> int: ...

    def whole(self) -> Row:
        """The row itself, evaluated again; only until something else is evaluated."""
        ...


Rows: TypeAlias = Row | Sequence[Shortlist]
"""[outputs, vocabulary] logits, or a shortlist for each output."""


def likeliest(row: Row | Shortlist) -> tuple[int, float]:
    """The id of the largest entry, the smaller one of a tie, and its logit."""
    if not isinstance(row, np.ndarray):
        return int(row.ids[0]), float(row.logits[0])
    best = int(row.argmax())
    return best, float(row[best])
