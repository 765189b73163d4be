"""What comes from the terminal's keyboard, as text: pastes are between marks, also where the
terminal sets none, and there are no reports and keys in it that nobody knows.

`type_ahead` reads it while nobody else does, and the prompt (`vt100`) while a message is typed.
"""

from __future__ import annotations

import os
import re
import select
from codecs import getincrementaldecoder
from functools import cache

from gemma_mtp.terminal.escapes import NEW_LINES, PASTE_END, PASTE_START

PIECE = 1 << 20  # bytes of a paste that are taken at once: prompt-toolkit copies all it has of a
# paste with each piece, and with 20 MB in pieces of 4 kB took two minutes
FULL = 1000  # bytes; a terminal that hands out so many (4 kB at the most) has more to come
PATIENCE = 0.01  # seconds until the rest of a paste, or of a key, comes

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SEVERAL_LINES = re.compile(r"[\r\n][^\r\n]")
_UNFINISHED = re.compile(rb"\x1b(\[[0-?]*)?\Z")
LONGEST_MARK = len(PASTE_END)


class Keyboard:
    """The terminal that keys come from, as a file number.

    Several characters that come at once, with a line end that more characters follow, are a paste:
    nobody types so. Its line ends send nothing. Neither do those of a paste between marks.
    """

    def __init__(self, file: int, encoding: str) -> None:
        self.file = file
        self.closed = False
        self._decode = getincrementaldecoder(encoding)("replace").decode
        self._recent = ""  # the end of what came last, where a mark may have begun
        self._in_paste = False

    def read(self) -> str:
        """What there is just now, perhaps nothing; a character may still be on its way."""
        data = bytearray()
        patience = 0.0
        while len(data) < PIECE and select.select([self.file], [], [], patience)[0]:
            more = os.read(self.file, PIECE)
            self.closed = not more
            data += more
            if not (len(more) >= FULL or patience or self._goes_on(data)):
                break
            patience = PATIENCE if more else 0.0
        return self._marked(self._decode(data))

    def read_lines(self) -> str:
        """What was typed before the keyboard told Enter from Ctrl-J: each line end is Enter."""
        data = os.read(self.file, PIECE) if select.select([self.file], [], [], 0)[0] else b""
        return self._decode(data).replace("\r\n", "\r").replace("\n", "\r")

    def _goes_on(self, data: bytearray) -> bool:
        """Whether the rest of a key, or of a paste without marks, is still to come."""
        return _UNFINISHED.search(data) is not None or self._is_burst(data.decode(errors="ignore"))

    def _is_burst(self, text: str) -> bool:
        several = _SEVERAL_LINES.search(text) and not _CONTROL.search(text)
        return bool(several) and not self._in_paste

    def _marked(self, text: str) -> str:
        """The text with the marks of a paste around it, if it is one without; what the terminal
        reports, and keys that nobody knows, are left out."""
        before = self._in_paste
        self._follow(text)
        if before or self._in_paste:
            inside, end, after = text.partition(PASTE_END) if before else ("", "", text)
            return inside + end + _known(after)
        if self._is_burst(text):
            return PASTE_START + text + PASTE_END
        return _known(text.replace("\r\n", "\r"))

    def _follow(self, text: str) -> None:
        """Whether a paste between marks goes on behind this text; a mark may come in parts."""
        seen = self._recent + text
        start, end = seen.rfind(PASTE_START), seen.rfind(PASTE_END)
        if start != end:
            self._in_paste = start > end
        self._recent = seen[1 - LONGEST_MARK :]


def _known(text: str) -> str:
    """Without sequences that would come out as letters: those of keys that nobody knows, and what
    the terminal reports of the mouse, of its focus and of itself."""
    return _sequences().sub(lambda found: found["known"] or "", text) if "\x1b" in text else text


@cache
def _sequences() -> re.Pattern[str]:
    from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES

    known = {*ANSI_SEQUENCES, *NEW_LINES, PASTE_END} - {PASTE_START}
    longest_first = sorted((key for key in known if len(key) > 1), key=len, reverse=True)
    keys = "|".join(map(re.escape, longest_first))
    paste = f"{re.escape(PASTE_START)}.*?(?:{re.escape(PASTE_END)}|\\Z)"
    reports = r"\x1b(?:\[(?:M...|[0-?]*[@-~])|[\]P][^\x07\x1b]*(?:\x07|\x1b\\))"
    return re.compile(f"(?P<known>{paste}|{keys})|{reports}", re.DOTALL)
