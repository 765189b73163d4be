"""Where llama.cpp puts tokens in the cache of the sliding-window layers, so far as it matters.

That cache is a ring smaller than the context. Attention adds up its cells in their order, so two
runs give the same bits only if each position lies in the same cell. Left alone, position p lies in
cell p modulo the ring's size. But when rejected tokens are removed from both sides of the ring's
end, llama.cpp goes on at its lowest free cell and leaves a hole: the order then depends on what
was drafted. Batches that cannot do this are `widest`. Knows only numbers.
"""

from __future__ import annotations


class Ring:
    """`size` cells; `in_order` while position p lies in cell p modulo size."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.length = 0
        self.in_order = True

    def add(self, end: int) -> None:
        """Positions up to `end` (exclusive) have been evaluated."""
        self.length = end

    def cut(self, length: int) -> None:
        """Positions from `length` on are removed."""
        removed = self.length - length
        if removed <= 0:
            return
        across_the_end = length // self.size != (self.length - 1) // self.size
        # Finding its place far behind what is left, llama.cpp starts searching at cell 0.
        starts_over = length % self.size > min(self.length, self.size) - removed
        if across_the_end or (starts_over and self.length > self.size):
            self.in_order = False
        self.length = length

    def reset(self, length: int) -> None:
        """The cells are as after evaluating `length` tokens from the start."""
        self.length = length
        self.in_order = True

    def widest(self, position: int, limit: int, kept: int = 1) -> int:
        """How many tokens may be evaluated at `position` if all but the first may be rejected;
        with `kept` 0, that one too.

        In the last cell there is no such danger: what can be rejected lies behind the end, unless
        the token in that cell is rejected as well.
        """
        room = self.size - position % self.size
        return limit if room == kept else min(room, limit)
