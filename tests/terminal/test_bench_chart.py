"""Bars and tables that fit the terminal."""

from __future__ import annotations

import pytest

from gemma_mtp.terminal.chart import bar, bars, table


@pytest.mark.parametrize(
    ("share", "drawn"), [(0, ""), (0.5, "█████"), (1, "██████████"), (0.06, "▋"), (2, "█" * 10)]
)
def test_a_bar_is_as_long_as_its_share(share, drawn):
    assert bar(share, 10) == drawn


@pytest.mark.parametrize("width", [40, 80])
def test_the_longest_bar_fills_the_line_and_no_other_does(width):
    found = bars([("off", 10.0, "10.0"), ("auto", 20.0, "20.0")], width)
    short, long = (line.count("█") for line in found)
    assert long // 2 == short
    assert width - 4 <= max(map(len, found)) <= width
    assert all(line.endswith((" 10.0", " 20.0")) for line in found)


def test_bars_of_nothing():
    assert bars([], 40) == []
    assert bars([("off", 0.0, "0")], 40) == ["  off  0"]


def test_a_table_drops_its_least_important_columns():
    rows = [("draft", "speed", "range"), ("off", "12.3", "11-13")]
    assert table(rows, (9, 8, 1), 40) == ["draft  speed  range", "off     12.3  11-13"]
    assert table(rows, (9, 8, 1), 16) == ["draft  speed", "off     12.3"]
    assert table(rows, (9, 8, 1), 3) == ["draft", "off  "]
