"""What was typed while nobody read it, as a line that grows: `type_ahead` keeps it and has it
shown, and the prompt takes it as if it was typed there. Pure: text in, text out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gemma_mtp.terminal.escapes import NEW_LINES, PASTE_END, PASTE_START
from gemma_mtp.terminal.prompt.pastes import size

ENTER, BACKSPACE, CLEAR = "\r", ("\x7f", "\x08"), "\x15"
QUEUED = "(queued)"
SHORT_PASTE = 80  # characters in one line that are shown as they are

SIGNS = {
    ENTER: " ⏎ ",
    "\t": "⇥",
    "\n": "¶",
    **dict.fromkeys(NEW_LINES, "¶"),
    **{f"\x1b{how}{key}": sign for how in "[O" for key, sign in zip("ABCD", "↑↓→←", strict=True)},
}
_PASTE = f"{re.escape(PASTE_START)}.*?{re.escape(PASTE_END)}"
_KEY = re.compile(f"{_PASTE}|\x1b\r|\x1b\\[[0-?]*[@-~]|\x1bO[^\x1b]|\x1b[^\x1b]|.", re.DOTALL)
_UNFINISHED = re.compile(f"{re.escape(PASTE_START)}|\x1b(?:\\[[0-?]*)?\\Z")


class Key(NamedTuple):
    """A key, or a paste of several lines: as it came, and as it is shown."""

    text: str
    sign: str


class Typed:
    """Keys in the order in which they were pressed. Backspace takes the last one back, be it Enter,
    and Ctrl-U all of them; the others do something only at the prompt."""

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._begun = ""  # a key or a paste of which the rest is still to come

    def feed(self, text: str) -> None:
        """Press keys."""
        if self._begun.startswith(PASTE_START) and PASTE_END not in self._begun[-9:] + text:
            self._begun += text
            return
        text, self._begun, at = self._begun + text, "", 0
        while at < len(text):
            key = _KEY.match(text, at)
            assert key
            if _UNFINISHED.match(text, at) and not key[0].endswith(PASTE_END):
                self._begun = text[at:]
                return
            self._press(key[0])
            at = key.end()

    def take(self) -> str:
        """All of it, once."""
        text = "".join(key.text for key in self._keys) + self._begun
        self._keys, self._begun = [], ""
        return text

    @property
    def shown(self) -> str:
        """One line; a message that Enter ended is sent when its turn has come."""
        text = "".join(key.sign for key in self._keys)
        return text + QUEUED if text.endswith(SIGNS[ENTER]) else text

    def _press(self, key: str) -> None:
        if key in BACKSPACE:
            del self._keys[-1:]
        elif key == CLEAR:
            self._keys.clear()
        elif key.startswith(PASTE_START):
            self._paste(key)
        else:
            self._keys.append(Key(key, SIGNS.get(key) or _caret(key)))

    def _paste(self, key: str) -> None:
        text = key.removeprefix(PASTE_START).removesuffix(PASTE_END)
        if text.isprintable() and len(text) <= SHORT_PASTE:
            self._keys += [Key(char, char) for char in text]
        else:
            self._keys.append(Key(key, f"[pasted {size(text)}]"))


def _caret(key: str) -> str:
    """A key that writes nothing, as ^ and a letter, which is what it is with Ctrl."""
    return f"^{chr(ord(key[0]) ^ 64)}" if key[0] < " " else key
