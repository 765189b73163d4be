"""Reading where nothing can be drawn: whole lines, as the terminal hands them over."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gemma_mtp.terminal.prompt import CONTINUED, PROMPT
from gemma_mtp.terminal.prompt.quotes import is_open
from gemma_mtp.terminal.tty_modes import cooked_mode
from gemma_mtp.text import harmless

HOW_TO_LEAVE = "Ctrl-D or /bye leaves."


def read_lines(default: str) -> str:
    """One message; an empty line stands for the text that was offered. EOFError at the end."""
    if default:
        print(f"Enter alone stands for: {default.splitlines()[0]}")
    with _whole_lines():
        while True:
            try:
                text = input(PROMPT)
                while is_open(text):
                    text += "\n" + input(CONTINUED)
            except KeyboardInterrupt:
                print(f"\n{HOW_TO_LEAVE}")
            else:
                return text or default


def ask_for_number(question: str, choices: Sequence[str], numbers: Sequence[int]) -> int | None:
    """The index of a choice by its number, or None."""
    for number, choice in zip(numbers, choices, strict=True):
        print(f"{number:3}  {choice}")
    with _whole_lines():
        while True:
            try:
                answer = input(harmless(f"{question} ")).strip()
            except (EOFError, KeyboardInterrupt):
                print()
                return None
            if answer.isdecimal() and int(answer) in numbers:
                return numbers.index(int(answer))
            print("One of these numbers, please; Ctrl-C for none of them.")


@contextmanager
def _whole_lines() -> Iterator[None]:
    """Bytes that are no text come as replacement characters."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    with cooked_mode():
        yield
