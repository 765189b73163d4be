"""A shortlist chooses the token that its whole row does, or asks for the row."""

from dataclasses import dataclass

import numpy as np
import pytest

from gemma_mtp.api import DECIDED, SHORTLIST, Sampling
from gemma_mtp.decoding.constraint import Constraint, Fixed
from gemma_mtp.decoding.proposer import DraftTemperature, Proposer
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.errors import BadPair
from gemma_mtp.llama.shortlist import in_order

SIZE = 4096
RNG = np.random.default_rng(7)


@dataclass
class Device:
    """Chooses the likeliest tokens of a row; which of equal ones, and in what order, is chance."""

    row: np.ndarray
    asked: int = 0

    def shortlist(self):
        mixed = RNG.permutation(len(self.row))
        ids = mixed[np.argsort(-self.row[mixed], kind="stable")][:SHORTLIST]
        ids = RNG.permutation(ids).astype(np.int32)
        (found,) = in_order(ids[None], self.row[ids][None], self.whole)
        return found

    def whole(self, output):
        assert output == 0
        self.asked += 1
        return self.row.copy()


def smooth():
    return RNG.normal(scale=4, size=SIZE).astype(np.float32)


def tied(levels):
    """Logits of few values: `levels` times as many as a shortlist has tokens take the same one."""
    steps = RNG.integers(0, int(SIZE / SHORTLIST / levels), SIZE)
    return (steps / 4 - 3).astype(np.float32)


ROWS = {
    "all differ": smooth,
    "rounded": lambda: np.round(smooth(), 1),
    "some ties at the end": lambda: tied(1 / 16),
    "many ties at the end": lambda: tied(1 / 2),
    "nearly all tied": lambda: tied(4),
    "zeros of both signs": lambda: np.where(RNG.random(SIZE) < 0.5, 0.0, -0.0).astype(np.float32),
}
SETTINGS = [
    Sampling(0.0),
    Sampling(1.0, 64, 0.95),
    Sampling(0.7, 40, 0.9, 0.05),
    Sampling(1.5, 1, 1.0),
    Sampling(1.0, DECIDED, 1.0),
    Sampling(1.0, SHORTLIST, 1.0),
    Sampling(1.0, SHORTLIST + 1, 0.9),
    Sampling(1.0, 0, 0.9),
    Sampling(0.0, repeat_penalty=1.3),
    Sampling(1.0, 64, 0.95, repeat_penalty=1.3),
]


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
@pytest.mark.parametrize("softcap", [0.0, 30.0])
def test_the_token_is_that_of_the_whole_row(kind, sampling, softcap):
    sampler = Sampler(sampling, seed=5, softcap=softcap)
    for position in range(40):
        device = Device(ROWS[kind]())
        recent = RNG.integers(0, SIZE, 30).tolist()
        wanted = sampler.sample(device.row.copy(), position, recent)
        assert sampler.sample(device.shortlist(), position, recent) == wanted
        if kind == "all differ":
            assert device.asked == (0 if 0 < sampler.depth < SHORTLIST else 1)
        if kind in ("nearly all tied", "zeros of both signs"):
            assert device.asked == 1


def test_some_ties_are_decided_and_some_are_not():
    sampler = Sampler(Sampling(1.0, 64), seed=1)
    devices = [Device(tied(1 / 2)) for _ in range(60)]
    for device in devices:
        sampler.sample(device.shortlist(), 3)
    assert {device.asked for device in devices} == {0, 1}


@pytest.mark.parametrize("sampling", SETTINGS, ids=str)
def test_the_draft_and_its_confidence_are_those_of_the_whole_row(sampling):
    sampler = Sampler(sampling, seed=5)
    for position in range(20):
        device = Device(np.round(smooth(), 2))
        proposers = [Proposer(sampler, DraftTemperature()) for _ in range(2)]
        if not proposers[0].takes_shortlists:
            assert sampler.reads_all or sampling.top_k > DECIDED
            return
        whole, short = proposers
        expected = whole.propose(device.row.copy(), position)
        assert short.propose(device.shortlist(), position) == expected
        assert device.asked == 0


def test_shortlists_are_asked_for_where_they_tell_all():
    takes = [Sampler(sampling, 1).takes_shortlists for sampling in SETTINGS]
    assert takes == [True, True, True, True, True, False, False, False, False, False]
    held = Constraint(Fixed(np.full(SIZE // 8, 255, np.uint8)), 0)
    assert not Sampler(Sampling(), 1, constraint=held).takes_shortlists
    assert not Proposer(
        Sampler(Sampling(), 1, constraint=held), DraftTemperature()
    ).takes_shortlists


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_no_number_is_left_to_the_whole_row(bad, temperature):
    device = Device(np.full(SIZE, bad, np.float32))
    with pytest.raises(BadPair, match="damaged"):
        Sampler(Sampling(temperature), 1).sample(device.shortlist(), 0)
    assert device.asked == 1
