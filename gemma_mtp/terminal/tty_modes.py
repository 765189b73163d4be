"""The modes of the terminal during a chat, and how it is given back: to the shell, to an editor.

A chat is in cbreak mode from its first line to its last: no echo, no lines, but Ctrl-C and Ctrl-Z
are signals. What is typed is collected meanwhile (`type_ahead`), and the prompt reads it first.
`chat.start` holds the mode; the editor and questions that are answered in lines leave it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType
from typing import Any

from gemma_mtp.terminal.console import can_draw
from gemma_mtp.terminal.escapes import DO_NOT_MARK_PASTES, LEAVE_ROW, MARK_PASTES
from gemma_mtp.terminal.interrupts import handled
from gemma_mtp.terminal.keyboard import Keyboard
from gemma_mtp.terminal.type_ahead import Show, TypeAhead

ending_signal = 0
"""The signal that has told the program to end, if one has."""


@contextmanager
def cbreak_mode(show: Show = lambda text: True) -> Iterator[None]:
    """Keep what is typed during a reply out of it; it waits for the next prompt, and `show` has it
    seen.

    Surrounds a whole chat, since a key that meets a change of mode can get lost. On leaving, with
    Ctrl-Z, and when a signal ends the program, the terminal is as it was. Where nothing can be
    drawn, lines are the terminal's to edit and to keep.
    """
    global _chat
    try:
        chat = _ChatTerminal(Keyboard(sys.stdin.fileno(), sys.stdin.encoding), show)
    except Exception:  # no module for it, as on Windows, or no such terminal: it stays as it is
        yield
        return
    with _ending_on_signals():
        if not can_draw():
            yield
            return
        try:
            _chat = chat
            chat.enter()
            chat.type_ahead.take_lines()
            chat.type_ahead.start()
            with handled(chat.suspend, signal.SIGTSTP):
                yield
        finally:
            try:
                chat.type_ahead.stop()
            finally:
                chat.leave()
                _chat = None


class _ChatTerminal:
    """A terminal with its usual modes and those of a chat. Raises what has no modes."""

    def __init__(self, keyboard: Keyboard, show: Show) -> None:
        import termios

        self._keyboard = keyboard.file
        self._usual = termios.tcgetattr(keyboard.file)
        self._cbreak: list[Any] = [*self._usual]
        self._cbreak[0] &= ~termios.ICRNL  # Enter and Ctrl-J stay apart
        self._cbreak[3] &= ~(termios.ECHO | termios.ICANON)
        self._cbreak[3] |= termios.NOFLSH  # Ctrl-C leaves what was typed before it
        self.type_ahead = TypeAhead(keyboard, show)

    def enter(self) -> None:
        """The modes of a chat."""
        self._change(self._cbreak, MARK_PASTES)

    def leave(self) -> None:
        """The modes from before the chat: lines and echo."""
        self._change(self._usual, DO_NOT_MARK_PASTES)

    def suspend(self, number: int, frame: FrameType | None) -> None:
        """Stop here until the shell goes on with the program; a handler of SIGTSTP."""
        if self.type_ahead.running and can_draw():  # a reply may stand in this row
            os.write(sys.stdout.fileno(), LEAVE_ROW.encode())
        with self.type_ahead.paused():
            self.leave()
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, self.suspend)
            self.enter()

    def _change(self, modes: list[Any], marks: str) -> None:
        import termios

        with suppress(OSError, ValueError, termios.error):  # the terminal may have gone
            os.write(sys.stdout.fileno(), marks.encode())  # a signal may come amid other output
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, modes)


_chat: _ChatTerminal | None = None
"""That of the chat that is going on."""


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end a chat as leaving it does: with a tidy terminal, and nothing lost."""

    def end(number: int, frame: FrameType | None) -> None:
        global ending_signal
        ending_signal = number
        if number != signal.SIGTERM:  # a terminal that goes says so, and then the shell does
            signal.signal(number, signal.SIG_IGN)
        end_if_told()

    heeded = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as nohup has it
    ]
    with handled(end, *heeded):
        try:
            yield
        except Exception:
            end_if_told()  # what failed is that the terminal has gone, or what the signal stopped
            raise


def end_if_told() -> None:
    """Raise SystemExit if a signal has told the program to end. Asked again before each prompt,
    since the signal may have come amid code that lets no exception through."""
    if ending_signal:
        raise SystemExit(128 + ending_signal)


def keyboard() -> Keyboard:
    """The one keyboard of a chat, since part of a key may have been read meanwhile."""
    if _chat:
        return _chat.type_ahead.keyboard
    return Keyboard(sys.stdin.fileno(), sys.stdin.encoding)


def take_type_ahead() -> str:
    """What was typed meanwhile, once."""
    return _chat.type_ahead.take() if _chat else ""


def wait_for_a_pause() -> None:
    """Until nobody is in the middle of typing something."""
    if _chat:
        _chat.type_ahead.wait_for_a_pause()


@contextmanager
def uncollected() -> Iterator[None]:
    """What is typed is somebody else's to read."""
    with _chat.type_ahead.paused() if _chat else nullcontext():
        yield


@contextmanager
def cooked_mode() -> Iterator[None]:
    """Lines and echo, for another program or for a line that is read without editing."""
    if _chat is None:
        yield
        return
    with uncollected():
        _chat.leave()
        try:
            yield
        finally:
            _chat.enter()
