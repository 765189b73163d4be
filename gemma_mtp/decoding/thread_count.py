"""How many threads evaluate, on a machine that other programs use as well: the controller.

llama.cpp's threads wait for each other after every operation. Where another program takes a
processor, one of them is put aside for a time slice and all the others wait, so that one thread too
many can make a round many times slower. Two signs say so: the threads got less processor time than
they could have used, or rounds take far longer than usual. Then fewer threads are tried for a few
rounds, and kept if those are faster; more are tried again when processors are free.

Prefill and decoding have a controller each: what a piece of a prompt costs says little about a
round. Knows only numbers: times in seconds of evaluation, processors in whole ones and parts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import log
from statistics import fmean
from typing import Protocol

LOOK = 0.1  # seconds of evaluation that say how things are now
LOOK_ROUNDS = 64  # at the most
# Processor time that each thread gets, as a share of the time that passes, where no other program
# runs: measured with two threads on two cores. Beside one busy program it was 0.65.
UNDISTURBED = 0.96
MISSING = 0.3  # processors that threads must have been denied before others are taken to be there,
MISSING_SHARE = 0.04  # or this much of the threads, if that is more
# With one thread less a round is taken to be slower in proportion. If rounds are slower than that
# already, and by this factor for noise, one thread less is worth a try.
NOISE = 1.1
FREE_ENOUGH = 0.7  # of a processor, for one thread more
TRIAL_ROUNDS = 2  # at another number of threads before it is kept, and at least `LOOK` seconds
PATIENCE = 8  # rounds after which a trial ends in which nothing could be compared
FASTER = 0.97  # of the time before, at the most, for a number of threads to be kept
HOPELESS = 2.0  # times the time before: a trial ends at once
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds before the next trial in a direction
BLIND = 8  # times as long before more are tried where nobody says whether processors are free
REGRET = 10.0  # seconds; a thread added and taken away again within them comes back later
USUAL_SECONDS = 5.0  # of rounds of one kind in which what is usual follows a change


class ThreadPolicy(Protocol):
    """Decides on the number of threads: read `count`, evaluate, `record`."""

    @property
    def most(self) -> int:
        """The largest number there will be."""
        ...

    @property
    def count(self) -> int:
        """Threads of the next evaluation."""
        ...

    def begin(self) -> None:
        """A prompt or a reply begins; nothing is known of what happened before it."""
        ...

    def record(self, width: int, seconds: float, processor_seconds: float) -> None:
        """`width` tokens were evaluated by `count` threads in `seconds`, in which this process was
        given `processor_seconds` of all processors together."""
        ...


@dataclass
class FixedThreads:
    """Always the same number of threads."""

    count: int

    @property
    def most(self) -> int:
        return self.count

    def begin(self) -> None:
        """Nothing to decide."""

    def record(self, width: int, seconds: float, processor_seconds: float) -> None:
        """Nothing to learn."""


@dataclass
class _Usual:
    """Seconds of one kind of round: a mean that forgets."""

    seconds: float = 0.0
    rounds: int = 0

    def add(self, seconds: float) -> None:
        self.rounds += 1
        weight = min(1.0, max(1 / self.rounds, seconds / USUAL_SECONDS))
        self.seconds += weight * (seconds - self.seconds)


@dataclass
class _Trial:
    """Another number of threads than `before`, with which rounds took `slowness` times as long as
    usual. `ratios`: logarithms of the times now against those expected with `before`."""

    before: int
    slowness: float
    rounds: int = 0
    seconds: float = 0.0
    ratios: list[float] = field(default_factory=list)


class AutoThreads:
    """As many threads as are faster than fewer, `most` at the most."""

    def __init__(self, most: int, free: Callable[[], float | None] = lambda: None) -> None:
        """`free`: processors that other programs left to this one, on average since it was asked
        last; None where that cannot be found out. It is asked only where the answer matters."""
        self.most = self.count = most
        self._free = free
        self._usual: dict[tuple[int, int], _Usual] = {}  # by threads and width
        self._rounds: deque[tuple[int, float, float]] = deque(maxlen=LOOK_ROUNDS)
        self._trial: _Trial | None = None
        self._time = 0.0
        self._raised = -REGRET  # when a thread was added last
        self._fewer_wait = self._more_wait = FIRST_WAIT
        self._fewer_at = self._more_at = 0.0  # when the next trial in a direction may begin

    def begin(self) -> None:
        self._rounds.clear()
        if self._trial is not None:
            self.count, self._trial = self._trial.before, None
        free = self._free() if self.most > 1 else None
        if free is not None:
            self.count = self._within(free)

    def record(self, width: int, seconds: float, processor_seconds: float) -> None:
        if self.most == 1 or seconds <= 0:
            return
        self._time += seconds
        self._usual.setdefault((self.count, width), _Usual()).add(seconds)
        if self._trial is not None:
            self._judge(self._trial, width, seconds)
            return
        self._rounds.append((width, seconds, processor_seconds))
        self._consider(*self._lately())

    def _lately(self) -> tuple[float, float, float]:
        """Of the last rounds that make up `LOOK`, or all if they are less: their seconds, how many
        times as long as usual they took, and the processors given to them."""
        seconds = processor_seconds = usual = 0.0
        for width, took, given in reversed(self._rounds):
            seconds += took
            processor_seconds += given
            usual += self._usual[self.count, width].seconds
            if seconds >= LOOK:
                break
        return seconds, seconds / usual, processor_seconds / seconds

    def _consider(self, seconds: float, slowness: float, processors: float) -> None:
        """Begin a trial if there is a reason for one."""
        if seconds < LOOK:
            return
        count = self.count
        given = processors / UNDISTURBED
        denied = count - given > max(MISSING, MISSING_SHARE * count)
        if count > 1 and (denied or slowness > NOISE * count / (count - 1)):
            fewer = min(count - 1, self._within(self._left_by_others(given)))
            if self._time >= self._fewer_at or self._known_to_be_faster(fewer, slowness):
                self._try(fewer, slowness)
        elif count < self.most and self._time >= self._more_at:
            free = self._free()
            if free is not None and (more := self._within(free)) > count:
                self._try(more, slowness)
            elif free is None and self._time >= self._more_at + (BLIND - 1) * self._more_wait:
                self._try(count + 1, slowness)

    def _known_to_be_faster(self, fewer: int, slowness: float) -> bool:
        """Whether so many threads usually take less than `count` do now; True if not known."""
        width = self._rounds[-1][0]
        usual = self._usual.get((fewer, width))
        now = slowness * self._usual[self.count, width].seconds
        return usual is None or usual.seconds * NOISE < now

    def _try(self, count: int, slowness: float) -> None:
        self._trial = _Trial(self.count, slowness)
        self.count = count
        self._rounds.clear()

    def _judge(self, trial: _Trial, width: int, seconds: float) -> None:
        """Go on with the trial, or end it: keep its number of threads, or go back."""
        trial.rounds += 1
        trial.seconds += seconds
        usual = self._usual.get((trial.before, width))
        if usual is not None:
            trial.ratios.append(log(seconds / (usual.seconds * trial.slowness)))
        hopeless = bool(trial.ratios) and trial.ratios[-1] > log(HOPELESS)
        compared = len(trial.ratios) >= TRIAL_ROUNDS and trial.seconds >= LOOK
        if not (hopeless or compared or trial.rounds >= PATIENCE):
            return
        self._trial = None
        more = self.count > trial.before
        if trial.ratios and not hopeless and fmean(trial.ratios) < log(FASTER):
            self._keep(more)
        else:
            self.count = trial.before
            self._wait_longer(more)

    def _keep(self, more: bool) -> None:
        self._fewer_wait = FIRST_WAIT
        if more:
            self._raised = self._time
        elif self._time - self._raised < REGRET:
            self._wait_longer(True)
        else:
            self._more_wait, self._more_at = FIRST_WAIT, self._time + FIRST_WAIT

    def _wait_longer(self, more: bool) -> None:
        """Before the next trial in this direction."""
        if more:
            self._more_wait = min(2 * self._more_wait, LONGEST_WAIT)
            self._more_at = self._time + self._more_wait
        else:
            self._fewer_wait = min(2 * self._fewer_wait, LONGEST_WAIT)
            self._fewer_at = self._time + self._fewer_wait

    def _left_by_others(self, given: float) -> float:
        """Processors that nobody else would use, where `count` threads were given so many.

        Systems share processors evenly: with r runnable threads on p processors, of which `count`
        are ours, these get p * count / r. Others run r - `count`. `most` stands for p; where a core
        runs two threads there are more processors, this says too many, and the next look corrects
        it.
        """
        return self.most - self.count * (self.most / given - 1) if given else 0.0

    def _within(self, processors: float) -> int:
        """Threads that so many processors have room for."""
        return max(1, min(self.most, int(processors + 1 - FREE_ENOUGH)))
