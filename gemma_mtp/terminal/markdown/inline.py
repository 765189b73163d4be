"""Emphasis, code and links within a line of which the end may still be missing.

What is decided is decided for good: it never depends on how much of the line is there yet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape

from rich.style import Style

from gemma_mtp.terminal.markdown.source import Span
from gemma_mtp.terminal.styles import (
    BOLD,
    CODE,
    CONCEALED,
    DIM,
    ITALIC,
    PLAIN,
    STRIKE,
    UNDERLINE,
)

# How far a mark waits for its partner: the longest phrase that is shown undecided.
REACH = 300
NBSP = "\xa0"  # a blank at which no row ends

Found = tuple[list[Span], int]
"""Spans, and where to go on."""

_SPECIAL = re.compile(r"[*_~`\[!\\&<]")
_EMPHASIS: dict[tuple[str, int], Style] = {
    ("*", 1): ITALIC,
    ("*", 2): BOLD,
    ("*", 3): BOLD + ITALIC,
    ("_", 1): ITALIC,
    ("_", 2): BOLD,
    ("_", 3): BOLD + ITALIC,
    ("~", 2): STRIKE,
}
_LABEL = r"\[((?:[^\[\]\\]|\\.|\[[^\[\]]*\])*)\]"
_TARGET = r"\(([^\s()]*(?:\([^\s()]*\)[^\s()]*)*)(?:\s+\"[^\"]*\")?\s*\)"
_LINK = re.compile(_LABEL + _TARGET)
_LINK_SO_FAR = re.compile(
    r"\[(?:[^\[\]\\]|\\.|\[[^\[\]]*\])*"
    r"(?:\\|\[[^\[\]]*|\](?:\([^\s()]*(?:\([^\s()]*\)[^\s()]*)*(?:\([^\s()]*|\s+(?:\"[^\"]*\"?)?\s*)?)?)?"
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_ENTITY_SO_FAR = re.compile(r"&(?:#\d{0,7}|#[xX][0-9a-fA-F]{0,6}|[a-zA-Z][a-zA-Z0-9]{0,31})?")
_BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)
_BREAK_SO_FAR = re.compile(r"<(?:b(?:r[ \t]*/?)?)?", re.IGNORECASE)
_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def parse(text: str, at: int, end: int, whole: bool, base: Style = PLAIN) -> Found:
    """Spans of `text[at:end]` as far as they are decided: all of it if nothing follows."""
    spans: list[Span] = []
    while at < end:
        special = _SPECIAL.search(text, at, end)
        stop = special.start() if special else end
        if stop > at:
            spans.append(Span(at, stop, base))
            at = stop
            continue
        found = _RULES[text[at]](text, at, end, whole, base)
        if found is None:
            break
        spans += found[0]
        at = found[1]
    return spans, at


def as_if_closed(text: str, at: int, end: int, base: Style = PLAIN) -> list[Span]:
    """How an undecided end probably goes on: whatever is open closes here."""
    run = _run(text, at, end)
    style = _EMPHASIS.get((text[at], run), CODE if text[at] == "`" else None)
    if style is None or at + run == end:
        return [Span(at, end, base)]
    return parse(text, at + run, end, True, base + style)[0]


def _literal(at: int, length: int, base: Style) -> Found:
    return [Span(at, at + length, base)], at + length


def _emphasis(text: str, at: int, end: int, whole: bool, base: Style) -> Found | None:
    run = _run(text, at, end)
    if at + run == end and not whole:
        return None
    style = _EMPHASIS.get((text[at], run))
    if style is None or not _opens(text, at, run, end):
        return _literal(at, run, base)
    close = _closing(text, at, run, end, whole)
    if close is None:
        return None
    if close < 0:
        return _literal(at, run, base)
    inner, _ = parse(text, at + run, close, True, base + style)
    return inner, close + run


def _opens(text: str, at: int, run: int, end: int) -> bool:
    """A mark opens before a word. Between two letters or digits it is more often arithmetic."""
    if at + run >= end or text[at + run].isspace():
        return False
    before, after = text[at - 1 : at], text[at + run]
    if text[at] == "_":
        return not before or not (before.isalnum() or before in "/=&?%#@")
    return not (before.isascii() and before.isalnum() and after.isascii() and after.isalnum())


def _closing(text: str, opened: int, run: int, end: int, whole: bool) -> int | None:
    """Where the closing mark is; -1 if there is none, None if it may still come."""
    mark, at = text[opened], opened + run
    limit = min(end, opened + REACH)
    while at < limit:
        if text[at] == "\\":
            at += 2
        elif text[at] == "`":
            ticks = _run(text, at, end)
            if at + ticks == end and not whole:
                return None
            after = _after_code(text, at, ticks, limit)
            if after in (-1, end) and end < opened + REACH and not whole:
                return None
            at = after if after > 0 else at + ticks
        elif text[at] == mark:
            length = _run(text, at, end)
            if at + length == end and not whole:
                return None
            if _closes(text, at, length, run, end):
                return at + length - run
            at += length
        else:
            at += 1
    return -1 if whole or end >= opened + REACH else None


def _closes(text: str, at: int, length: int, run: int, end: int) -> bool:
    """Three in a row close an inner mark and this one."""
    if text[at - 1].isspace() or length not in (run, 3):
        return False
    return text[at] != "_" or at + length >= end or not text[at + length].isalnum()


def _after_code(text: str, at: int, ticks: int, limit: int) -> int:
    """Where the code that begins at `at` is over, or -1."""
    for found in re.compile("`+").finditer(text, at + ticks, limit):
        if found.end() - found.start() == ticks:
            return found.end()
    return -1


def _code(text: str, at: int, end: int, whole: bool, base: Style) -> Found | None:
    ticks = _run(text, at, end)
    if at + ticks == end and not whole:
        return None
    after = _after_code(text, at, ticks, min(end, at + REACH))
    # The last run of ticks may still grow.
    if not whole and end < at + REACH and after in (-1, end):
        return None
    if after < 0:
        return _literal(at, ticks, base)
    first, last = at + ticks, after - ticks
    if last - first > 2 and text[first] == text[last - 1] == " ":
        first, last = first + 1, last - 1
    mark = base + CONCEALED
    return [Span(at, at + 1, mark), Span(first, last, base + CODE), Span(at, at + 1, mark)], after


def _link(text: str, at: int, end: int, whole: bool, base: Style) -> Found | None:
    limit = min(end, at + REACH)
    found = _LINK.match(text, at, limit)
    if found is None:
        more = not whole and end < at + REACH and _LINK_SO_FAR.fullmatch(text, at, end)
        return None if more else _literal(at, 1, base)
    label, _ = parse(text, found.start(1), found.end(1), True, base + UNDERLINE)
    if not found[2] or found[1] == found[2]:
        return label, found.end()
    # The address with both its brackets stands in the source; only the space does not.
    opened, closed = found.start(2) - 1, found.end() - 1
    address = _decoded(text, opened, found.end(2), base + DIM)
    space, bracket = Span(at, at, base, " "), Span(closed, closed + 1, base + DIM)
    return [*label, space, *address, bracket], found.end()


def _decoded(text: str, at: int, end: int, base: Style) -> Iterator[Span]:
    """An address, in which only entities mean something else."""
    for found in _ENTITY.finditer(text, at, end):
        yield Span(at, found.start(), base)
        yield from _entity(text, found.start(), end, True, base)[0]  # type: ignore[index]
        at = found.end()
    yield Span(at, end, base)


def _image(text: str, at: int, end: int, whole: bool, base: Style) -> Found | None:
    """A picture is its description and its address."""
    if at + 1 == end:
        return _literal(at, 1, base) if whole else None
    if text[at + 1] != "[":
        return _literal(at, 1, base)
    found = _link(text, at + 1, end, whole, base)
    if found is not None and found[1] == at + 2:  # no address follows, so that it is no picture
        return _literal(at, 2, base)
    return found


def _escape(text: str, at: int, end: int, whole: bool, base: Style) -> Found | None:
    if at + 1 == end:
        return ([], end) if whole else None  # at the end of a line it means: a line break
    if text[at + 1] in _PUNCTUATION:
        return [Span(at + 1, at + 2, base)], at + 2
    return _literal(at, 1, base)


def _entity(text: str, at: int, end: int, whole: bool, base: Style) -> Found | None:
    """A character by its name or number, as in HTML."""
    found = _ENTITY.match(text, at, end)
    if found is None:
        more = not whole and _ENTITY_SO_FAR.fullmatch(text, at, end)
        return None if more else _literal(at, 1, base)
    char = unescape(found[0])
    if char == found[0]:  # no such name
        return _literal(at, 1, base)
    return [
        Span(at, found.end(), base, " " if char.isspace() and char != NBSP else char)
    ], found.end()


def _break(text: str, at: int, end: int, whole: bool, base: Style) -> Found | None:
    """The one tag of HTML that says what plain Markdown cannot: a line ends within a cell."""
    found = _BREAK.match(text, at, end)
    if found is None:
        more = not whole and _BREAK_SO_FAR.fullmatch(text, at, end)
        return None if more else _literal(at, 1, base)
    return [Span(at, found.end(), base, "\n")], found.end()


def _run(text: str, at: int, end: int) -> int:
    """How many times the character at `at` is repeated."""
    stop = at
    while stop < end and text[stop] == text[at]:
        stop += 1
    return stop - at


_RULES: dict[str, Callable[[str, int, int, bool, Style], Found | None]] = {
    "*": _emphasis,
    "_": _emphasis,
    "~": _emphasis,
    "`": _code,
    "[": _link,
    "!": _image,
    "\\": _escape,
    "&": _entity,
    "<": _break,
}
