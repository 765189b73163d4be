"""Which options of a device are timed, and which of them is taken.

`engine.device_choice` times them and asks here what to try. Pure: knows options and timings.

Options are compared by how many times as fast a prompt is read and text is written, joined in a
weighted geometric mean: a prompt is read once and most of it stays in the cache, while each word
that is written is waited for. One that challenges the best so far has to be faster by a margin.
What wins has to do so again against a second timing of what it began with, so that a machine which
speeds up or slows down meanwhile decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gemma_mtp.api import DeviceChoice, DeviceOptions, Duel

READING = 1 / 3  # the weight of reading a prompt; the rest is that of writing
MARGIN = 1.04  # times as fast; two timings of the same differ by less
LONGEST_PIECE = 3.0  # seconds that Ctrl-C may have to wait for the end of a longer piece
LONGER_PIECES = (1024, 2048)  # tokens

Ladder = Sequence[dict[str, Any]]
"""Changes of options, each tried as long as the one before was faster."""


@dataclass(frozen=True)
class Timing:
    """Seconds: of a token of a prompt, and of what is written in turn, a plain step and a round of
    drafts."""

    reading: float
    writing: float


Time = Callable[[DeviceOptions], Timing | None]
"""Times options; None where they cannot be had, or no time is left for that."""


def ladders(chooses_attention: bool) -> list[Ladder]:
    """What to try, in this order. `chooses_attention`: flash attention was not set by the user, and
    can be done without."""
    found: list[Ladder] = [[{"piece": piece} for piece in LONGER_PIECES]]
    if chooses_attention:
        found.append([{"flash_attention": False}])
    found.append([{"shortlist": True}])
    return found


def choose(start: DeviceOptions, ladders: Iterable[Ladder], time: Time) -> DeviceChoice:
    """The fastest options, and the duels that decided it. None where `start` cannot be timed."""
    first = time(start)
    if first is None:
        return DeviceChoice(start)
    best, duels = (start, first), list[Duel]()
    for ladder in ladders:
        best = _climb(best, ladder, time, duels)
    return DeviceChoice(best[0], tuple(duels))


_Timed = tuple[DeviceOptions, Timing]


def _climb(start: _Timed, ladder: Ladder, time: Time, duels: list[Duel]) -> _Timed:
    best, begun = start, len(duels)
    for changes in ladder:
        options = replace(best[0], **changes)
        timing = time(options)
        if timing is None:
            break
        challenger = options, timing
        won = _wins(challenger, best)
        duels.append(Duel(options, best[0], *_times_as_fast(timing, best[1]), won))
        if not won:
            break
        best = challenger
    if best is start:
        return start
    again = time(start[0])
    if again is not None and _wins(best, (start[0], again)):
        return best
    duels[begun:] = [replace(duel, won=False) for duel in duels[begun:]]
    return start if again is None else (start[0], again)


def _wins(challenger: _Timed, holder: _Timed) -> bool:
    options, timing = challenger
    reading, writing = _times_as_fast(timing, holder[1])
    if options.piece > holder[0].piece:
        if options.piece * timing.reading > LONGEST_PIECE:
            return False
        # Its larger cache of the sliding window makes writing slower, and nothing makes it faster:
        # where it seems so, the machine was disturbed.
        writing = min(writing, 1.0)
    if options == replace(holder[0], shortlist=options.shortlist):
        return writing >= MARGIN  # a prompt is read as before
    return float(reading**READING * writing ** (1 - READING)) >= MARGIN


def _times_as_fast(new: Timing, old: Timing) -> tuple[float, float]:
    """Of reading and of writing."""
    return old.reading / new.reading, old.writing / new.writing
