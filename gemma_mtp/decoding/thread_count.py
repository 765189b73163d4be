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

WINDOW_SECONDS = 0.1  # seconds of evaluation that say how things are now
WINDOW_ROUNDS = 64  # rounds that the window has at the most
# Processor time that each thread gets, as a share of the time that passes, where no other program
# runs: measured with two threads on two cores. Beside one busy program it was 0.65.
UNDISTURBED = 0.96
# Other programs are taken to run when threads were denied so many processors, or such a share of
# their number if that is more.
DENIED, DENIED_SHARE = 0.3, 0.04
# With one thread less a round is taken to be slower in proportion. If rounds are slower than that
# already, and by this factor for noise, one thread less is worth a try.
NOISE = 1.1
FREE_FOR_ONE_MORE = 0.7  # of a processor must be free before one more thread is tried
TRIAL_ROUNDS = 2  # rounds, and at least WINDOW_SECONDS, before another number of threads is kept
LONGEST_TRIAL = 8  # rounds after which a trial ends if nothing could be compared in it
HYSTERESIS = 0.97  # of the time before: another number of threads that takes no longer is kept
ABORT_FACTOR = 2.0  # times the time before: a trial that takes longer ends at once
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 30.0  # seconds before the next trial in a direction
UNINFORMED_BACKOFF = 8  # times as long, for more threads, where the system hides free processors
# Seconds; a thread that is taken away this soon after it was added has to wait longer.
FLAP_SECONDS = 10.0
USUAL_SECONDS = 5.0  # seconds of rounds of one kind over which their usual time is averaged


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


class ThreadController:
    """Decides on the number of threads: read `count`, evaluate, `record`.

    As many as are faster than fewer, `most` at the most; always `most` unless `adaptive`.
    """

    def __init__(
        self,
        most: int,
        free: Callable[[], float | None] = lambda: None,
        adaptive: bool = True,
    ) -> None:
        """`free`: processors that other programs left to this one, on average since it was asked
        last; None where that cannot be found out. It is asked only where the answer matters."""
        self.most = self.count = most
        self._adaptive = adaptive and most > 1
        self._free = free
        self._usual: dict[tuple[int, int], _Usual] = {}  # by threads and width
        self._rounds: deque[tuple[int, float, float]] = deque(maxlen=WINDOW_ROUNDS)
        self._trial: _Trial | None = None
        self._time = 0.0
        self._added_at = -FLAP_SECONDS  # when a thread was added last
        self._fewer_backoff = self._more_backoff = FIRST_BACKOFF
        self._fewer_at = self._more_at = 0.0  # when the next trial in a direction may begin

    def begin(self) -> None:
        """A prompt or a reply begins; nothing is known of what happened before it."""
        self._rounds.clear()
        if self._trial is not None:
            self.count, self._trial = self._trial.before, None
        free = self._free() if self._adaptive else None
        if free is not None:
            self.count = self._within(free)

    def record(self, width: int, seconds: float, processor_seconds: float) -> None:
        """`width` tokens were evaluated by `count` threads in `seconds`, in which this process was
        given `processor_seconds` of all processors together."""
        if not self._adaptive or seconds <= 0:
            return
        self._time += seconds
        self._usual.setdefault((self.count, width), _Usual()).add(seconds)
        if self._trial is not None:
            self._judge(self._trial, width, seconds)
            return
        self._rounds.append((width, seconds, processor_seconds))
        self._consider(*self._window())

    def _window(self) -> tuple[float, float, float]:
        """Of the last rounds that make up the window, or all if they are less: their seconds, how
        many times as long as usual they took, and the processors given to them."""
        seconds = processor_seconds = usual = 0.0
        for width, took, given in reversed(self._rounds):
            seconds += took
            processor_seconds += given
            usual += self._usual[self.count, width].seconds
            if seconds >= WINDOW_SECONDS:
                break
        return seconds, seconds / usual, processor_seconds / seconds

    def _consider(self, seconds: float, slowness: float, processors: float) -> None:
        """Begin a trial if there is a reason for one."""
        if seconds < WINDOW_SECONDS:
            return
        count = self.count
        given = processors / UNDISTURBED
        denied = count - given > max(DENIED, DENIED_SHARE * count)
        if count > 1 and (denied or slowness > NOISE * count / (count - 1)):
            fewer = min(count - 1, self._within(self._left_by_others(given)))
            if self._time >= self._fewer_at or self._known_to_be_faster(fewer, slowness):
                self._try(fewer, slowness)
        elif count < self.most and self._time >= self._more_at:
            free = self._free()
            if free is not None and (more := self._within(free)) > count:
                self._try(more, slowness)
            elif (
                free is None
                and self._time >= self._more_at + (UNINFORMED_BACKOFF - 1) * self._more_backoff
            ):
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
        aborted = bool(trial.ratios) and trial.ratios[-1] > log(ABORT_FACTOR)
        compared = len(trial.ratios) >= TRIAL_ROUNDS and trial.seconds >= WINDOW_SECONDS
        if not (aborted or compared or trial.rounds >= LONGEST_TRIAL):
            return
        self._trial = None
        more = self.count > trial.before
        if trial.ratios and not aborted and fmean(trial.ratios) < log(HYSTERESIS):
            self._keep(more)
        else:
            self.count = trial.before
            self._back_off(more)

    def _keep(self, more: bool) -> None:
        self._fewer_backoff = FIRST_BACKOFF
        if more:
            self._added_at = self._time
        elif self._time - self._added_at < FLAP_SECONDS:
            self._back_off(True)
        else:
            self._more_backoff, self._more_at = FIRST_BACKOFF, self._time + FIRST_BACKOFF

    def _back_off(self, more: bool) -> None:
        """Before the next trial in this direction."""
        if more:
            self._more_backoff = min(2 * self._more_backoff, LONGEST_BACKOFF)
            self._more_at = self._time + self._more_backoff
        else:
            self._fewer_backoff = min(2 * self._fewer_backoff, LONGEST_BACKOFF)
            self._fewer_at = self._time + self._fewer_backoff

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
        return max(1, min(self.most, int(processors + 1 - FREE_FOR_ONE_MORE)))
