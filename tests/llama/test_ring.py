"""The ring against a model of llama.cpp's rule for placing tokens."""

import random

from gemma_mtp.llama.ring import Ring


class Cells:
    """First free or outlived cell from the head on; removal moves the head to the lowest freed."""

    def __init__(self, size, window):
        self.cells, self.window, self.head = [None] * size, window, 0

    def add(self, positions):
        for p in positions:
            used = sum(c is not None for c in self.cells)
            at = 0 if self.head > used + 2 * len(positions) and p == positions[0] else self.head
            while True:
                at %= len(self.cells)
                if self.cells[at] is None or self.cells[at] <= p - self.window:
                    break
                at += 1
            self.cells[at], self.head = p, at + 1

    def cut(self, length):
        freed = [i for i, p in enumerate(self.cells) if p is not None and p >= length]
        for i in freed:
            self.cells[i] = None
        if freed and freed[0] < self.head:
            self.head = freed[0]

    def in_order(self):
        return all(p is None or p % len(self.cells) == i for i, p in enumerate(self.cells))


def test_rounds_no_wider_than_allowed_keep_the_cells_in_order():
    rng = random.Random(1)
    ring, cells, position = Ring(32), Cells(32, 12), 0
    for _ in range(3000):
        width = min(rng.randint(1, 9), ring.widest(position, 9))
        cells.add(range(position, position + width))
        ring.add(position + width)
        position += rng.randint(1, width)
        cells.cut(position)
        ring.cut(position)
        assert ring.in_order
        assert cells.in_order()


def test_rows_that_are_all_forgotten_again_keep_the_cells_in_order():
    """As where plain steps are timed; then a round goes on from there."""
    for position in range(10, 100):
        width = Ring(32).widest(position, 9, kept=0)
        ring, cells = Ring(32), Cells(32, 12)
        cells.add(range(position))
        ring.add(position)
        cells.add(range(position, position + width))
        ring.add(position + width)
        cells.cut(position)
        ring.cut(position)
        cells.add([position])
        assert ring.in_order
        assert cells.in_order()


def test_wider_rounds_break_the_order_and_the_ring_knows():
    rng = random.Random(1)
    broken = 0
    for _ in range(300):
        ring, cells, position = Ring(32), Cells(32, 12), 0
        while position < 100:
            width = rng.randint(1, 9)
            cells.add(range(position, position + width))
            ring.add(position + width)
            position += rng.randint(1, width)
            cells.cut(position)
            ring.cut(position)
            if not cells.in_order():
                assert not ring.in_order
                broken += 1
                break
    assert broken > 100


def test_after_a_rewind_the_order_is_never_claimed_wrongly():
    rng = random.Random(2)
    kept = lost = 0
    for _ in range(2000):
        ring, cells = Ring(32), Cells(32, 12)
        length = rng.randint(1, 120)
        for p in range(0, length, 4):
            cells.add(range(p, min(p + 4, length)))
        ring.add(length)
        left = max(0, length - rng.randint(1, 18))
        ring.cut(left)
        cells.cut(left)
        for p in range(left, left + 40, 4):
            cells.add(range(p, p + 4))
        if ring.in_order:
            assert cells.in_order()
            kept += 1
        else:
            lost += 1
    assert kept > 300
    assert lost > 300
