"""Notes and questions on standard error, whether somebody is there to read them, and whether
anything can be drawn there.

Used by the commands; in a chat, questions are the keyboard's and notes the printer's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

DUMB = ("dumb", "unknown", "")
"""Values of TERM for a terminal that knows no escape sequence; Emacs sets the first one."""


def is_terminal(stream: Any) -> bool:
    """Whether a standard stream, which may be missing or closed, is a terminal."""
    return stream is not None and not stream.closed and stream.isatty()


def can_ask() -> bool:
    """Somebody sits at the keyboard and sees questions."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def can_talk() -> bool:
    """Somebody sits at the keyboard and sees what is written to standard output."""
    return is_terminal(sys.stdin) and is_terminal(sys.stdout)


def is_dumb(env: Mapping[str, str] | None = None) -> bool:
    """Whether TERM says that the terminal knows no escape sequence, or says nothing. No colour, no
    movement of the cursor and no mark may be written to it."""
    unset = "" if os.name != "nt" else "windows"  # where TERM is usually not set
    return (os.environ if env is None else env).get("TERM", unset).lower() in DUMB


def can_draw() -> bool:
    """Somebody sits at the keyboard of a terminal that can move its cursor."""
    return can_talk() and not is_dumb()


def note(text: str) -> None:
    """A line beside the output, by the program's name."""
    print(f"gemma-mtp: {text}", file=sys.stderr, flush=True)


def ask(question: str) -> str | None:
    """What is typed in answer, without the spaces around it; None for Ctrl-D."""
    print(question, end=" ", file=sys.stderr)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if line:
        return line.strip()
    print(file=sys.stderr)
    return None


def agreed(question: str, default: bool) -> bool:
    """Whether the answer is yes; Enter means `default`, Ctrl-D no."""
    answer = ask(f"{question} [{'Y/n' if default else 'y/N'}]")
    return default if answer == "" else (answer or "").lower() in ("y", "yes")
