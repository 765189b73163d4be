"""What kind of line a line is, as soon as enough of it is there to tell for good.

Knows single lines; what came before them is kept by `stream`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Leaf = Literal["blank", "text", "heading", "rule", "fence", "row", "indented"]

TAB = 4  # columns, at the start of a line


@dataclass(frozen=True)
class Item:
    """A list item: its mark (a bullet or a number), the column it stands in and its place `at` in
    the line; `box` of a task is "x" when it is done and " " when it is not."""

    column: int
    at: int
    mark: str
    box: str = ""


@dataclass(frozen=True)
class Opening:
    """The start of a line: quote marks and items, then the `leaf`, whose text starts at `at`.

    `column` is that of the leaf within the innermost quote. `level` is that of a heading.
    """

    leaf: Leaf
    at: int
    quotes: int = 0
    items: tuple[Item, ...] = ()
    column: int = 0
    level: int = 0


_ITEM = re.compile(r"([-+*]|\d{1,9}[.)])(?=[ \t]|$)")
_BOX = re.compile(r"[ \t]+\[([ xX])\](?=[ \t]+\S)")
_BOX_BEGUN = re.compile(r"[ \t]+\[(?:[ xX](?:\][ \t]*)?)?")
_HEADING = re.compile(r"(#{1,6})(?:[ \t]+|$)")
_FENCE = re.compile(r"(`{3,})[^`]*|(~{3,}).*")
_RULE = re.compile(r"([-*_])(?:[ \t]*\1){2,}[ \t]*")
_DELIMITER = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
# Beginnings that may still become one thing or another.
_UNDECIDED = re.compile(
    r"([-*_])(?:[ \t]*\1)*[ \t]*|\+|\d{1,9}[.)]?|#{1,6}|`+|`{3,}[^`]*|~+|~{3,}.*"
)


@dataclass
class _Cursor:
    """How far the start of a line has been read."""

    at: int = 0
    column: int = 0
    quotes: int = 0
    items: list[Item] = field(default_factory=list)

    def skip_blanks(self, line: str) -> None:
        while self.at < len(line) and line[self.at] in " \t":
            self.column += TAB - self.column % TAB if line[self.at] == "\t" else 1
            self.at += 1


def opening(line: str, whole: bool, continues: bool) -> Opening | None:
    """The start of `line`; None while that depends on what is not there yet.

    Where a paragraph or a list `continues`, indented text is a part of it and no code.
    """
    here = _Cursor()
    while True:
        before = here.column
        here.skip_blanks(line)
        rest = line[here.at :]
        if not rest and not whole:
            return None
        if not whole and _UNDECIDED.fullmatch(rest):
            return None
        if rest.startswith(">"):
            _enter_quote(here, line)
            continue
        item = _ITEM.match(rest)
        if item and not _RULE.fullmatch(rest):
            box = _BOX.match(line, here.at + item.end())
            if not whole and _BOX_BEGUN.fullmatch(line, here.at + item.end()):
                return None
            here.items.append(Item(here.column, here.at, item[1], box[1].lower() if box else ""))
            length = (box.end() - here.at) if box else item.end()
            here.at += length
            here.column += length
            continue
        deep = here.column - before >= TAB and not continues and not here.items
        return _leaf(here, rest, deep)


def _enter_quote(here: _Cursor, line: str) -> None:
    here.at += 1
    here.quotes += 1
    here.items.clear()
    here.column = 0
    if line[here.at : here.at + 1] == " ":
        here.at += 1


def _leaf(here: _Cursor, rest: str, deep: bool) -> Opening:
    heading = _HEADING.match(rest)
    leaf: Leaf = "text"
    at, level = here.at, 0
    if not rest:
        leaf = "blank"
    elif deep:
        leaf = "indented"
    elif heading:
        leaf, level = "heading", len(heading[1])
        at += heading.end()
    elif _FENCE.fullmatch(rest):
        leaf = "fence"
    elif _RULE.fullmatch(rest):
        leaf = "rule"
    elif rest.startswith("|") and not here.items:
        leaf = "row"
    return Opening(leaf, at, here.quotes, tuple(here.items), here.column, level)


def fence_mark(text: str) -> str:
    """The backticks or tildes that a fence line starts with."""
    found = _FENCE.match(text)
    return (found[1] or found[2]) if found else ""


def closes_fence(text: str, mark: str) -> bool:
    """Whether a line ends the code that `mark` began."""
    text = text.strip()
    return len(text) >= len(mark) and text == mark[0] * len(text)


def is_delimiter(line: str) -> bool:
    """Whether this is the line below a table's heading."""
    return bool(_DELIMITER.fullmatch(line.strip()))
