"""The console of a chat: messages, texts in an editor, answers to questions.

`chat.start` makes one with the first line of a chat. It knows what can be typed, but not what it
means.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from prompt_toolkit.input import Input
from prompt_toolkit.output import Output

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.terminal.console import can_draw
from gemma_mtp.terminal.prompt.editor import edited
from gemma_mtp.terminal.prompt.history import MessageHistory
from gemma_mtp.terminal.prompt.line_input import ask_for_number, read_lines
from gemma_mtp.terminal.prompt.pastes import Pastes
from gemma_mtp.terminal.prompt.picker import pick
from gemma_mtp.terminal.prompt.session import Completions, MessageSession, Toolbar
from gemma_mtp.terminal.prompt.vt100 import open_terminal
from gemma_mtp.terminal.tty_modes import end_if_told


class ChatConsole:
    """Asks the person at the terminal."""

    def __init__(
        self,
        *,
        history: Path | None,
        completions: Completions,
        toolbar: Toolbar,
        vi: bool = False,
    ) -> None:
        self.vi = vi
        self._completions, self._toolbar = completions, toolbar
        self._pastes = Pastes()
        self._history = MessageHistory(history, self._pastes)

    @property
    def history_on(self) -> bool:
        """Messages are kept for the chats to come, and not only for this one."""
        return self._history.on

    @history_on.setter
    def history_on(self, on: bool) -> None:
        self._history.on = on

    def read(self, default: str = "") -> str:
        """The next message, starting from a text; EOFError when the person leaves."""
        end_if_told()
        if not can_draw():
            text = read_lines(default)
            self._history.append_string(text)
            return text
        return self._session.read(default, self.vi)

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
        numbers = numbers or range(1, len(choices) + 1)
        if not can_draw():
            return ask_for_number(question, choices, numbers)
        return pick(self._terminal, question, choices, numbers)

    @cached_property
    def _terminal(self) -> tuple[Input, Output]:
        return open_terminal()

    @cached_property
    def _session(self) -> MessageSession:
        return MessageSession(
            self._terminal,
            self._history,
            self._pastes,
            self._completions,
            self._toolbar,
        )
