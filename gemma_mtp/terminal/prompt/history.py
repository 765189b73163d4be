"""Lines typed earlier, in a file that is its owner's alone. Knows no keys."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.history import History

from gemma_mtp.files import private
from gemma_mtp.terminal.prompt.pastes import Pastes

READ = 2 << 20  # bytes of the file's end that are read
MOST = 5000  # lines that can be called up again
LARGEST = 64 << 10  # bytes of a line that is written to the file
SHORTEST = 3  # characters before one is suggested


class Lines(History):
    """History of all chats until now and of this one. In memory, pastes stay put aside."""

    def __init__(self, path: Path | None, pastes: Pastes) -> None:
        super().__init__()
        self.on = True
        self._pastes = pastes
        self._path = path if path and _made_private(path) else None
        self._loaded_strings = list(self.load_history_strings())
        self._loaded = True

    def append_string(self, string: str) -> None:
        if self.on and string.strip() and self._loaded_strings[:1] != [string]:
            super().append_string(string)

    def remember(self, string: str) -> None:
        """Keep a line that was not sent, for this chat only."""
        if self.on and string.strip():
            self._loaded_strings.insert(0, string)

    def load_history_strings(self) -> Iterable[str]:
        """Newest first."""
        if self._path is None:
            return []
        with suppress(OSError), open(self._path, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - READ, 0))
            data = file.read().decode("utf-8", "replace")
            return [self._pastes.folded(text) for text in reversed(_entries(data)[-MOST:])]
        return []

    def store_string(self, string: str) -> None:
        """Add to the file in one write: lines of two chats do not mix."""
        text = self._pastes.expanded(string)
        lines = "".join(f"+{line}\n" for line in text.split("\n"))
        entry = f"\n# {datetime.now():%Y-%m-%d %H:%M:%S}\n{lines}".encode("utf-8", "replace")
        if self._path is None or len(entry) > LARGEST:
            return
        with suppress(OSError):  # a full disk is no reason to end a chat
            file = private.open_file(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(file, entry)
            finally:
                os.close(file)


def _made_private(path: Path) -> bool:
    try:
        os.close(private.open_file(path, os.O_RDWR | os.O_APPEND))
    except OSError:
        return False
    return True


def _entries(data: str) -> list[str]:
    """Texts in the order they were written; each of their lines has a plus in front."""
    found: list[list[str]] = []
    fresh = True
    for line in data.split("\n"):
        if not line.startswith("+"):
            fresh = True
        elif fresh:
            found.append([line[1:]])
            fresh = False
        else:
            found[-1].append(line[1:])
    return ["\n".join(lines) for lines in found]


class Suggestions(AutoSuggest):
    """The rest of the newest line that starts like this one, if it stays in one row."""

    def __init__(self, pastes: Pastes, room: int = 0) -> None:
        self._pastes = pastes
        self.room = room

    def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
        text = document.text
        if len(text) < SHORTEST or "\n" in text:
            return None
        for line in reversed(buffer.history.get_strings()):
            if line.startswith(text) and line != text and self._is_plain(line):
                return Suggestion(line[len(text) :])
        return None

    def _is_plain(self, line: str) -> bool:
        return len(line) <= self.room and "\n" not in line and not self._pastes.any_in(line)
