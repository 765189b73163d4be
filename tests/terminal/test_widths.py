"""Columns of characters, and that an emulator agrees where they are said to be known."""

from __future__ import annotations

import pyte
import pytest

from gemma_mtp.terminal.widths import char_width, columns, cut


@pytest.mark.parametrize("char", "aé·─█雨ア한🌧€✓①Ж")
def test_an_emulator_agrees_about_what_is_known(char: str) -> None:
    screen = pyte.Screen(10, 1)
    pyte.Stream(screen).feed(char)
    assert screen.cursor.x == char_width(char)


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("e\u0301", 1),  # a combining mark
        ("👩\u200d👩\u200d👧", 6),  # joined: 2 columns, or 6 where it is not known
        ("☀\ufe0f", 2),  # narrow, made wide
        ("👍🏽", 4),
        ("🇩🇪", 4),
        ("नि", 2),  # a mark with a column of its own on some terminals
        ("\U0010ffff", 2),
        ("soft\xadly", 7),  # nothing on some, a hyphen on others
        ("\u2028\u2029", 2),
    ],
)
def test_where_terminals_disagree_there_is_a_bound(text: str, most: int) -> None:
    assert columns(text) == most
    assert any(char_width(char) is None for char in text)


def test_a_text_is_cut_before_what_may_not_fit() -> None:
    assert cut("ab雨c", 3) == "ab"
    assert cut("ab雨c", 5) == "ab雨c"
    assert cut("a🇩🇪", 4) == "a🇩"
