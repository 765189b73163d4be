"""Patterns of JSON Schema as the regular expressions of a grammar, which match a text as a whole.

`tool_grammar` calls it. Pure.
"""

from __future__ import annotations

import re

# Formats without their rarer forms: what is written fits. Dates and times are patterns already
# (`json_schema/formats.py`).
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}([.]{_LABEL}){{0,5}}"
_FORMATS = {
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "ipv4": rf"{_BYTE}([.]{_BYTE}){{3}}",
    "ipv6": r"([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}",
    "hostname": _HOST,
    "email": rf"[A-Za-z0-9_+-]{{1,30}}([.][A-Za-z0-9_+-]{{1,30}}){{0,2}}@{_HOST}",
    "uri": rf"https?:\/\/{_HOST}(\/[A-Za-z0-9_.~-]{{0,60}}){{0,9}}(\?[A-Za-z0-9_.~=&-]{{1,200}})?",
}
# They say how a number or a text is kept, and ask for nothing.
_NEUTRAL = {"int32", "int64", "float", "double"}

_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_"}
ANYTHING = r"(.|\n)*"


def any_text(least: int, most: int | None) -> str:
    """Any text of so many characters."""
    if not least and most is None:
        return r"/(.|\n)*/"
    return rf"/(.|\n){{{least},{'' if most is None else int(most)}}}/"


def pattern_of_format(name: str) -> str | None:
    """The expression for a format; "" for one that asks for nothing, None for an unknown one."""
    if name in _NEUTRAL:
        return ""
    return f"/{_FORMATS[name]}/" if name in _FORMATS else None


def whole_text(pattern: str) -> str | None:
    r"""The expression for texts in which a pattern is found, with \d and \w as JSON Schema has
    them: of ASCII. None where it looks for a beginning or an end inside of a group."""
    ways = [_anchored(way) for way in _alternatives(pattern)]
    return None if None in ways else "/" + "|".join(way for way in ways if way is not None) + "/"


def _alternatives(pattern: str) -> list[list[str]]:
    """The ways in which a pattern can be met, as it is written, character by character."""
    ways: list[list[str]] = [[]]
    depth, in_class = 0, False
    for part in re.findall(r"\\.|.", pattern, re.DOTALL):
        depth += 0 if in_class else (part == "(") - (part == ")")
        if part == "|" and depth == 0 and not in_class:
            ways.append([])
            continue
        ways[-1].append(_translated(part, in_class))
        in_class = part != "]" if in_class else part == "["
    return ways


def _translated(part: str, in_class: bool) -> str:
    if part in ("\\d", "\\w"):
        return _CLASSES[part[1]] if in_class else f"[{_CLASSES[part[1]]}]"
    return {"/": r"\/", "\n": r"\n"}.get(part, part)


def _anchored(way: list[str]) -> str | None:
    begins, ends = way[:1] == ["^"], way[-1:] == ["$"]
    inside = way[begins : len(way) - ends]
    in_class = False
    for part in inside:
        if part in "^$" and not in_class:
            return None
        in_class = part != "]" if in_class else part == "["
    return f"{'' if begins else ANYTHING}({''.join(inside)}){'' if ends else ANYTHING}"
