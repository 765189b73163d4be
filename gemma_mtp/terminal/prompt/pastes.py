"""Long texts as one character each: a label while a message is typed, all of it when it is sent.

The session puts pastes aside here, the history long messages. The characters are private ones; a
text that has some of its own is kept as a whole, so that nothing but what was kept is replaced.
"""

from __future__ import annotations

import re

_FIRST, _LAST = "\U0010e000", "\U0010fffd"
_MARKS = re.compile(f"[{_FIRST}-{_LAST}]")

# A paste beyond this is put aside; what was typed, or comes from the history, may be longer.
PASTE_LINES, PASTE_CHARACTERS = 10, 1000
TEXT_LINES, TEXT_CHARACTERS = 40, 8000
LONGEST_FIRST_LINE = 200  # characters of a message that is put aside but for its first line


class Pastes:
    """What was put aside in this chat."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, str]] = {}

    def pasted(self, text: str) -> str:
        """A paste as it goes into the message: itself, or the character that stands for it."""
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
        first, _, rest = text.partition("\n")
        if rest and len(first) <= LONGEST_FIRST_LINE:
            return f"{first}\n{self._keep(rest, '')}"
        return self._keep(text, "")

    def expanded(self, message: str) -> str:
        """A message with the texts themselves."""
        return _MARKS.sub(lambda mark: self._kept.get(mark[0], (mark[0], ""))[0], message)

    def labelled(self, message: str) -> str:
        """A message as it is shown."""
        return _MARKS.sub(lambda mark: self._kept.get(mark[0], ("", mark[0]))[1], message)

    def _keep(self, text: str, how: str) -> str:
        mark = chr(ord(_FIRST) + len(self._kept))
        if mark > _LAST:
            return text
        self._kept[mark] = text, f"[{how}{size(text)}]"
        return mark


def size(text: str) -> str:
    """What a label says of a long text."""
    lines = len(text.splitlines())
    return f"{lines:,} lines" if lines > 1 else f"{len(text):,} characters"


def _is_long(text: str, lines: int, characters: int) -> bool:
    return len(text) > characters or text.count("\n") >= lines
