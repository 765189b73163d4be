"""Notes on standard error: whole in a pipe, and on a terminal in rows that end between words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.fakes import invoke
from support.terminal import Terminal

from gemma_mtp.terminal.console import wrapped

Open = Callable[..., Terminal]
MESSAGE = "/a/folder/with/a/long/name/and/no/file/of/that/name.gguf"


def test_rows_end_between_words_and_a_longer_word_stays_whole() -> None:
    assert wrapped("one two three", 9) == ["one two", "three"]
    assert wrapped("  one two\n\nthree", 8) == ["  one", "    two", "", "three"]
    assert wrapped(f"see {MESSAGE} there", 20) == ["see", MESSAGE, "there"]


@pytest.mark.parametrize("columns", [100, 60, 40])
def test_an_error_is_broken_between_words(open_terminal: Open, columns: int) -> None:
    whole = invoke("run", "nosuchmodel:", "hi").stderr
    shown = open_terminal("run", "nosuchmodel:", "hi", columns=columns)
    assert shown.leave() == 4
    assert max(map(len, shown.lines)) <= columns
    assert " ".join(shown.lines).split() == whole.split()
