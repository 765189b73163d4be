"""Messages typed earlier, in a file that is its owner's alone; session and console use it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path

from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory

from gemma_mtp.files import private
from gemma_mtp.terminal.prompt.pastes import Pastes

MOST_MESSAGES = 5000  # that can be called up again; a search looks at all of them
LARGEST_MESSAGE = 64 << 10  # bytes; what is larger is called up in its own chat only
SHORTEST_START = 3  # characters before the rest is suggested


class MessageHistory(FileHistory):
    """History of all chats until now and of this one. In memory, pastes stay put aside.

    `path` None, or one that cannot be written, keeps it in memory.
    """

    def __init__(self, path: Path | None, pastes: Pastes) -> None:
        self.on = True  # else messages are kept for this chat only
        self._pastes = pastes
        self._path = path if path and _is_writable(path) else None
        super().__init__(self._path or os.devnull)

    def load_history_strings(self) -> Iterable[str]:
        """Newest first."""
        return map(self._pastes.folded, islice(super().load_history_strings(), MOST_MESSAGES))

    def append_string(self, string: str, *, stored: bool = True) -> None:
        """Keep a message; one that was not sent is not `stored`, and so kept for this chat only."""
        if not string.strip() or self.get_strings()[-1:] == [string]:
            return
        path, self._path = self._path, self._path if stored and self.on else None
        super().append_string(string)
        self._path = path

    def store_string(self, string: str) -> None:
        """Add to the file in one write: messages of two chats do not mix."""
        text = self._pastes.expanded(string)
        lines = "".join(f"+{line}\n" for line in text.split("\n"))
        entry = f"\n# {datetime.now():%Y-%m-%d %H:%M:%S}\n{lines}".encode("utf-8", "replace")
        if self._path is None or len(entry) > LARGEST_MESSAGE:
            return
        with suppress(OSError):  # a full disk is no reason to end a chat
            file = private.open_file(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(file, entry)
            finally:
                os.close(file)


def _is_writable(path: Path) -> bool:
    try:
        os.close(private.open_file(path, os.O_RDWR | os.O_APPEND))
    except OSError:
        return False
    return True


class Suggestions(AutoSuggest):
    """The rest of the newest message that starts like this one, if all of it stays in one row of
    `columns`: prompt-toolkit's own would push the conversation up for a long one."""

    def __init__(self, pastes: Pastes, columns: int = 0) -> None:
        self._pastes = pastes
        self.columns = columns

    def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
        text = document.text
        if len(text) < SHORTEST_START:
            return None
        for message in reversed(buffer.history.get_strings()):
            if message.startswith(text) and message != text and self._is_one_row(message):
                return Suggestion(message[len(text) :])
        return None

    def _is_one_row(self, message: str) -> bool:
        shown = self._pastes.labelled(message)
        return shown == message and len(message) <= self.columns and "\n" not in message
