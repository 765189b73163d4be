"""Drafting with shared noise: how often target and drafter agree, and what is learned from it."""

import numpy as np
import pytest

from gemma_mtp.api import Sampling
from gemma_mtp.decoding.proposer import FACTORS, DraftTemperature, Proposer
from gemma_mtp.decoding.sampler import Sampler

WORDS = 80


def draft(blur, sharpness=1.0, positions=1500, temperature=1.0, seed=11, stranger=False):
    """Drafts of a drafter that sees the target's logits blurred, and flatter or sharper.

    Returns the learned temperature, which drafts were right and the confidence in each.
    """
    rng = np.random.default_rng(0)
    sampling = Sampling(temperature, top_k=40, top_p=0.98)
    target = Sampler(sampling, seed)
    learned = DraftTemperature()
    proposer = Proposer(Sampler(sampling, 99) if stranger else target, learned)
    right, sure = [], []
    for position in range(positions):
        row = rng.normal(scale=3, size=WORDS).astype(np.float32)
        blurred = sharpness * (row + rng.normal(scale=blur, size=WORDS))
        token, confidence = proposer.propose(blurred.astype(np.float32), position)
        wanted = target.sample(row, position)
        proposer.judge([wanted])
        right.append(token == wanted)
        sure.append(confidence)
    return learned, np.array(right), np.array(sure)


def test_with_shared_noise_they_agree_far_more_often_than_by_chance():
    assert draft(0.3)[1].mean() > 1.5 * draft(0.3, stranger=True)[1].mean()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_drafter_that_is_the_target_is_always_right(temperature):
    assert draft(0.0, temperature=temperature)[1].mean() > 0.97


def test_a_good_drafter_keeps_its_temperature_and_a_flat_one_is_sharpened():
    assert draft(0.1)[0].factor == 1.0
    assert draft(1.0, sharpness=0.4)[0].factor == 0.35


@pytest.mark.parametrize(("blur", "sharpness"), [(0.1, 1.0), (1.0, 0.5), (1.0, 2.0), (4.0, 1.0)])
def test_what_is_learned_is_about_as_good_as_the_best_fixed_factor(blur, sharpness, monkeypatch):
    learned = draft(blur, sharpness)[1][300:].mean()
    fixed = []
    for factor in FACTORS:
        monkeypatch.setattr(DraftTemperature, "factor", factor)
        fixed.append(draft(blur, sharpness)[1][300:].mean())
    assert learned > 0.97 * max(fixed)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_confidence_tells_good_drafts_from_bad_ones(temperature):
    _, right, sure = draft(1.0, temperature=temperature)
    order = sure.argsort()
    assert right[order[-500:]].mean() > right[order[:500]].mean() + 0.25
    assert 0 < sure.min() <= sure.max() <= 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_cap_of_the_target_is_not_put_on_the_logits_of_the_drafter(temperature):
    """It has none of its own, whatever else is done to its rows."""
    for penalty in (1.0, 1.3):
        sampling = Sampling(temperature, repeat_penalty=penalty)
        row = np.linspace(-60, 60, WORDS).astype(np.float32)
        proposals = [
            Proposer(Sampler(sampling, 3, cap), DraftTemperature()).propose(row.copy(), 7, [5])
            for cap in (0.0, 30.0)
        ]
        assert proposals[0] == proposals[1]
