"""Whether the logits of a token depend on how many tokens are evaluated with it, and how much.

Speculation evaluates several tokens at once, plain decoding one. Where kernels add up in another
order for another number of rows, the last bits differ, and with them the choice between two tokens
that are nearly tied. Knows a target by its protocol; no llama.cpp, no texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from gemma_mtp.api import MAX_WIDTH
from gemma_mtp.decoding.rows import Row

ROWS = 16  # of logits that are compared at each width
WIDTHS = (*range(2, 10), MAX_WIDTH)  # at which kernels of GPUs change are among the first ones
REFERENCE = 2  # the least width that exact mode uses while it decodes


class Target(Protocol):
    """The part of a target that evaluates and forgets."""

    def decode(self, tokens: Sequence[int], position: int, outputs: int) -> Row: ...
    def keep(self, length: int) -> None: ...
    def widest(self, position: int) -> int: ...


def probe_rows(
    target: Target, tokens: Sequence[int], position: int, max_width: int = 9
) -> dict[int, float]:
    """Largest difference of a row at each width from the same row at width 2.

    Evaluates `tokens` (ROWS + max_width of them) behind the `position` tokens that the target
    holds, in batches of each width; the target holds the same afterwards. The reference is
    evaluated twice: an entry for width 2 that is not 0 means that this backend does not repeat
    itself.
    """
    reference = _rows(target, tokens, position, REFERENCE)
    return {
        width: float(np.abs(_rows(target, tokens, position, width) - reference).max())
        for width in range(1, max_width + 1)
    }


def same_rows(target: Target, tokens: Sequence[int], position: int) -> bool:
    """Whether a row is the same bits in a batch of each of WIDTHS, behind the `position` tokens
    that the target holds, and holds afterwards. A quick look: `tokens`, as many as the widest
    batch, are evaluated once at each width."""
    before: Row | None = None
    for width in WIDTHS:
        rows = target.decode(tokens[:width], position, width)[:width].copy()
        target.keep(position)
        if before is not None and not np.array_equal(rows[: len(before)], before):
            return False
        before = rows
    return True


def smooth_start(target: Target, wanted: int, max_width: int = 9) -> int:
    """A position, at most `wanted`, from which batches of every width keep the order of the cache's
    cells, so that the width alone is compared."""
    for position in range(wanted, 0, -1):
        behind = range(position, position + ROWS + max_width)
        if all(target.widest(p) >= max_width for p in behind):
            return position
    return wanted


def row_after(target: Target, tokens: Sequence[int], position: int, width: int) -> Row:
    """A copy of the last row of `tokens`, evaluated behind `position` in batches of `width`; the
    target forgets them again."""
    done = 0
    row: Row | None = None
    while done < len(tokens):
        batch = list(tokens[done : done + min(width, target.widest(position + done))])
        real = len(batch)
        # Padding: one token is evaluated by itself only where that is the width asked for.
        batch += [batch[-1]] * (min(width, REFERENCE) - real)
        rows = target.decode(batch, position + done, len(batch))
        row = rows[real - 1].copy()
        done += real
        target.keep(position + done)
    target.keep(position)
    assert row is not None
    return row


def _rows(target: Target, tokens: Sequence[int], position: int, width: int) -> Row:
    """A copy of ROWS rows, evaluated in batches of `width`."""
    found: list[Row] = []
    for done in range(0, ROWS, width):
        rows = target.decode(tokens[done : done + width], position + done, width)
        found.append(rows[:width].copy())
    target.keep(position)
    return np.concatenate(found)[:ROWS]
