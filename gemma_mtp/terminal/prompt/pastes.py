"""Long texts as one character each: a label while a message is typed, all of it when it is sent.

Knows neither keyboard nor screen. The characters are private ones; a text that has some of its own
is kept as a whole, so that nothing but what was kept is ever replaced.
"""

from __future__ import annotations

import re

_MARKS = re.compile("[\U0010e000-\U0010fffd]")
_FIRST, _LAST = 0x10E000, 0x10FFFD

# A paste beyond this is put aside; what was typed, or comes from the history, may be longer.
PASTE_LINES, PASTE_CHARACTERS = 10, 1000
TEXT_LINES, TEXT_CHARACTERS = 40, 8000
HEAD = 200


class Pastes:
    """What was put aside in this chat."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, str]] = {}

    def pasted(self, text: str) -> str:
        """A paste as it goes into the line: itself, or the character that stands for it."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if _is_long(text, PASTE_LINES, PASTE_CHARACTERS) or _MARKS.search(text):
            return self._keep(text, "pasted ")
        return text

    def folded(self, text: str) -> str:
        """A text to start from; of a long one only the first line is spelled out."""
        if _MARKS.search(text):
            return self._keep(text, "")
        if not _is_long(text, TEXT_LINES, TEXT_CHARACTERS):
            return text
        head, _, rest = text.partition("\n")
        if rest and len(head) <= HEAD:
            return f"{head}\n{self._keep(rest, '')}"
        return self._keep(text, "")

    def expanded(self, line: str) -> str:
        """A line with the texts themselves."""
        return _MARKS.sub(lambda mark: self._kept.get(mark[0], (mark[0], ""))[0], line)

    def labelled(self, line: str) -> str:
        """A line as it is shown."""
        return _MARKS.sub(lambda mark: self.label(mark[0]), line)

    def label(self, char: str) -> str:
        """What is shown for one character of a line; most stand for themselves."""
        return self._kept[char][1] if char in self._kept else char

    def any_in(self, line: str) -> bool:
        """Some of the line is not spelled out."""
        return any(mark in self._kept for mark in _MARKS.findall(line))

    def _keep(self, text: str, how: str) -> str:
        mark = chr(_FIRST + len(self._kept))
        if ord(mark) > _LAST:
            return text
        lines = len(text.splitlines())
        size = f"{lines:,} lines" if lines > 1 else f"{len(text):,} characters"
        self._kept[mark] = text, f"[{how}{size}]"
        return mark


def _is_long(text: str, lines: int, characters: int) -> bool:
    return len(text) > characters or text.count("\n") >= lines
