"""One parameter that people can set: its names, its range, and how its values are read and shown.

`settings` declares all of them, as fields of dataclasses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from dataclasses import field as dataclass_field
from math import ceil
from typing import Any

from gemma_mtp.errors import UsageError
from gemma_mtp.text import clean, json_text

NONE = ("none", "off", "default")  # words for no value of one's own
SWITCH = {"on": True, "off": False, "true": True, "false": False}
LARGEST = 2**63  # what no number reaches that is sent to the engine as JSON


@dataclass(frozen=True)
class Setting:
    """All there is to know about one parameter.

    `name` is what people type, `field` the attribute that holds the value. Numbers are between
    `least` and `most`, or larger than `above`; texts are one of `choices` where there are any.
    `words` stand for values. `unset` says what None means, "" where None is no value. `alias` is
    Ollama's name, where that is another one. `is_time`: a number of seconds, also typed as 30s, 5m
    or 1h30m. `is_size`: a number of bytes, also typed as 6GB. `variable` of the environment sets
    it, over config.toml. A `secret` is never shown. What is `at_load` counts from the next load on,
    and not at once.
    """

    name: str
    field: str
    kind: type
    default: Any
    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    words: Mapping[str, Any] = dataclass_field(default_factory=dict)
    unset: str = ""
    alias: str = ""
    is_time: bool = False
    is_size: bool = False
    variable: str = ""
    secret: bool = False
    at_load: bool = False

    def accept(self, value: Any, called: str = "") -> Any:
        """A value of TOML, JSON or Python as the field holds it.

        Raises UsageError where it is of another kind or out of range, and calls it `called`.
        """
        found = value
        if isinstance(value, str) and self.is_size:
            found = size_of(value) or value
        elif isinstance(value, str) and (self.words or self.choices):
            found = value.lower()
            if found in self.words:
                return self.words[found]
            if self.kind is int and found.isdecimal():  # quoted like the words
                found = int(found)
            if self.is_time and (time := seconds_of(found)) is not None:
                found = -1 if time < 0 else ceil(time)
        if self.kind is bool and isinstance(value, str):
            found = SWITCH.get(value.lower(), value)
        if self.kind is float and type(found) is int:
            found = float(found)
        elif self.kind is tuple and isinstance(found, str | list):
            found = (found,) if isinstance(found, str) else tuple(found)
        if found is None and self.unset:
            return None
        if type(found) is not self.kind or not self._fits(found):
            raise self.refusal(value, called)
        if isinstance(found, int) and found >= LARGEST:
            raise UsageError(f"{called or self.name} must be below 2^63, not {found}.")
        return clean(str(found)) if self.kind is str else found

    def refusal(self, value: Any, called: str = "") -> UsageError:
        """What is said about a value that cannot be accepted."""
        quoted = value
        if isinstance(value, str | bool | tuple | list):  # as TOML and JSON have them
            quoted = json_text(value)
        return UsageError(f"{called or self.name} must be {self.wanted}, not {quoted}.")

    def parse(self, text: str, called: str = "") -> Any:
        """The value that is typed as `text`. Raises UsageError as `accept` does."""
        word = text.strip().lower()
        if self.unset and word in NONE and word not in self.words:
            return self.default
        value: Any = word if word in (*self.words, *self.choices) else text
        if self.kind is tuple:
            value = (clean(text),)
        elif self.kind in (int, float) and word not in self.words:
            with suppress(ValueError):  # `accept` says what is wanted
                value = self.kind(text)
        return self.accept(value, called)

    def shown(self, value: Any) -> str:
        """A value as a person reads and types it."""
        if value is None or value == ():
            return self.unset
        if self.secret:
            return "(not shown)"
        if isinstance(value, tuple):
            return " ".join(f'"{text}"' for text in value)
        if isinstance(value, bool):
            return str(value).lower()
        usual = _time_words(value) if self.is_time else str(value)
        usual = _size_words(value) if self.is_size else usual
        return next((word for word, meant in self.words.items() if meant == value), usual)

    @property
    def wanted(self) -> str:
        """The values it takes, as the rest of a sentence."""
        if self.is_time:
            return f"{', '.join(self.words)} or a time such as 30s, 5m or 1h30m"
        if self.is_size:
            return "a size such as 6GB or 500MB"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind is bool:
            return "true or false"
        if self.kind is tuple:
            return "a text, or several, none of them empty"
        if self.kind is str:
            return "text in quotes"
        low = f"between {self.least} and {self.most}"
        if self.above is not None:
            low = f"above {self.above} and at most {self.most}"
        elif self.most is None:
            low = f"of at least {self.least}"
        number = f"{'a whole number' if self.kind is int else 'a number'} {low}"
        return f"{', '.join(self.words)} or {number}" if self.words else number

    def _fits(self, value: Any) -> bool:
        if self.kind is str:
            return not self.choices or value in self.choices
        if self.kind is tuple:
            return all(isinstance(text, str) and text for text in value)
        if self.kind is bool:
            return True
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
        )


_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{0,30})?(e[+-]?\d{1,3})?", re.ASCII)
_DURATION = re.compile(r"([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([a-zµμ]+)", re.ASCII)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def seconds_of(text: str) -> float | None:
    """A time such as 300, 5m, 1h30m or -1 in seconds, as Ollama reads it; None for what is none."""
    if _NUMBER.fullmatch(text):
        total = abs(float(text))
    elif _DURATION.fullmatch(text):
        total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    else:
        return None
    return -total if text.startswith("-") else total


_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?([kmgt])(i?)b?", re.ASCII)


def size_of(text: str) -> int | None:
    """A size such as 6GB, 6 GiB or 500m in bytes; None for what is none."""
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None:
        return None
    unit: int = (1024 if match[3] else 1000) ** " kmgt".index(match[2])
    return round(float(match[1]) * unit)


def _size_words(size: int) -> str:
    """A number of bytes in the unit that says it shortest."""
    units = [("GB", 10**9), ("GiB", 1 << 30), ("MB", 10**6), ("MiB", 1 << 20)]
    units.sort(key=lambda unit: unit[1] > size)  # of two as short, the one without "0."
    return min((f"{size / of:.12g}{unit}" for unit, of in units), key=len)


def _time_words(seconds: int) -> str:
    """As 90s, 5m, or 1h30m."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if left or not seconds:
        return f"{seconds}s" if seconds < 3600 else f"{hours}h{minutes}m{left}s"
    return "".join(f"{count}{unit}" for count, unit in ((hours, "h"), (minutes, "m")) if count)


def setting(default: Any, help: str, kind: type | None = None, **details: Any) -> Any:
    """A field of a dataclass that is a `Setting`; `details` are the other attributes of one."""
    known = {"kind": kind or type(default), "default": default, "help": help, **details}
    return dataclass_field(default=default, metadata=known)


def settings_of(kind: Any) -> Iterator[Setting]:
    """The settings among the fields of a dataclass, in their order."""
    for known in fields(kind):
        if "help" in known.metadata:
            details = {"name": known.name, "field": known.name, **known.metadata}
            yield Setting(**details)


def check(values: Any, called: Callable[[str], str] = str) -> None:
    """Raise UsageError for the first setting of a dataclass that no code could work with."""
    for known in settings_of(values):
        value = getattr(values, known.field)
        if known.accept(value, called(known.name)) != value:  # a word that stands for a value
            raise known.refusal(value, called(known.name))
