"""The controller on invented cost curves: no engine, no clock."""

from itertools import pairwise

import numpy as np
import pytest

from gemma_mtp.draft_length import LENGTHS, AutoDraft, FixedDraft

SMOOTH = {k: 1.0 + 0.12 * k for k in range(17)}  # a dense model on a GPU
GROUPS_OF_FOUR = dict(enumerate([1.0, 2.17, 3.1, 2.2, 3.2, 4.3, 4.7, 3.85]))  # Q4_0 on two cores
HOPELESS = {k: 1.0 + 0.9 * k for k in range(17)}


def drive(costs, acceptance, rounds=600, seed=0, cold=0, growth=0.0):
    """Tokens per plain-step second of the controller, and the lengths it chose.

    The first `cold` rounds take twice as long; all costs rise by `growth` until the end.
    """
    rng = np.random.default_rng(seed)
    auto = AutoDraft()
    tokens = seconds = 0.0
    chosen = []
    for n in range(rounds):
        if n == 4:
            auto.plain_step(1.0)
            auto.plain_step(1.02)
        k = auto.choose()
        accepted = int((rng.random(k) < acceptance).cumprod().sum())
        cost = costs[k] * rng.normal(1.0, 0.02) * (2 if n < cold else 1)
        cost *= 1 + growth * n / rounds
        auto.record(k, accepted, cost)
        tokens, seconds = tokens + accepted + 1, seconds + cost
        chosen.append(k)
    return tokens / seconds, chosen


def best_fixed(costs, acceptance):
    return max(sum(acceptance**i for i in range(k + 1)) / costs[k] for k in LENGTHS)


@pytest.mark.parametrize("costs", [SMOOTH, GROUPS_OF_FOUR, HOPELESS])
@pytest.mark.parametrize("acceptance", [0.2, 0.5, 0.75, 0.9])
def test_auto_comes_close_to_the_best_fixed_length(costs, acceptance):
    rate, _ = drive(costs, acceptance)
    assert rate > 0.93 * best_fixed(costs, acceptance)


def test_it_finds_the_cheap_width_beyond_the_dear_ones():
    _, chosen = drive(GROUPS_OF_FOUR, 0.85)
    assert np.mean(np.array(chosen[-200:]) == 3) > 0.9


def test_it_stops_drafting_when_nothing_pays_and_looks_again_now_and_then():
    _, chosen = drive(HOPELESS, 0.4)
    assert np.mean(np.array(chosen[100:]) == 0) > 0.85
    assert any(k > 0 for k in chosen[200:])


def test_a_cold_start_is_not_held_against_a_length_for_ever():
    _, chosen = drive(GROUPS_OF_FOUR, 0.8, rounds=800, cold=5)
    assert np.mean(np.array(chosen[-200:]) == 3) > 0.9


def test_costs_that_grow_with_the_context_do_not_confuse_it():
    """Old measurements at a short context would otherwise look better and better."""
    _, chosen = drive(GROUPS_OF_FOUR, 0.85, rounds=1200, growth=2.0)
    assert np.mean(np.array(chosen[100:]) == 3) > 0.85


def test_late_positions_that_are_never_right_are_not_drafted():
    auto = AutoDraft()
    auto.plain_step(1.0)
    chosen = []
    for _ in range(400):
        k = auto.choose()
        auto.record(k, min(k, 3), SMOOTH[k])
        chosen.append(k)
    assert np.mean(np.array(chosen[100:]) == 3) > 0.9


def test_it_settles():
    _, chosen = drive(SMOOTH, 0.8)
    changes = sum(a != b for a, b in pairwise(chosen[200:]))
    assert changes <= 16


def test_a_fixed_length_is_fixed():
    fixed = FixedDraft(5)
    fixed.record(5, 0, 1.0)
    fixed.plain_step(0.01)
    assert fixed.choose() == 5
