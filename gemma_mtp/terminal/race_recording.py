"""One recorded reply as text in rows, and which of it another one has as well.

Draws nothing; knows no clock.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from gemma_mtp.api import FinishReason, Stats
from gemma_mtp.terminal.markdown.layout import wrapped
from gemma_mtp.terminal.markdown.pieces import BOLD, GREEN, UNDERLINE, Piece, Style
from gemma_mtp.terminal.screen import Styled
from gemma_mtp.text import number

EQUAL, DIFFERENT = GREEN, BOLD  # bold is to be seen without colours, too


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


class Common(NamedTuple):
    """With how many characters two texts begin alike, as far as they are known, and whether what
    comes after them is known to differ."""

    length: int
    parted: bool


class _Part(NamedTuple):
    """A token, or what of it is in one line: its place, the characters up to its end, its text."""

    place: int
    end: int
    text: str
    drafted: bool


class Lane:
    """A reply as far as it has come."""

    def __init__(self, recording: Recording, title: str, highlight: bool) -> None:
        self.recording, self.title = recording, title
        self._highlight = highlight
        self._times = [at for at, _, _ in recording.pieces]
        self._ends = [0, *accumulate(len(text) for _, text, _ in recording.pieces)]
        self._lines = _lines(recording)
        self._rows: dict[int, tuple[object, list[list[Styled]]]] = {}  # those drawn last, by line

    def count(self, seconds: float) -> int:
        """Tokens there are by then."""
        return bisect_right(self._times, seconds)

    def length(self, seconds: float) -> int:
        """Characters there are by then."""
        return self._ends[self.count(seconds)]

    def complete(self, seconds: float) -> bool:
        """Nothing follows, and nobody stopped it."""
        return seconds >= self.recording.seconds and self.recording.reason != "cancelled"

    def rows(self, seconds: float, width: int, common: Common) -> list[list[Styled]]:
        """The text so far in rows of `width` columns; `common` is what it has in common."""
        count = self.count(seconds)
        rows: list[list[Styled]] = []
        for place, line in enumerate(self._lines):
            shown = [part for part in line if part.place < count]
            if not shown:
                break
            equal = sum(part.end <= common.length for part in shown)
            look = (width, len(shown), equal, common.parted)
            if place not in self._rows or self._rows[place][0] != look:
                pieces = [Piece(p.text, self._style(p, common)) for p in shown if p.text]
                self._rows[place] = look, indented_rows(pieces, width)
            rows += self._rows[place][1]
        return rows

    def _style(self, part: _Part, common: Common) -> Style:
        drafted = part.drafted and self._highlight and part.text.strip()
        mark = EQUAL if part.end <= common.length else DIFFERENT if common.parted else ()
        return (UNDERLINE if drafted else ()) + mark

    def figures(self, seconds: float) -> str:
        """Time and rate so far, or in the end."""
        spent = min(seconds, self.recording.seconds)
        rate = self.count(seconds) / spent if spent > 0 else 0.0
        digits = 1 if self.recording.seconds >= 10 else 2
        done = " · done" if seconds >= self.recording.seconds else ""
        return f"{spent:.{digits}f} s · {number(rate)} tok/s{done}"


def _lines(recording: Recording) -> list[list[_Part]]:
    """The parts of each line; a line end belongs to the line before it."""
    lines: list[list[_Part]] = [[]]
    end = 0
    for place, (_, text, drafted) in enumerate(recording.pieces):
        for part in re.findall(r"[^\n]*\n|[^\n]+", text):
            end += len(part)
            shown = part.removesuffix("\n").replace("\t", "    ")
            lines[-1].append(_Part(place, end, shown, drafted))
            if part.endswith("\n"):
                lines.append([])
    return lines


def in_common(left: str, right: str) -> int:
    """Characters that both begin with."""
    shorter = min(len(left), len(right))
    return next((at for at in range(shorter) if left[at] != right[at]), shorter)


def indented_rows(line: list[Piece], width: int) -> list[list[Styled]]:
    """A line between words, its rows as far to the right as the line starts."""
    text = "".join(piece.text for piece in line)
    blanks = len(text) - len(text.lstrip(" "))
    if blanks > width // 2:
        blanks = 0
    rows = wrapped(line, width - blanks)
    return [[(" " * blanks, ()), *((p.text, p.style) for p in row)] for row in rows]
