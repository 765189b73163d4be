"""The pictures of docs/screens.py: an invented screen becomes an SVG that looks like it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from screens import COLOURS, GROUND, TEXT, Emulator, draw

SVG = "{http://www.w3.org/2000/svg}"
CELL = 12.2  # units of the picture


def picture(text: str, first: int = 0) -> ElementTree.Element:
    screen = Emulator(20, 5)
    screen.feed(text.replace("\n", "\r\n"))
    return ElementTree.fromstring(draw(screen, "a <title>", first))


def texts(svg: ElementTree.Element) -> list[ElementTree.Element]:
    """Those of the screen, without the title of the window."""
    found = [text for text in svg.iter(f"{SVG}text") if (text.text or "").strip()]
    return [text for text in found if "title" not in text.get("class", "")]


def looks(svg: ElementTree.Element) -> dict[str, str]:
    """What each piece of text looks like."""
    rules = dict(re.findall(r"\.(\S+) \{ (.*?) \}", svg.findtext(f"{SVG}style", "")))
    return {(x.text or "").replace("\xa0", " "): rules[x.get("class", "")] for x in texts(svg)}


def boxes(svg: ElementTree.Element) -> list[tuple[str | None, float]]:
    """Fill and width in columns of what lies behind the text."""
    found = [box for box in svg.iter(f"{SVG}rect") if box.get("shape-rendering")]
    return [(box.get("fill"), round(float(box.get("width", 0)) / CELL, 1)) for box in found]


def colour(triplet: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{value:02x}" for value in triplet)


def test_texts_and_their_looks() -> None:
    svg = picture(
        "plain <&>\n\x1b[1mbold\x1b[22m \x1b[31mred\x1b[0m \x1b[2mdim\x1b[22m bright\n"
        "\x1b[32;4mgreen\x1b[0m \x1b[3;9mno\x1b[0m\x1b[38;2;1;2;3mrgb"
    )
    assert svg.get("aria-label") == "a <title>"
    found, plain = looks(svg), f"fill: {colour(TEXT)}"
    assert found["plain <&>"] == found[" bright"] == plain
    assert found["bold"].startswith(f"{plain};font-weight: bold")
    assert found["red"] == f"fill: {colour(COLOURS['red'])}"
    assert found["dim"] not in (plain, found["red"])
    assert found["green"] == f"fill: {colour(COLOURS['green'])};text-decoration: underline;"
    assert {"italic", "line-through"} <= set(re.findall(r"[\w-]+", found["no"]))
    assert found["rgb"] == "fill: #010203"


def test_reversed_text_lies_on_its_colour() -> None:
    svg = picture("\x1b[7mone\x1b[27;44mtwo\x1b[0m\x1b[?25l")
    assert looks(svg)["one"] == f"fill: {colour(GROUND)}"
    assert boxes(svg) == [(colour(TEXT), 3), (colour(COLOURS["blue"]), 3)]


def test_every_piece_starts_at_its_column() -> None:
    svg = picture("ab\x1b[1m漢字\x1b[0mcd\x1b[?25l")
    at = {text.text: round(float(text.get("x", "")) / CELL, 1) for text in texts(svg)}
    assert at == {"ab": 0, "漢字": 2, "cd": 6}


def test_only_the_rows_asked_for() -> None:
    svg = picture("one\ntwo\nthree\x1b[?25l", first=1)
    assert list(looks(svg)) == ["two", "three"]
    assert not boxes(svg)


def test_the_cursor_is_seen_unless_hidden() -> None:
    assert boxes(picture(">>> ")) == [(colour(TEXT), 1)]
    assert not boxes(picture(">>> \x1b[?25l"))


def test_nothing_is_loaded_from_elsewhere() -> None:
    screen = Emulator(20, 5)
    screen.feed("one")
    assert "url(http" not in draw(screen, "a title").replace('"', "")
