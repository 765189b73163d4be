"""Two replies to the same message, recorded and then shown again next to each other in real time.

Knows events and a screen, but neither the engine nor the chat.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from gemma_mtp.api import End, Event, FinishReason, Prefill, Stats, Text
from gemma_mtp.terminal.race_columns import Lanes
from gemma_mtp.terminal.race_recording import Recording, in_common
from gemma_mtp.terminal.screen import Screen
from gemma_mtp.text import counted, number

FRAME = 0.05  # seconds

Stopped = Callable[[], bool]


def record(events: Iterable[Event], clock: Callable[[], float] = time.monotonic) -> Recording:
    """Take a reply down instead of showing it."""
    start = clock()
    pieces: list[tuple[float, str, bool]] = []
    thinking = False
    stats = Stats()
    reason: FinishReason = "cancelled"
    for event in events:
        if isinstance(event, Prefill) and not pieces:
            start = clock()
        elif isinstance(event, Text):
            between = "\n\n" if thinking and not event.thought else ""  # a thought and its answer
            pieces.append((clock() - start, between + event.text, event.drafted))
            thinking = event.thought
        elif isinstance(event, End):
            stats, reason = event.stats, event.reason
    return Recording(tuple(pieces), stats, "".join(text for _, text, _ in pieces), reason)


def replay(
    screen: Screen,
    left: Recording,
    right: Recording,
    *,
    titles: tuple[str, str] = ("plain", "with drafts"),
    highlight: bool = False,
    factor: float = 1.0,
    stopped: Stopped = lambda: False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show both, `factor` times as fast as they were written, until they end or are `stopped`."""
    lanes = Lanes(screen, (left, right), titles, highlight)
    if not screen.at_line_start:
        screen.write("\n", note=True)
    if factor != 1:
        lanes.say(_pace(factor))
    lanes.begin()
    start = clock()
    seconds = 0.0
    while screen.live and seconds < max(left.seconds, right.seconds) and not stopped():
        lanes.draw(seconds)
        sleep(FRAME)
        seconds = (clock() - start) * factor
    lanes.end()
    for line in verdict(left, right, titles):
        lanes.say(line)


def verdict(left: Recording, right: Recording, titles: tuple[str, str]) -> list[str]:
    """How the race went, in words."""
    lines = [
        f"{title}: {counted(len(one.pieces), 'token')} in {one.seconds:.2f} s, "
        f"{number(one.rate)} tok/s"
        for title, one in zip(titles, (left, right), strict=True)
    ]
    if left.rate and right.rate:
        ratio = right.rate / left.rate
        lines.append(f"Speed {titles[1]}: {ratio:.2f} times {titles[0]}.")
    return [*lines, _texts(left, right)]


def _pace(factor: float) -> str:
    if factor > 1:
        return f"Shown {factor:g} times as fast as it was."
    return f"In slow motion: {1 / factor:g} times as long as it took."


def _texts(left: Recording, right: Recording) -> str:
    if left.text == right.text:
        return f"The texts are equal: {counted(len(left.pieces), 'token')}."
    same = in_common(left.text, right.text)
    end = 0
    for count, (_, text, _) in enumerate(left.pieces):
        end += len(text)
        if end > same:
            return _differ(count + 1)
    if "cancelled" in (left.reason, right.reason):
        return f"The texts are equal as far as both go: {counted(len(left.pieces), 'token')}."
    return _differ(len(left.pieces) + 1)


def _differ(token: int) -> str:
    return f"The texts differ from token {token} on: a near-tie, or gemma-mtp verify finds out."
