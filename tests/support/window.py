"""A terminal without a program in it: what is written to it, an emulator shows."""

from __future__ import annotations

import io
from collections.abc import Mapping

from support.emulator import Emulator

from gemma_mtp.terminal.screen import Screen


class Window(io.StringIO):
    """A terminal of some size with an emulator behind it, which breaks rows anew where it gets
    another width, or cuts them."""

    def __init__(self, columns: int, rows: int = 24, *, reflows: bool = True) -> None:
        super().__init__()
        self.columns, self.lines = columns, rows
        self.emulator = Emulator(columns, rows, reflows=reflows)

    def screen(self, **env: str) -> Screen:
        """What the program writes to."""
        return Shown(self, {"TERM": "xterm", **env})

    def resize(self, columns: int, rows: int | None = None) -> None:
        self.columns, self.lines = columns, rows or self.lines
        self.emulator.resize(rows, columns)

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.emulator.feed(text.replace("\n", "\r\n"))
        return super().write(text)

    @property
    def rows(self) -> list[str]:
        return self.emulator.rows

    @property
    def styles(self) -> dict[str, str]:
        """The first letter of each word on the screen with its colour and so on."""
        found: dict[str, str] = {}
        for y, row in enumerate(self.emulator.display):
            for word in row.split():
                cell = self.emulator.buffer[y][row.index(word)]
                marks = [name for name in ("bold", "italics", "underscore") if getattr(cell, name)]
                found[word] = " ".join([cell.fg, *marks])
        return found


class Shown(Screen):
    """A screen of the window's size."""

    def __init__(self, window: Window, env: Mapping[str, str]) -> None:
        self._window = window
        super().__init__(window, window, env)

    def _size(self) -> tuple[int, int]:
        return self._window.columns, self._window.lines
