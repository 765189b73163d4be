"""Timing widths on the side, with a target that only counts."""

import numpy as np
import pytest

from gemma_mtp.api import Sampling
from gemma_mtp.decoding.cost_timing import measure_costs
from gemma_mtp.decoding.sampler import Sampler

TEXT = [5, 6, 7, 8]


class Counting:
    """Target and drafter in one; remembers what was evaluated."""

    def __init__(self):
        self.decoded, self.kept, self.drafted = [], [], 0

    def decode(self, tokens, position, outputs, short=False):
        assert outputs == len(tokens)
        self.decoded.append((list(tokens), position))
        return np.zeros((outputs, 16), np.float32)

    def keep(self, length):
        self.kept.append(length)

    def begin(self, hidden, position):
        pass

    def step(self, token, short=False):
        self.drafted += 1
        return np.arange(16, dtype=np.float32)


def measure(pair, **options):
    arguments = {"max_width": 4, "repeats": 2} | options
    sampler = Sampler(Sampling(), 0)
    return measure_costs(pair, pair, sampler, TEXT, 30, np.zeros(4, np.float32), **arguments)


def test_every_width_is_timed_with_tokens_that_differ():
    """As many equal ones would need the experts of one."""
    pair = Counting()
    costs = measure(pair)
    assert set(costs.verify) == {1, 2, 3, 4}
    assert {tuple(tokens) for tokens, _ in pair.decoded} == {tuple(TEXT[:n]) for n in (1, 2, 3, 4)}


def test_nothing_is_left_in_the_cache():
    pair = Counting()
    measure(pair)
    assert {position for _, position in pair.decoded} == {30}
    assert pair.kept == [30] * len(pair.decoded)


@pytest.mark.parametrize("steps", [0, 3])
def test_widths_not_reached_are_left_out(steps):
    calls = iter(range(100))
    costs = measure(Counting(), progress=lambda fraction: next(calls) < steps)
    assert set(costs.verify) == set(range(1, steps + 1))
    assert (costs.draft_step > 0) == (steps > 0)
