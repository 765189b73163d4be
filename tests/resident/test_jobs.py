"""Whose turn it is with the engine."""

from __future__ import annotations

from itertools import pairwise

from gemma_mtp.resident.jobs import MOST_PASSED, Job, Jobs


def job(key: str | None) -> Job:
    return Job(None, key, lambda: None)


def order(jobs: Jobs, loaded: str) -> list[object]:
    taken = []
    while (found := jobs.take(loaded, 0.0)) is not None:
        loaded = str(found.key or loaded)
        taken.append(found.key)
    return taken


def test_jobs_for_one_pair_are_done_in_the_order_in_which_they_came() -> None:
    jobs = Jobs()
    several = [job("a") for _ in range(4)]
    for each in several:
        jobs.put(each)
    assert [jobs.take("a", 0.0) for _ in several] == several
    assert jobs.take("a", 0.0) is None


def test_jobs_for_the_loaded_pair_pass_one_for_another_a_few_times() -> None:
    jobs = Jobs()
    for key in ("b", *["a"] * (MOST_PASSED + 2)):
        jobs.put(job(key))
    assert order(jobs, "a") == ["a"] * MOST_PASSED + ["b", "a", "a"]


def test_requests_for_two_pairs_in_turn_are_served_in_batches() -> None:
    jobs = Jobs()
    for key in ["a", "b"] * 6:
        jobs.put(job(key))
    done = order(jobs, "a")
    switches = sum(before != after for before, after in pairwise(done))
    assert sorted(map(str, done)) == ["a"] * 6 + ["b"] * 6
    assert switches <= 3


def test_what_needs_no_pair_waits_for_none() -> None:
    jobs = Jobs()
    jobs.put(job("b"))
    jobs.put(job(None))
    assert order(jobs, "a") == [None, "b"]
