"""The number of threads on invented machines: no engine, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gemma_mtp.decoding.thread_count import FREE_FOR_ONE_MORE, ThreadController


@dataclass
class Machine:
    """`processors`, of which `busy` programs take one each; times as measured on two cores.

    A round of width 1 takes `work` seconds with one thread, the part that `serial` says whatever
    their number. With one thread too many it takes `stall` times as long.
    """

    processors: int = 2
    busy: float = 0.0
    work: float = 0.08
    serial: float = 0.4
    stall: float = 3.0
    known: bool = True  # whether the system says which processors are free
    slow_beside: float = (
        1.0  # times as long beside busy programs, however many processors there are
    )
    seconds: float = 0.0
    counts: list[int] = field(default_factory=list)

    def free(self) -> float | None:
        return max(0.0, self.processors - self.busy) if self.known else None

    def cost(self, threads: int, width: int = 1) -> float:
        seconds = self.work * (1 + 0.5 * (width - 1)) * (self.serial + (1 - self.serial) / threads)
        if self.busy:
            seconds *= self.slow_beside
        return seconds * (
            self.stall if threads > 1 and threads + self.busy > self.processors else 1
        )

    def run(
        self, threads: ThreadController, rounds: int, widths: tuple[int, ...] = (1,)
    ) -> list[int]:
        """The numbers of threads of so many rounds."""
        for number in range(rounds):
            width = widths[number % len(widths)]
            count = threads.count
            seconds = self.cost(count, width)
            share = min(1.0, self.processors / (count + self.busy))
            threads.record(width, seconds, seconds * count * share * 0.96)
            self.seconds += seconds
            self.counts.append(count)
        return self.counts[-rounds:]


def test_a_quiet_machine_uses_all_threads_and_tries_nothing():
    machine = Machine()
    assert set(machine.run(ThreadController(2, machine.free), 500)) == {2}


@pytest.mark.parametrize("known", [True, False])
def test_beside_a_busy_program_one_thread_is_left_to_it_within_three_rounds(known):
    machine = Machine(known=known)
    threads = ThreadController(2, machine.free)
    machine.run(threads, 50)
    machine.busy = 1
    counts = machine.run(threads, 100)
    assert set(counts[3:50]) == {1}


@pytest.mark.parametrize("widths", [(1,), (4,), (4, 1), (4, 4, 2, 1), (8, 4, 4)])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("busy", [1, 2])
def test_a_reply_takes_little_longer_than_with_the_best_number(widths, known, busy):
    machine = Machine(known=known)
    threads = ThreadController(2, machine.free)
    machine.run(threads, 100, widths)
    machine.busy, machine.seconds = busy, 0.0
    machine.run(threads, 300, widths)
    best = sum(machine.cost(1, widths[i % len(widths)]) for i in range(300))
    assert machine.seconds < 1.1 * best


def test_when_the_others_have_ended_all_threads_come_back():
    machine = Machine(busy=1)
    threads = ThreadController(2, machine.free)
    machine.run(threads, 100)
    machine.busy = 0
    counts = machine.run(threads, 40)
    assert set(counts[20:]) == {2}


def test_also_where_the_system_does_not_say_that_they_have():
    machine = Machine(busy=1, known=False)
    threads = ThreadController(2, machine.free)
    machine.run(threads, 100)
    machine.busy = 0
    counts = machine.run(threads, 1000)
    assert set(counts[500:]) == {2}


@pytest.mark.parametrize(("busy", "best"), [(1, 7), (2, 6), (4, 4), (7, 1), (12, 1)])
def test_of_eight_threads_as_many_are_left_as_others_need(busy, best):
    machine = Machine(processors=8, busy=busy, serial=0.1, stall=8.0)
    threads = ThreadController(8, machine.free)
    counts = machine.run(threads, 200)
    assert counts[-1] == best
    assert counts.count(best) > 170


def test_before_a_reply_what_others_leave_free_decides():
    machine = Machine(processors=8, busy=3)
    threads = ThreadController(8, machine.free)
    threads.begin()
    assert threads.count == 5
    machine.busy = 0
    threads.begin()
    assert threads.count == 8


def test_a_program_that_takes_a_little_now_and_then_takes_no_thread():
    machine = Machine(busy=0.9 * (1 - FREE_FOR_ONE_MORE), stall=1.0)
    threads = ThreadController(2, machine.free)
    threads.begin()
    assert set(machine.run(threads, 200)) == {2}


def test_where_a_core_is_shared_rounds_that_take_longer_are_the_sign():
    """Threads of one core do not wait for a processor, they are slow on it."""
    machine = Machine(processors=16, serial=0.0)
    threads = ThreadController(8, machine.free)
    machine.run(threads, 50)
    usual = machine.cost
    machine.cost = lambda count, width=1: usual(count) * (1.6 if count == 8 else 1.0)
    assert machine.run(threads, 100)[-1] == 7


def test_fewer_threads_that_are_no_faster_are_not_kept():
    """All rounds have become slower: memory that others use, a longer context."""
    machine = Machine(slow_beside=2.5, stall=1.0)
    threads = ThreadController(2, machine.free)
    machine.run(threads, 50)
    machine.busy, machine.processors = 1, 3
    counts = machine.run(threads, 400)
    assert counts.count(1) < 20


def test_one_stall_costs_a_few_rounds_at_most():
    machine = Machine()
    threads = ThreadController(2, machine.free)
    machine.run(threads, 50)
    threads.record(1, 0.5, 0.6)
    counts = machine.run(threads, 60)
    assert counts.count(1) < 15
    assert counts[-1] == 2


def test_a_program_that_comes_and_goes_is_not_followed_back_and_forth():
    machine = Machine()
    threads = ThreadController(2, machine.free)
    for _ in range(60):
        machine.busy = 1 - machine.busy
        machine.run(threads, 12)
    changes = sum(a != b for a, b in zip(machine.counts, machine.counts[1:], strict=False))
    assert changes < 40


def test_where_nothing_says_what_is_free_trials_get_rare():
    machine = Machine(busy=1, known=False, stall=20.0)
    threads = ThreadController(2, machine.free)
    machine.run(threads, 2000)
    machine.seconds = 0.0
    counts = machine.run(threads, 4000)
    assert counts.count(2) <= 4


def test_one_thread_stays_one():
    machine = Machine(busy=3)
    assert set(machine.run(ThreadController(1, machine.free), 50)) == {1}
