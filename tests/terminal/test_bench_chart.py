"""Pictures: bars and tables that fit the terminal, and a file that is well-formed SVG."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from gemma_mtp.measure.bench.svg import Bar, draw
from gemma_mtp.terminal.chart import bar, bars, table

SVG = "{http://www.w3.org/2000/svg}"


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


ROWS = [Bar("off", 10.0, 9.0, 11.0, "10.0", True), Bar("a<b", 20.0, 20.0, 20.0, "20 (2.00x)")]


def test_the_file_is_well_formed_and_says_what_it_shows():
    root = ET.fromstring(draw("speed & more", ROWS))
    texts = [node.text for node in root.iter(f"{SVG}text")]
    assert texts == ["speed & more", "off", "10.0", "a<b", "20 (2.00x)"]
    short, long = (float(node.get("width")) for node in root.iter(f"{SVG}rect"))
    assert long == pytest.approx(2 * short, rel=0.01)


def test_the_cost_curve_is_a_line_through_all_widths():
    root = ET.fromstring(draw("speed", ROWS, [(1, 1.0), (2, 2.0), (3, 1.5), (4, 12.0)]))
    assert len(list(root.iter(f"{SVG}circle"))) == 4
    points = next(root.iter(f"{SVG}polyline")).get("points").split()
    heights = [float(point.split(",")[1]) for point in points]
    assert heights[1] < heights[2] < heights[0]
    assert all(0 < height < float(root.get("height")) for height in heights)
    assert not list(ET.fromstring(draw("speed", ROWS)).iter(f"{SVG}polyline"))


def test_it_can_be_read_on_dark_ground_and_stays_inside_its_frame():
    drawn = draw("speed", ROWS, [(1, 1.0)])
    assert "prefers-color-scheme: dark" in drawn
    assert 'fill="white"' not in drawn
    root = ET.fromstring(drawn)
    assert all(float(node.get("x")) < float(root.get("width")) for node in root.iter(f"{SVG}text"))
