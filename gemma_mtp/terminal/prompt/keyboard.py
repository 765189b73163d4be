"""The keyboard of a chat: messages, texts in an editor, answers to questions.

Knows what can be typed, but not what it means. prompt-toolkit is imported with the first keyboard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.terminal.modes import end_if_told, is_dumb, quiet_keyboard
from gemma_mtp.terminal.prompt.completion import Completion, paths
from gemma_mtp.terminal.prompt.editor import edited
from gemma_mtp.terminal.prompt.pastes import Pastes

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from gemma_mtp.terminal.prompt.history import Lines
    from gemma_mtp.terminal.prompt.line import Line

__all__ = ["Completion", "Keyboard", "paths", "quiet_keyboard"]


class Keyboard:
    """Asks the person at the terminal."""

    def __init__(
        self,
        *,
        history: Path | None,
        complete: Callable[[str], Iterable[Completion]],
        bar: Callable[[], list[tuple[int, str]]],
        vi: bool = False,
        prompt: str = ">>> ",
    ) -> None:
        self.vi = vi
        self._file, self._complete, self._bar, self._prompt = history, complete, bar, prompt
        self._pastes = Pastes()

    @property
    def history_on(self) -> bool:
        """Lines are kept, for Up and Ctrl-R and for the next chat."""
        return self._history.on

    @history_on.setter
    def history_on(self, on: bool) -> None:
        self._history.on = on

    def read(self, default: str = "") -> str:
        """The next message, starting from a text; EOFError when the person leaves."""
        end_if_told()
        if is_dumb():
            from gemma_mtp.terminal.prompt.plain import read_plain

            text = read_plain(self._prompt, default)
            self._history.append_string(text)
            return text
        return self._line.read(default, self.vi)

    def edit(self, text: str) -> str | None:
        """A text as the user's editor leaves it; None when it is the same or the editor failed."""
        try:
            after = edited(text)
        except GemmaMtpError as error:
            print(f"{error} {error.hint}")
            return None
        return after if after != text else None

    def ask(
        self, question: str, choices: Sequence[str], numbers: Sequence[int] | None = None
    ) -> int | None:
        """Which of the choices, that have these numbers or 1, 2, ...; None for none of them."""
        if is_dumb():
            from gemma_mtp.terminal.prompt.plain import ask_plain

            return ask_plain(question, choices, numbers)
        from gemma_mtp.terminal.prompt.picker import Picker

        return Picker(question, choices, numbers).run(self._terminal)

    @cached_property
    def _terminal(self) -> tuple[Input, Output]:
        from gemma_mtp.terminal.prompt.device import open_terminal

        return open_terminal()

    @cached_property
    def _history(self) -> Lines:
        from gemma_mtp.terminal.prompt.history import Lines

        return Lines(self._file, self._pastes)

    @cached_property
    def _line(self) -> Line:
        from gemma_mtp.terminal.prompt.line import Line

        return Line(
            self._terminal, self._history, self._pastes, self._complete, self._bar, self._prompt
        )
