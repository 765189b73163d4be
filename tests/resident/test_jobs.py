"""Whose turn it is with the engine."""

from __future__ import annotations

import threading
from itertools import pairwise

from gemma_mtp.resident.jobs import MOST_PASSED, Job, Jobs


def job(key: str | None, party: str = "") -> Job:
    return Job(None, key, lambda: None, party)


def put(jobs: Jobs, *several: Job) -> None:
    for each in several:
        jobs.put(each)


def taken(jobs: Jobs, loaded: str = "a") -> list[Job]:
    found = []
    while (next_one := jobs.take(loaded, 0.0)) is not None:
        loaded = str(next_one.key or loaded)
        found.append(next_one)
    return found


def order(jobs: Jobs, loaded: str) -> list[object]:
    return [each.key for each in taken(jobs, loaded)]


class Places:
    """Jobs that remember what they were told about their place."""

    def __init__(self) -> None:
        self.told: dict[str, list[int]] = {}

    def job(self, name: str, party: str = "", owner: object = None) -> Job:
        self.told[name] = []
        return Job(owner, "a", lambda: None, party, self.told[name].append)


def test_jobs_of_one_party_are_done_in_the_order_in_which_they_came() -> None:
    jobs = Jobs()
    several = [job("a") for _ in range(4)]
    put(jobs, *several)
    assert taken(jobs) == several


def test_parties_take_turns_however_much_one_of_them_wants() -> None:
    jobs = Jobs()
    put(jobs, *[job("a", "many") for _ in range(50)])
    first = jobs.take("a", 0.0)
    assert first is not None
    put(jobs, *[job("a", f"other {n}") for n in range(7)])
    parties = [str(each.party) for each in taken(jobs)]
    assert parties[:8] == ["many", *[f"other {n}" for n in range(7)]]
    assert parties[8:] == ["many"] * 48


def test_a_job_is_waited_for_longer_than_the_system_can_wait_at_once() -> None:
    jobs = Jobs()
    late = threading.Timer(0.05, jobs.put, (job("a"),))
    late.start()
    assert jobs.take("a", 1e300) is not None


def test_who_asks_again_at_once_waits_for_the_others() -> None:
    jobs = Jobs()
    put(jobs, job("a", "one"), job("a", "other"), job("a", "other"))
    found = []
    for _ in range(6):
        next_one = jobs.take("a", 0.0)
        assert next_one is not None
        found.append(next_one.party)
        put(jobs, job("a", str(next_one.party)))
    assert found == ["one", "other"] * 3


def test_jobs_for_the_loaded_pair_pass_one_for_another_a_few_times() -> None:
    jobs = Jobs()
    put(jobs, *[job(key, key) for key in ("b", *["a"] * (MOST_PASSED + 2))])
    assert order(jobs, "a") == ["a"] * MOST_PASSED + ["b", "a", "a"]


def test_requests_for_two_pairs_in_turn_are_served_in_batches() -> None:
    for party in (lambda n: "", str):  # of one party, and of twelve
        jobs = Jobs()
        put(jobs, *[job(key, party(n)) for n, key in enumerate(["a", "b"] * 6)])
        done = order(jobs, "a")
        switches = sum(before != after for before, after in pairwise(done))
        assert sorted(map(str, done)) == ["a"] * 6 + ["b"] * 6
        assert switches <= 3


def test_what_needs_no_pair_waits_for_none() -> None:
    jobs = Jobs()
    put(jobs, job("b"), job(None))
    assert order(jobs, "a") == [None, "b"]


def test_each_is_told_how_many_go_before_it_whenever_that_changes() -> None:
    jobs, places = Jobs(), Places()
    put(jobs, *[places.job(name) for name in "xyz"])
    assert places.told == {"x": [], "y": [1], "z": [2]}
    jobs.take("a", 0.0)  # x is in progress
    assert places.told == {"x": [], "y": [1], "z": [2]}
    jobs.take("a", 0.0)
    assert places.told == {"x": [], "y": [1], "z": [2, 1]}
    put(jobs, places.job("w", "another"))
    assert places.told["w"] == [2]
    assert places.told["z"] == [2, 1]


def test_one_that_is_given_up_makes_room_for_those_behind_it() -> None:
    jobs, places = Jobs(), Places()
    x, y, z = [object() for _ in range(3)]
    put(
        jobs, *[places.job(name, owner=owner) for name, owner in zip("xyz", (x, y, z), strict=True)]
    )
    assert jobs.drop(y)
    assert not jobs.drop(y)
    assert places.told["z"] == [2, 1]
    assert [each.owner for each in taken(jobs)] == [x, z]


def test_what_nobody_waits_for_is_done_when_there_is_nothing_else() -> None:
    jobs = Jobs()
    spare = Job("someone", None, lambda: None)
    jobs.put_spare(spare)
    other = job("b")
    jobs.put(other)
    assert len(jobs) == 1
    assert taken(jobs) == [other, spare]


def test_of_what_nobody_waits_for_only_the_last_wish_of_each_counts() -> None:
    jobs = Jobs()
    several = [Job(owner, None, lambda: None) for owner in ("x", "x", "y", "z")]
    for each in several:
        jobs.put_spare(each)
    jobs.drop("x")  # who is gone or does not want the rest; that one is still done
    asked = Job("z", "a", lambda: None)
    jobs.put(asked)
    assert taken(jobs) == [asked, several[1], several[2]]
