"""The pictures of docs/screens.py: an invented screen becomes an SVG that looks like it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

import pyte
from screens import CELL, GROUND, MARGIN, PALETTE, TEXT, Emulator, draw

SVG = "{http://www.w3.org/2000/svg}"


def picture(text: str, first: int = 0) -> ElementTree.Element:
    screen = Emulator(20, 5)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    return ElementTree.fromstring(draw(screen, "a <title>", first))


def looks(svg: ElementTree.Element) -> dict[str, str]:
    """What each piece of text looks like."""
    return {text.text or "": text.get("style", "") for text in svg.iter(f"{SVG}text")}


def boxes(svg: ElementTree.Element) -> list[tuple[str | None, str | None]]:
    """Fill and width of what lies behind the text; the first is the window."""
    return [(box.get("fill"), box.get("width")) for box in svg.iter(f"{SVG}rect")][1:]


def test_texts_and_their_looks() -> None:
    svg = picture(
        "plain <&>\n\x1b[1mbold\x1b[22m \x1b[31mred\x1b[0m \x1b[2mdim\x1b[22m bright\n"
        "\x1b[32;4mgreen\x1b[0m \x1b[3;9mno\x1b[0m\x1b[38;2;1;2;3mrgb"
    )
    assert svg.get("aria-label") == "a <title>"
    assert looks(svg) == {
        "a <title>": "",
        "plain <&>": "",
        "bold": "font-weight:bold",
        "red": f"fill:{PALETTE['red']}",
        "dim": "opacity:0.62",
        " bright": "",
        "green": f"fill:{PALETTE['green']};text-decoration:underline",
        "no": "font-style:italic;text-decoration:line-through",
        "rgb": "fill:#010203",
    }


def test_reversed_text_lies_on_its_colour() -> None:
    svg = picture("\x1b[7mone\x1b[27;44mtwo\x1b[0m\x1b[?25l")
    assert looks(svg)["one"] == f"fill:{GROUND}"
    width = f"{3 * CELL:.2f}"
    assert boxes(svg) == [(TEXT, width), (PALETTE["blue"], width)]


def test_every_piece_starts_at_its_column() -> None:
    svg = picture("ab漢字cd\x1b[?25l")
    at = {text.text: float(text.get("x", "")) for text in svg.iter(f"{SVG}text")}
    columns = {"ab": 0, "漢": 2, "字": 4, "cd": 6}
    assert {text: at[text] for text in columns} == {
        text: pytest.approx(MARGIN + column * CELL, abs=0.01) for text, column in columns.items()
    }


def test_only_the_rows_asked_for() -> None:
    svg = picture("one\ntwo\nthree\x1b[?25l", first=1)
    assert list(looks(svg)) == ["a <title>", "two", "three"]
    assert not boxes(svg)


def test_the_cursor_is_seen_unless_hidden() -> None:
    assert boxes(picture(">>> ")) == [(TEXT, f"{CELL:.2f}")]
