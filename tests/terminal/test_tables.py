"""Tables and bars: fitted to a terminal, whole and plain in a pipe."""

from __future__ import annotations

import io
import sys

import pytest
from support.fakes import TerminalText

from gemma_mtp.terminal.tables import Table, bars, plain_lines, show

ROWS = [("off", "12.3", "one two three four five six"), ("雨", "9", "x\x1b[2Jy")]
TABLE = Table(("draft", "speed", "what"), ROWS, right=("speed",), below=("speed",))


def shown(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, columns: int) -> str:
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    show(TABLE, "", "a sentence that is longer than the window is wide")
    return stream.getvalue()


def test_columns_are_aligned_and_nothing_acts() -> None:
    assert plain_lines(TABLE) == [
        "draft  speed  what",
        "off     12.3  one two three four five six",
        "雨         9  x�[2Jy",
    ]


def test_texts_go_on_in_their_column_and_then_other_columns_go_below() -> None:
    assert plain_lines(TABLE, 36)[1:3] == [
        "off     12.3  one two three four",
        "              five six",
    ]
    assert plain_lines(TABLE, 28) == [
        "draft  what",
        "off    one two three four",
        "       five six",
        "  speed: 12.3",
        "雨     x�[2Jy",
        "  speed: 9",
    ]


def test_where_no_column_fits_each_row_becomes_a_list() -> None:
    table = Table(("name", "size"), [("e2b:ud-q4_k_xl", "3.3 GB"), ("tiny", "")], right=("size",))
    assert plain_lines(table, 20) == [
        "name: e2b:ud-q4_k_xl",
        "size: 3.3 GB",
        "",
        "name: tiny",
        "size:",
    ]


@pytest.mark.parametrize("width", [16, 24, 32, 40, 60, 100])
def test_nothing_is_left_out_at_any_width(width: int) -> None:
    heads = ("name", "speed", "share", "first", "what it says")
    rows = [(f"n{n}", f"s{n}", f"h{n}", f"f{n}", f"one{n} two{n} three{n}") for n in range(3)]
    found = plain_lines(Table(heads, rows, right=heads[1:4], below=("first", "share")), width)
    assert max(map(len, found)) <= width
    words = {word.strip(",:") for word in " ".join(found).split()}
    assert not {word for row in (heads, *rows) for word in " ".join(row).split()} - words


@pytest.mark.parametrize("width", [40, 80])
def test_no_line_is_longer_than_the_window(width: int) -> None:
    assert max(map(len, plain_lines(TABLE, width))) <= width


def test_in_a_pipe_nothing_is_cut_and_nothing_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, io.StringIO(), 20)
    assert text == "\n".join(
        [*plain_lines(TABLE), "", "a sentence that is longer than the window is wide", ""]
    )


def test_on_a_terminal_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, TerminalText(), 30)
    assert "\x1b[1mdraft" in text  # the heads are bold
    assert "a sentence that is longer than\nthe window is wide\n" in text
    assert "\x1b[2J" not in text


@pytest.mark.parametrize("env", ["NO_COLOR", "TERM"])
def test_who_wants_no_colour_gets_none(monkeypatch: pytest.MonkeyPatch, env: str) -> None:
    monkeypatch.setattr(sys, "stdout", stream := TerminalText())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(env, "dumb" if env == "TERM" else "1")
    show(bars([("a", 1.0, "1")]))
    assert "\x1b[3" not in stream.getvalue()


@pytest.mark.parametrize("width", [40, 60])
def test_the_longest_bar_fills_the_line_and_no_other_does(width: int) -> None:
    found = plain_lines(bars([("off", 10.0, "10.0"), ("auto", 20.0, "20.0")]), width)
    short, long = (line.count("█") for line in found)
    assert abs(long - 2 * short) <= 1
    assert width - 4 <= max(map(len, found)) <= width
    assert all(line.endswith((" 10.0", " 20.0")) for line in found)


def test_bars_of_nothing() -> None:
    assert plain_lines(bars([])) == []
    assert plain_lines(bars([("off", 0.0, "0")]), 40)[0].split() == ["off", "0"]
