"""Requests, messages, turns, events and figures as JSON, and back without loss.

Used by whatever keeps them or sends them elsewhere. One mechanism for all dataclasses: their fields
and the types of these say what belongs where.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gemma_mtp.errors import UsageError

_LARGE = 2**63  # what most readers of JSON can hold; more than any number here needs
_hints = cache(get_type_hints)
_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    bytes: "base64",
    Path: "a path",
    NoneType: "null",
    tuple: "a list",
}


def to_json(value: Any) -> Any:
    """`value` as `json.dumps` takes it: a dataclass of `api`, or what they are made of.

    A part or an event says in "type" which one it is; bytes become base64.
    """
    if is_dataclass(value):
        tag = {"type": value.type} if hasattr(value, "type") else {}
        return tag | {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple):
        return [to_json(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    return b2a_base64(value, newline=False).decode() if isinstance(value, bytes) else value


def from_json(kind: Any, data: Any, name: str = "") -> Any:
    """The value of type `kind`, a dataclass or a union of them, of which `to_json` made `data`.

    A field that is missing has its default; one that `kind` does not have, as a later version may
    write it, is left out. Raises UsageError with a sentence that names the field that is wrong.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _member(kind, data, name)
    if is_dataclass(kind) and isinstance(data, dict):
        return _object(kind, data, name)
    if origin is tuple and isinstance(data, list):  # of any length, and of one type
        return tuple(from_json(inner[0], each, f"{name}[{n}]") for n, each in enumerate(data))
    try:
        if kind is Path and isinstance(data, str):
            return Path(data)
        if kind is bytes and isinstance(data, str):
            return a2b_base64(data, strict_mode=True)
        if kind is float and type(data) in (int, float) and isfinite(data):
            return float(data)
    except (ValueError, OverflowError) as error:
        raise _wrong(kind, name) from error
    if kind is int and type(data) is int and abs(data) < _LARGE:
        return data
    if (origin is Literal and data in inner) or (type(data) is kind and kind in (str, bool)):
        return data
    raise _wrong(kind, name)


def _member(union: Any, data: Any, name: str) -> Any:
    """A value of one of several types, which differ in kind or, where both are objects, in tag."""
    tag = data.get("type") if isinstance(data, dict) else None
    for kind in get_args(union):
        if is_dataclass(kind):
            if isinstance(data, dict) and getattr(kind, "type", tag) == tag:
                return _object(kind, data, name)
        elif (data is None) == (kind is NoneType):
            try:
                return None if data is None else from_json(kind, data, name)
            except UsageError:
                continue
    raise _wrong(union, name)


def _object(kind: Any, data: dict[str, Any], name: str) -> Any:
    values = {}
    for field in fields(kind):
        where = f"{name}.{field.name}" if name else field.name
        if field.name in data:
            values[field.name] = from_json(_hints(kind)[field.name], data[field.name], where)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise UsageError(f"{where} is missing.")
    return kind(**values)


def _wrong(kind: Any, name: str) -> UsageError:
    return UsageError(f"{name or 'The value'} must be {_in_words(kind)}.")


def _in_words(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return " or ".join(map(str, get_args(kind)))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_in_words, get_args(kind))))
    if hasattr(kind, "type"):
        return f"an object of type {kind.type}"
    return _WORDS.get(origin or kind, "an object")
