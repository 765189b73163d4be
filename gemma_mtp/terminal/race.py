"""Two replies to the same message: how each is recorded, and how the race between them went.

`chat.race` records them, `race_view` shows them. Draws nothing.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile
from statistics import median

from gemma_mtp.api import (
    ENOUGH_TO_COMPARE,
    End,
    Event,
    FinishReason,
    Prefill,
    Stats,
    TextDelta,
    comparable,
)
from gemma_mtp.terminal.figures import drafts_used
from gemma_mtp.terminal.outcome import explained, judged
from gemma_mtp.text import counted, number

PARTS = 8  # of a reply, whose speeds say how evenly the machine worked


@dataclass(frozen=True)
class Recording:
    """What came when: pieces as (seconds, text, drafted), thoughts included.

    The clock starts when the prompt has been read, which the cache makes quick the second time.
    """

    pieces: tuple[tuple[float, str, bool], ...]
    stats: Stats
    text: str
    reason: FinishReason

    @property
    def seconds(self) -> float:
        """From the prompt to the last piece."""
        return self.pieces[-1][0] if self.pieces else 0.0

    @property
    def rate(self) -> float:
        """Tokens a second, by the clock."""
        return len(self.pieces) / self.seconds if self.seconds > 0 else 0.0

    def rates(self) -> list[float]:
        """Tokens a second in each of its `PARTS`."""
        ends = [len(self.pieces) * part // PARTS - 1 for part in range(1, PARTS + 1)]
        at = [(-1, 0.0), *((end, self.pieces[end][0]) for end in ends)]
        return [(b - a) / max(t - s, 1e-9) for (a, s), (b, t) in pairwise(at)]

    def count(self, seconds: float) -> int:
        """How many tokens were written within so many seconds."""
        return bisect_right(self.pieces, seconds, key=lambda piece: piece[0])

    def length(self, seconds: float) -> int:
        """How many characters were written within so many seconds."""
        return sum(len(text) for _, text, _ in self.pieces[: self.count(seconds)])

    def complete(self, seconds: float) -> bool:
        """Whether all of the reply was written by then, without being stopped."""
        return seconds >= self.seconds and self.reason != "cancelled"

    def figures(self, seconds: float) -> str:
        """Time and rate so far, or in the end."""
        spent = min(seconds, self.seconds)
        rate = self.count(seconds) / spent if spent > 0 else 0.0
        digits = 1 if self.seconds >= 10 else 2
        done = " · done" if seconds >= self.seconds else ""
        return f"{spent:.{digits}f} s · {number(rate)} tok/s{done}"

    def drafted(self) -> Iterator[tuple[int, int]]:
        """Where in the text the tokens are that had been drafted."""
        end = 0
        for _, text, drafted in self.pieces:
            start, end = end, end + len(text)
            if drafted and text.strip():
                yield start, end


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
        elif isinstance(event, TextDelta):
            between = "\n\n" if thinking and not event.thought else ""  # a thought and its answer
            pieces.append((clock() - start, between + event.text, event.drafted))
            thinking = event.thought
        elif isinstance(event, End):
            stats, reason = event.stats, event.reason
    return Recording(tuple(pieces), stats, "".join(text for _, text, _ in pieces), reason)


def in_common(left: str, right: str) -> int:
    """Characters that both begin with."""
    pairs = zip(left, right, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def verdict(
    left: Recording, right: Recording, titles: tuple[str, str], *, built_in: bool = False
) -> list[str]:
    """How the race went, in words; `right` had drafts, if any were used. `built_in`: the pair is
    the toy."""
    lines = [
        f"{title}: {counted(len(one.pieces), 'token')} in {one.seconds:.2f} s, "
        f"{number(one.rate)} tok/s"
        for title, one in zip(titles, (left, right), strict=True)
    ]
    return [*lines, _texts(left, right), _speeds(left, right, built_in)]


def _speeds(left: Recording, right: Recording, built_in: bool) -> str:
    """What drafts did to the speed, or why that cannot be said."""
    if not drafts_used(right.stats):
        return explained(right.stats, built_in=built_in)
    tokens = min(len(left.pieces), len(right.pieces))
    if tokens < ENOUGH_TO_COMPARE or not (left.rate and right.rate):
        return f"Too short to compare the speeds: {counted(tokens, 'token')}."
    factor, error = right.rate / left.rate, _error(left, right)
    if not comparable(tokens, error):
        return "The timings differ too much to compare the speeds: other programs were busy."
    return judged(factor, error, built_in=built_in)


def _error(left: Recording, right: Recording) -> float:
    """How far the ratio of the two rates may be off, as a share of it.

    Plain decoding writes at an even pace, so what its parts differ by is what the machine did.
    It may have done something else during the other reply: then the ratio is not what that reply
    measured by itself, with plain steps in between.
    """
    rates = left.rates()
    uneven = median(abs(rate - median(rates)) for rate in rates) / median(rates)
    measured = right.stats.speedup
    return max(uneven, abs(right.rate / left.rate / measured - 1) if measured else 0.0)


def _texts(left: Recording, right: Recording) -> str:
    tokens = counted(len(left.pieces), "token")
    if left.text == right.text:
        return f"The texts are equal: {tokens}."
    same = in_common(left.text, right.text)
    stopped = "cancelled" in (left.reason, right.reason)
    if same == len(left.text) and stopped:
        return f"The texts are equal as far as both go: {tokens}."
    ends = (left.length(at) for at, _, _ in left.pieces)
    token = 1 + sum(1 for _ in takewhile(lambda end: end <= same, ends))
    return f"The texts differ from token {token} on: a near-tie, or gemma-mtp verify finds out."
