"""What the terminal does with keys: quiet during a chat, as usual for what else runs meanwhile.

Knows neither lines nor replies.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType
from typing import Any

from gemma_mtp.terminal.escapes import DO_NOT_MARK_PASTES, MARK_PASTES
from gemma_mtp.terminal.prompt.ahead import Ahead

quiet = False
"""A chat is on, and marks of pastes stay on with it."""

ahead: Ahead | None = None
"""Takes what is typed during that chat."""

told = 0
"""The signal that has told the program to end, if one has."""


def is_dumb() -> bool:
    """The terminal cannot move its cursor, or is none."""
    return (
        os.environ.get("TERM", "").lower() in ("dumb", "unknown")
        or not sys.stdin.isatty()
        or not sys.stdout.isatty()
    )


@contextmanager
def quiet_keyboard() -> Iterator[None]:
    """Keep what is typed during a reply out of it; it waits for the next prompt.

    Surrounds a whole chat, since a key that meets a change of mode can get lost.
    """
    try:
        import termios

        keyboard = sys.stdin.fileno()
        before = termios.tcgetattr(keyboard)
    except Exception:  # no such module, or no such terminal: then it stays as it is
        yield
        return
    during = [*before]
    during[0] = before[0] & ~termios.ICRNL  # Enter and Ctrl-J stay apart
    during[3] = before[3] & ~(termios.ECHO | termios.ICANON)
    during[3] |= termios.NOFLSH  # Ctrl-C leaves what was typed before it

    global ahead
    ahead = collector = Ahead(keyboard)

    def enter() -> None:
        _set(keyboard, termios.TCSANOW, during, MARK_PASTES, now_quiet=True)

    def leave() -> None:
        _set(keyboard, termios.TCSADRAIN, before, DO_NOT_MARK_PASTES, now_quiet=False)

    with _endable():
        try:
            enter()
            if not is_dumb():
                collector.start()
            with _suspendable(enter, leave):
                yield
        finally:
            try:
                collector.stop()
            finally:
                leave()
                ahead = None


@contextmanager
def reading() -> Iterator[bytes]:
    """The terminal to oneself, and what was typed before."""
    if ahead is None:
        yield b""
        return
    with ahead.paused():
        yield ahead.take()


def wait_for_a_pause() -> None:
    """Until nobody is in the middle of typing something."""
    if ahead is not None:
        ahead.wait_for_a_pause()


def _set(keyboard: int, when: int, modes: list[Any], pastes: str, *, now_quiet: bool) -> None:
    import termios

    global quiet
    quiet = now_quiet
    with suppress(OSError, ValueError, termios.error):  # the terminal may have gone
        if not is_dumb():
            os.write(sys.stdout.fileno(), pastes.encode())  # a signal may come amid other output
        termios.tcsetattr(keyboard, when, modes)


@contextmanager
def _suspendable(enter: Any, leave: Any) -> Iterator[None]:
    """Ctrl-Z gives the shell its terminal as it was."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def suspend(number: int, frame: FrameType | None) -> None:
        with ahead.paused() if ahead else nullcontext():
            leave()
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)  # stops here
            signal.signal(signal.SIGTSTP, suspend)
            enter()

    earlier = signal.signal(signal.SIGTSTP, suspend)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, earlier)


@contextmanager
def _endable() -> Iterator[None]:
    """SIGTERM and SIGHUP end a chat as leaving it does: with a tidy terminal, and nothing lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        global told
        told = number
        if number != signal.SIGTERM:  # a terminal that goes says so, and then the shell does
            signal.signal(number, signal.SIG_IGN)
        end_if_told()

    signals = [signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)]
    earlier = {n: signal.getsignal(n) or signal.SIG_DFL for n in signals}
    for number, handler in earlier.items():
        if handler is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, end)
    try:
        yield
    except Exception:
        end_if_told()  # what failed is that the terminal has gone, or what the signal stopped
        raise
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def end_if_told() -> None:
    """Leave, also where a signal came amid code that lets no exception through."""
    if told:
        raise SystemExit(128 + told)


@contextmanager
def usual_keyboard() -> Iterator[None]:
    """Lines and echo, for another program or for a line that is read without editing."""
    try:
        import termios

        keyboard = sys.stdin.fileno()
        before = termios.tcgetattr(keyboard)
    except Exception:
        yield
        return
    usual = [*before]
    usual[0] = before[0] | termios.ICRNL
    usual[3] = before[3] | termios.ECHO | termios.ICANON | termios.ISIG
    usual[3] &= ~termios.NOFLSH
    was_quiet = quiet
    with ahead.paused() if ahead else nullcontext():
        _set(keyboard, termios.TCSADRAIN, usual, DO_NOT_MARK_PASTES, now_quiet=False)
        try:
            yield
        finally:
            marks = MARK_PASTES if was_quiet else DO_NOT_MARK_PASTES
            _set(keyboard, termios.TCSADRAIN, before, marks, now_quiet=was_quiet)
