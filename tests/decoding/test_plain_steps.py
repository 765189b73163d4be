"""When plain steps are timed, and what is said of them."""

import pytest

from gemma_mtp.decoding.plain_steps import FIRST_PROBES, PlainSteps


def test_nothing_is_claimed_before_a_step_was_timed():
    baseline = PlainSteps()
    assert baseline.step(100) == (0.0, 0.0, "none")
    baseline.record(100, 0.5)
    assert baseline.step(100).basis == "none", "one alone may be off by any factor"


def test_steps_near_by_count_as_measured_and_distant_ones_as_estimated():
    baseline = PlainSteps()
    for seconds in (0.5, 0.5):
        baseline.record(100, seconds)
    assert baseline.step(400) == (0.5, 0.0, "measured")
    assert baseline.step(5000) == (0.5, 0.0, "estimated")
    for seconds in (0.8, 0.9):
        baseline.record(5000, seconds)
    assert baseline.step(5000) == pytest.approx((0.85, 0.05, "measured"))


def test_one_stall_does_not_decide():
    baseline = PlainSteps()
    for seconds in (0.1, 9.0, 0.1):
        baseline.record(10, seconds)
    assert baseline.step(10) == (0.1, 0.0, "measured")


def test_the_first_reply_looks_three_times_and_later_ones_only_now_and_then():
    baseline = PlainSteps()
    looks = []
    for rounds in range(300):
        if baseline.is_due(rounds, 50):
            baseline.record(50, 0.1)
            looks.append(rounds)
    assert looks == [*FIRST_PROBES, 128, 256]
    assert [r for r in range(128) if baseline.is_due(r, 50)] == []
