"""Notes and questions on standard error, whether somebody is there to read them, and whether
anything can be drawn there.

Used by the commands; in a chat, questions are the keyboard's and notes the printer's.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
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


def window(stream: Any) -> tuple[int, int]:
    """Columns and rows of the terminal that a stream goes to, or what is assumed of another."""
    try:
        wide, high = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        wide, high = 0, 0
    assumed = shutil.get_terminal_size()
    return max(wide or assumed.columns, 10), max(high or assumed.lines, 4)


def wrapped(text: str, width: int) -> list[str]:
    """Lines in rows that end between words; those of an indented line are indented. A word longer
    than a row is left to the terminal, so that it can be copied."""
    found: list[str] = []
    for line in text.split("\n"):
        indent = "    " if line.startswith(" ") else ""
        rows = textwrap.wrap(
            line,
            width,
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
        )
        found += rows or [line]
    return found


def say(text: str) -> None:
    """Lines on standard error, whole where that is no terminal."""
    if is_terminal(sys.stderr):
        text = "\n".join(wrapped(text, window(sys.stderr)[0]))
    print(text, file=sys.stderr, flush=True)


def note(text: str) -> None:
    """A line beside the output, by the program's name."""
    say(f"gemma-mtp: {text}")


def ask(question: str) -> str | None:
    """What is typed in answer, without the spaces around it; None for Ctrl-D."""
    shown = "\n".join(wrapped(question, window(sys.stderr)[0]))
    line = ""
    try:
        print(shown, end=" ", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
    finally:
        if not line:  # after Ctrl-C and Ctrl-D the cursor still stands behind the question
            print(file=sys.stderr, flush=True)
    return line.strip() if line else None


def agreed(question: str, default: bool) -> bool:
    """Whether the answer is yes; Enter means `default`, Ctrl-D no."""
    answer = ask(f"{question} [{'Y/n' if default else 'y/N'}]")
    return default if answer == "" else (answer or "").lower() in ("y", "yes")
