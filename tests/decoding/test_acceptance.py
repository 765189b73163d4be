"""Chances of acceptance from invented outcomes."""

import numpy as np
import pytest

from gemma_mtp.decoding.acceptance import Acceptance, Prior


def test_each_position_has_its_own_chance_given_those_before():
    acceptance, random = Acceptance(7), np.random.default_rng(0)
    truth = [0.9, 0.6, 0.3]
    for _ in range(3000):
        right = np.cumprod(random.random(3) < truth).sum()
        acceptance.record(random.random(3).tolist(), int(right))
    assert acceptance.by_position(3) == pytest.approx(truth, abs=0.15)


def test_a_position_never_judged_is_like_the_one_before():
    acceptance = Acceptance(7)
    for _ in range(100):
        acceptance.record([0.5], 0)
    first, *others = acceptance.by_position(4)
    assert first < 0.1
    assert max(others) < 0.1


def test_confidence_is_calibrated():
    acceptance, random = Acceptance(7), np.random.default_rng(1)
    for _ in range(4000):
        confidence = random.random()
        acceptance.record([confidence], int(random.random() < confidence**2))
    for confidence in (0.4, 0.6, 0.9):
        assert acceptance.of(0, confidence) == pytest.approx(confidence**2, abs=0.12)


def test_an_overconfident_drafter_is_not_believed():
    acceptance = Acceptance(7)
    for _ in range(200):
        acceptance.record([0.999, 0.999], 0)
    assert acceptance.of(0, 0.999) < 0.1


def test_little_knowledge_gets_the_benefit_of_the_doubt_and_much_does_not():
    acceptance = Acceptance(7)
    acceptance.record([0.5], 0)
    few = acceptance.by_position(1, optimism=2.0)[0] - acceptance.by_position(1)[0]
    for _ in range(200):
        acceptance.record([0.5], 0)
    many = acceptance.by_position(1, optimism=2.0)[0] - acceptance.by_position(1)[0]
    assert few > 0.04 > many >= 0


def test_confidence_that_says_nothing_is_not_listened_to():
    deviations = []
    for seed in range(8):
        acceptance, random = Acceptance(7), np.random.default_rng(seed)
        for _ in range(1500):
            acceptance.record([random.random()], int(random.random() < 0.6))
        at_position = acceptance.by_position(1)[0]
        told = [acceptance.of(0, c) for c in (0.1, 0.4, 0.6, 0.8, 0.9, 0.97, 0.995)]
        deviations += [abs(chance - at_position) for chance in told]
    assert np.mean(deviations) < 0.04


@pytest.mark.parametrize("bounds", [(), (0.5,), tuple(i / 20 for i in range(1, 20))])
def test_a_source_of_drafts_has_as_many_buckets_as_its_prior_says(bounds):
    guesses = tuple((i + 1) / (len(bounds) + 2) for i in range(len(bounds) + 1))
    acceptance = Acceptance(3, Prior(guesses, by_position=0.5, bounds=bounds))
    told = [acceptance._by_confidence(0, c) for c in (0.0, 0.3, 0.52, 0.77, 1.0)]
    assert told == sorted(told)
    assert (told[0], told[-1]) == pytest.approx((guesses[0], guesses[-1]))
    for confidence in (0.0, 0.3, 0.52, 0.77, 1.0):
        acceptance.record([confidence] * 3, 2)
    assert all(0 < acceptance.of(i, 1.0) < 1 for i in range(3))
