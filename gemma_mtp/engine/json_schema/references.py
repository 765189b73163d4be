"""What the parts of one JSON Schema are: what references lead to, and which values and types fit.

`rewriting` and `opposites` ask.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

Schema: TypeAlias = Any  # a dict, or a bool that allows all or nothing

TYPES = ("null", "boolean", "number", "string", "array", "object")
# Marks an object that has no more properties than are listed, though its schema allows others: what
# fits the schema, and so its opposite, stays what it is.
COMPLETE = "x-complete"
SAY_NOTHING = (
    COMPLETE,
    *("title", "description", "default", "examples", "$comment", "$defs", "definitions"),
    *("$schema", "$id", "$anchor", "deprecated", "readOnly", "writeOnly"),
)
# Where schemas stand inside of a schema: one, a list of them, or by name.
ONE = ("items", "additionalItems", "additionalProperties")
MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED = ("properties", "patternProperties", "$defs", "definitions")
# Schemas within schemas that are looked into, and how many in all: references may lead in a circle.
DEEPEST, MOST = 40, 5000


def as_dict(schema: Schema) -> dict[str, Any]:
    """`False` has no form but itself, and is not asked for here."""
    return schema if isinstance(schema, dict) else {}


def inside(schema: dict[str, Any], change: Callable[[Schema], Schema]) -> dict[str, Any]:
    """The same with each schema that stands in it changed."""
    found = dict(schema)
    for key in found.keys() & {*ONE}:
        found[key] = change(found[key])
    for key in found.keys() & {*MANY}:
        found[key] = [change(part) for part in found[key]]
    for key in found.keys() & {*NAMED}:
        found[key] = {name: change(part) for name, part in found[key].items()}
    return found


class References:
    """Of the parts of one schema, whose references begin at its root."""

    def __init__(self, root: Schema) -> None:
        self._root, self._depth, self._steps = root, 0, 0

    @contextmanager
    def deeper(self) -> Iterator[bool]:
        """Whether to look into another schema still."""
        self._depth, self._steps = self._depth + 1, self._steps + 1
        try:
            yield self._depth <= DEEPEST and self._steps <= MOST
        finally:
            self._depth -= 1

    def resolved(self, schema: Schema) -> Schema:
        """What a lone reference leads to, or the schema itself. Raises ValueError."""
        for _ in range(DEEPEST):
            said = [key for key in as_dict(schema) if key not in SAY_NOTHING]
            if said != ["$ref"]:
                return schema
            schema = self.target(schema["$ref"])
        raise ValueError('"$ref" leads in a circle')

    def target(self, reference: str) -> Schema:
        found = self._root
        if reference != "#" and not reference.startswith("#/"):
            raise ValueError(f'"$ref" to {reference} is not supported here')
        for name in reference.split("/")[1:]:
            name = name.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name)] if isinstance(found, list) else found[name]
            except (LookupError, TypeError, ValueError):
                raise ValueError(f'"$ref" to {reference} leads nowhere') from None
        return found

    def listed(self, schema: Schema) -> list[Any] | None:
        """The values that fit and no others, where the schema says no more than these."""
        schema = as_dict(self.resolved(schema))
        said = schema.keys() - {*SAY_NOTHING}
        values = self.values(schema)
        if values is None or not (said <= {"type", "const"} or said <= {"type", "enum"}):
            return None
        kind = schema.get("type", [*TYPES])
        kinds = {kind} if isinstance(kind, str) else {*kind}
        return [v for v in values if {type_of(v), "integer" * (type(v) is int)} & kinds]

    def values(self, schema: Schema) -> list[Any] | None:
        """Values of which each that fits is one, where the schema lists them."""
        schema = as_dict(self.resolved(schema))
        if "const" in schema:
            return [schema["const"]]
        if "enum" in schema:
            return list(schema["enum"])
        named: dict[str, list[Any]] = {"boolean": [False, True], "null": [None]}
        kind = schema.get("type")
        return named.get(kind) if isinstance(kind, str) else None

    def disjoint(self, one: Schema, other: Schema) -> bool:
        """Whether it is plain to see that nothing fits both."""
        with self.deeper() as may:
            return may and self._disjoint(self.resolved(one), self.resolved(other))

    def _disjoint(self, one: Schema, other: Schema) -> bool:
        if one is False or other is False:
            return True
        listed, against = self.values(one), self.values(other)
        if listed is not None and against is not None:
            return not {*map(_same, listed)} & {*map(_same, against)}
        shared = self.types(one) & self.types(other)
        if shared != {"object"}:
            return not shared
        one, other = as_dict(one), as_dict(other)
        return self._demands(one, other) or self._demands(other, one)

    def _demands(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        """Whether `one` has to have a property that `other` may not have, or not like that."""
        for name in one.get("required", ()):
            mine = one.get("properties", {}).get(name, True)
            if name in other.get("properties", {}):
                if name in other.get("required", ()) and self.disjoint(
                    mine, other["properties"][name]
                ):
                    return True
            elif other.get("additionalProperties") is False and not other.get("patternProperties"):
                return True
        return False

    def types(self, schema: Schema) -> set[str]:
        listed = self.values(schema)
        if listed is not None:
            return {type_of(value) for value in listed}
        schema = as_dict(self.resolved(schema))
        kinds = schema.get("type", [*TYPES])
        found = {kinds} if isinstance(kinds, str) else {*kinds}
        return {"number" if kind == "integer" else kind for kind in found}


def _same(value: Any) -> str:
    """The same text for values that JSON Schema takes for the same."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def type_of(value: Any) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return "null" if value is None else kinds.get(type(value), "object")
