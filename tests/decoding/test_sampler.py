"""The sampling rule: right frequencies, noise as a pure function, filters in their order."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats as scipy_stats

from gemma_mtp.api import Sampling
from gemma_mtp.decoding.sampler import Sampler, filtered, gumbel, top_ids
from gemma_mtp.errors import BadPair

PLAIN = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)


def logits(probabilities):
    return np.log(np.asarray(probabilities, np.float64)).astype(np.float32)


@pytest.mark.parametrize(
    ("temperature", "probabilities"),
    [(1.0, [0.5, 0.3, 0.15, 0.05]), (0.7, [0.4, 0.3, 0.2, 0.1]), (1.5, [0.9, 0.05, 0.03, 0.02])],
)
def test_frequencies_are_the_softmax_at_the_temperature(temperature, probabilities):
    row = logits(probabilities)
    sampler = Sampler(Sampling(temperature, top_k=0, top_p=1.0), seed=7)
    n = 20_000
    counts = np.bincount([sampler.sample(row, p) for p in range(n)], minlength=4)
    expected = np.exp(row.astype(np.float64) / temperature)
    assert scipy_stats.chisquare(counts, n * expected / expected.sum()).pvalue > 1e-4


def test_positions_are_independent():
    """Pairs of consecutive draws fall into the 4x4 table as independent draws would."""
    row = logits([0.4, 0.3, 0.2, 0.1])
    sampler = Sampler(PLAIN, seed=3)
    draws = [sampler.sample(row, p) for p in range(20_001)]
    table = np.zeros((4, 4))
    for a, b in pairwise(draws):
        table[a, b] += 1
    assert scipy_stats.chi2_contingency(table).pvalue > 1e-4


def test_seeds_are_independent():
    row = logits([0.25] * 4)
    a, b = ([Sampler(PLAIN, seed).sample(row, p) for p in range(5000)] for seed in (1, 2))
    assert abs(np.mean(np.equal(a, b)) - 0.25) < 0.03


def test_noise_depends_on_nothing_but_seed_position_and_id():
    one = gumbel(5, 100, np.arange(2048))
    again = gumbel(5, 100, np.array([2000, 3, 17]))
    assert again.tolist() == one[[2000, 3, 17]].tolist()
    assert not np.any(gumbel(5, 101, np.arange(2048)) == one)
    assert not np.any(gumbel(6, 100, np.arange(2048)) == one)


def test_noise_is_gumbel_distributed():
    assert scipy_stats.kstest(gumbel(1, 1, np.arange(50_000)), "gumbel_r").pvalue > 1e-4


def test_huge_and_negative_seeds_are_as_good_as_any():
    for seed in (-1, 0, 2**64 - 1, 2**70):
        assert np.isfinite(gumbel(seed, 0, np.arange(100))).all()


def test_temperature_zero_takes_the_largest_and_the_first_of_equals():
    row = np.array([1.0, 3.0, 3.0, 2.0], np.float32)
    assert Sampler(Sampling(temperature=0.0), seed=1).sample(row, 9) == 1


def test_top_k_then_temperature_then_top_p_then_min_p():
    row = logits([0.5, 0.2, 0.15, 0.1, 0.05])
    assert filtered(row, Sampling(1.0, 3, 1.0, 0.0))[0].tolist() == [0, 1, 2]
    # Of the three that top-k left (0.59, 0.24, 0.18) the first two reach 0.8.
    assert filtered(row, Sampling(1.0, 3, 0.8, 0.0))[0].tolist() == [0, 1]
    # Temperature 0.5 squares the probabilities: the first one alone reaches 0.75.
    assert filtered(row, Sampling(0.5, 3, 0.75, 0.0))[0].tolist() == [0]
    # min-p is relative to the best one.
    assert filtered(row, Sampling(1.0, 0, 1.0, 0.25))[0].tolist() == [0, 1, 2]
    # Something is always left.
    assert filtered(row, Sampling(1.0, 0, 1e-9, 1.0))[0].tolist() == [0]


@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
@pytest.mark.parametrize(("top_p", "min_p"), [(0.95, 0.0), (1.0, 0.05), (0.9, 0.02), (1.0, 0.0)])
def test_without_top_k_what_top_p_and_min_p_leave_is_found_without_sorting_all(scale, top_p, min_p):
    row = np.random.default_rng(1).normal(scale=scale, size=32_768).astype(np.float32)
    order = np.argsort(-row, kind="stable")
    weights = np.exp((row[order] - row.max()).astype(np.float64) / 0.7)
    n = len(row)
    if top_p < 1:
        n = int((weights.cumsum() < top_p * weights.sum()).sum()) + 1
    if min_p > 0:
        n = min(n, int((weights >= min_p).sum()))
    ids, _ = filtered(row, Sampling(0.7, 0, top_p, min_p))
    assert abs(len(ids) - n) <= 1, "sums of single precision end within one token"
    assert ids.tolist() == order[: len(ids)].tolist()


@pytest.mark.parametrize("size", [5, 2048, 262_144])
@pytest.mark.parametrize("k", [1, 3, 64])
def test_top_ids_are_those_of_a_full_sort(size, k):
    rng = np.random.default_rng(size + k)
    for row in (
        rng.normal(size=size).astype(np.float32),
        rng.integers(0, 4, size).astype(np.float32),  # nearly everything is a tie
        np.zeros(size, np.float32),
    ):
        assert top_ids(row, k).tolist() == np.argsort(-row, kind="stable")[:k].tolist()


@pytest.mark.parametrize("size", [2048, 262_144])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_without_numbers_is_a_damaged_pair(temperature, size):
    row = np.full(size, np.nan, np.float32)
    with pytest.raises(BadPair, match="damaged"):
        Sampler(Sampling(temperature), 1).sample(row, 0)


def test_repeat_penalty_makes_recent_tokens_less_likely():
    sampling = Sampling(temperature=0.0, repeat_penalty=2.0, repeat_last_n=2)
    row = np.array([4.0, 3.0, -1.0, 2.5], np.float32)
    assert Sampler(sampling, 1).sample(row.copy(), 0, [1]) == 0
    assert Sampler(sampling, 1).sample(row.copy(), 0, [0]) == 1
    assert Sampler(sampling, 1).sample(row.copy(), 0, [0, 1]) == 3
    assert Sampler(sampling, 1).sample(row.copy(), 0, [0, 3, 3]) == 0  # 0 is out of the last two


def test_the_soft_cap_is_applied_to_candidates_as_to_the_whole_row():
    rng = np.random.default_rng(2)
    for penalty in (1.0, 1.5):
        sampling = Sampling(1.0, repeat_penalty=penalty)
        for position in range(200):
            row = rng.normal(scale=25, size=300).astype(np.float32)
            capped_before = (30 * np.tanh(row / 30)).astype(np.float32)
            recent = [int(row.argmax()), 7]
            wanted = Sampler(sampling, 5).sample(capped_before, position, recent)
            assert Sampler(sampling, 5, softcap=30.0).sample(row, position, recent) == wanted


@pytest.mark.parametrize("few", [5, 100])
def test_a_large_row_in_which_something_is_no_number_gives_what_is_one(few):
    row = np.random.default_rng(4).normal(size=262_144).astype(np.float32)
    row[np.random.default_rng(5).choice(len(row), few, replace=False)] = np.nan
    ids = top_ids(row, 64)
    assert np.isfinite(row[ids]).all()
    assert (np.diff(row[ids]) <= 0).all()


@pytest.mark.parametrize("k", [1, 8, 32, 64, 300])
def test_the_top_of_a_large_vocabulary_is_found_without_sorting_it(k):
    rng = np.random.default_rng(3)
    for row in (
        rng.normal(size=32_768).astype(np.float32),
        rng.integers(0, 40, size=32_768).astype(np.float32),  # many ties: the smaller id first
        np.zeros(32_768, np.float32),
    ):
        assert top_ids(row, k).tolist() == np.argsort(-row, kind="stable")[:k].tolist()
