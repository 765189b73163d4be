"""Data that others wrote, checked against a declared shape before anything is done with it.

models.toml, records of pairs and responses of a hub are declared with it. A Check takes a value and
where it stands; it returns the value or raises Misfit. Knows nothing of what the data is about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gemma_mtp.files.names import shown

Check = Callable[[Any, str], Any]


class Misfit(ValueError):
    """A value that is not of the declared shape; the message says where it stands and why."""


def text(most: int = 200, form: str | re.Pattern[str] = r"(?s:.*)", words: str = "",
         any_character: bool = False) -> Check:  # fmt: skip
    """At most `most` characters that can be shown, which excludes line ends, unless
    `any_character` will do. `form` must match all of it; `words` says in a message what that is."""

    def check(value: Any, where: str) -> Any:
        fits = isinstance(value, str) and len(value) <= most
        fits = fits and (any_character or value.isprintable())
        if not fits or not re.fullmatch(form, value):
            raise _misfit(where, words or f"a line of at most {most} characters", value)
        return value

    return check


def whole(low: int, high: int) -> Check:
    """A whole number in this range, both ends included."""

    def check(value: Any, where: str) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise _misfit(where, f"a whole number from {low} to {high}", value)
        return value

    return check


def truth(value: Any, where: str) -> Any:
    """True or false."""
    if type(value) is not bool:
        raise _misfit(where, "true or false", value)
    return value


def anything(value: Any, where: str) -> Any:
    """What nobody looks at."""
    return value


def maybe(check: Check) -> Check:
    """Null as well; and null where an empty text stands."""
    return lambda value, where: None if value in (None, "") else check(value, where)


def rows(of: Check, most: int, least: int = 0) -> Check:
    """A list of `least` to `most` values."""

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, list) or len(value) < least:
            raise _misfit(where, f"a list of at least {least}" if least else "a list", value)
        if len(value) > most:
            raise Misfit(f"{where} has {len(value)} entries, at most {most} are allowed")
        for number, item in enumerate(value):
            of(item, f"{where}[{number}]")
        return value

    return check


def one_or_rows(of: Check, most: int) -> Check:
    """A value by itself, or a list of up to `most`."""
    several = rows(of, most, least=1)
    return lambda value, where: (several if isinstance(value, list) else of)(value, where)


def table(
    needed: Mapping[str, Check], optional: Mapping[str, Check], others: bool = False
) -> Check:
    """A table with these keys; with any more only if `others` are allowed."""

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise _misfit(where, "a table", value)
        here = f" in {where}" if where else ""
        known = {**needed, **optional}
        if not others and (strange := next((key for key in value if key not in known), None)):
            raise Misfit(f"the key {shown(strange)} is unknown{here}")
        if lacking := next((key for key in needed if key not in value), None):
            raise Misfit(f"the key {shown(lacking)} is missing{here}")
        for key, check_of in known.items():
            if key in value:
                check_of(value[key], f"{where}.{key}" if where else key)
        return value

    return check


def _misfit(where: str, words: str, value: Any) -> Misfit:
    return Misfit(f"{where or 'it'} must be {words}, not {shown(value)}")
