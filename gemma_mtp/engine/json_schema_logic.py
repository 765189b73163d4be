"""What is not: opposites of JSON Schemas, and parts of `oneOf` told apart.

`json_schema` says by it what llguidance cannot. Opposites may allow less than they should, never
more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

Schema: TypeAlias = Any  # a dict, or a bool that allows all or nothing
Choice: TypeAlias = tuple[list[Schema], list[dict[str, Any]]]

TYPES = ("null", "boolean", "number", "string", "array", "object")
SAY_NOTHING = (
    *("title", "description", "default", "examples", "$comment", "$defs", "definitions"),
    *("$schema", "$id", "$anchor", "deprecated", "readOnly", "writeOnly"),
)
# The opposite of a bound: of which type, by which keyword, and how much further.
BOUNDS = {
    "minimum": ("number", "exclusiveMaximum", 0),
    "maximum": ("number", "exclusiveMinimum", 0),
    "exclusiveMinimum": ("number", "maximum", 0),
    "exclusiveMaximum": ("number", "minimum", 0),
    "minLength": ("string", "maxLength", -1),
    "maxLength": ("string", "minLength", 1),
    "minItems": ("array", "maxItems", -1),
    "maxItems": ("array", "minItems", 1),
    "minProperties": ("object", "maxProperties", -1),
    "maxProperties": ("object", "minProperties", 1),
}
# Schemas within schemas that are looked into, and how many in all: references may lead in a circle.
DEEPEST, MOST = 40, 5000
WITHIN = ("not", "if", "dependentSchemas", "dependencies", "$dynamicRef", "contains")


def either(*parts: Schema) -> Schema:
    """One of these holds, or several."""
    return parts[0] if len(parts) == 1 else {"anyOf": [*parts]}


def as_dict(schema: Schema) -> dict[str, Any]:
    """`False` has no form but itself, and is not asked for here."""
    return schema if isinstance(schema, dict) else {}


class Logic:
    """Of the parts of one schema, whose references begin at its root."""

    def __init__(self, root: Schema) -> None:
        self._root, self._depth, self._steps = root, 0, 0

    @contextmanager
    def _deeper(self) -> Iterator[bool]:
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
            schema = self._target(schema["$ref"])
        raise ValueError('"$ref" leads in a circle')

    def _target(self, reference: str) -> Schema:
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
        return [v for v in values if {_type(v), "integer" * (type(v) is int)} & kinds]

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

    # Telling apart.

    def told_apart(self, parts: Sequence[Schema]) -> list[Schema]:
        """These parts of a `oneOf`, each without what fits another one. Raises ValueError."""
        return [
            {"allOf": [part, *self._without(part, [*parts[:i], *parts[i + 1 :]])]}
            for i, part in enumerate(parts)
        ]

    def _without(self, part: Schema, others: Sequence[Schema]) -> Iterator[Schema]:
        for other in others:
            if self.disjoint(part, other):
                continue
            name = self._tells_apart(part, other)
            yield {"required": [name]} if name else self.opposite(other, "oneOf")

    def disjoint(self, one: Schema, other: Schema) -> bool:
        """Whether it is plain to see that nothing fits both."""
        with self._deeper() as may:
            return may and self._disjoint(self.resolved(one), self.resolved(other))

    def _disjoint(self, one: Schema, other: Schema) -> bool:
        if one is False or other is False:
            return True
        listed, against = self.values(one), self.values(other)
        if listed is not None and against is not None:
            return not {*map(_same, listed)} & {*map(_same, against)}
        shared = self._types(one) & self._types(other)
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

    def _tells_apart(self, one: Schema, other: Schema) -> str:
        """A property that differs in two objects, so that it tells them apart if it is there."""
        one, other = (as_dict(self.resolved(schema)) for schema in (one, other))
        if self._types(one) & self._types(other) != {"object"}:
            return ""
        mine, others = one.get("properties", {}), other.get("properties", {})
        apart = (n for n in mine if n in others and self.disjoint(mine[n], others[n]))
        return next(apart, "")

    def _types(self, schema: Schema) -> set[str]:
        listed = self.values(schema)
        if listed is not None:
            return {_type(value) for value in listed}
        schema = as_dict(self.resolved(schema))
        kinds = schema.get("type", [*TYPES])
        found = {kinds} if isinstance(kinds, str) else {*kinds}
        return {"number" if kind == "integer" else kind for kind in found}

    # Opposites.

    def opposite(self, schema: Schema, of: str) -> Schema:
        """What fits where this does not. Raises ValueError about the keyword `of`."""
        if isinstance(schema, bool):
            return not schema
        said = {key: value for key, value in schema.items() if key not in SAY_NOTHING}
        if not said:
            return False
        with self._deeper() as may:
            if not may:
                raise ValueError(f'this "{of}" is not supported')
            return either(*(self._opposite(key, value, schema, of) for key, value in said.items()))

    def _opposite(self, key: str, value: Any, schema: dict[str, Any], of: str) -> Schema:
        if key in BOUNDS and not isinstance(value, bool):
            kind, bound, further = BOUNDS[key]
            return (
                {"type": kind, bound: value + further}
                if value + further >= 0 or kind == ("number")
                else False
            )
        if key == "type":
            kinds = {value} if isinstance(value, str) else {*value}
            if "integer" in kinds and "number" not in kinds:
                raise ValueError(f'"{of}" of integers is not supported')
            return {"type": [kind for kind in TYPES if kind not in kinds]}
        if key in ("const", "enum"):
            listed = [value] if key == "const" else value
            return {"allOf": [_but(one, of) for one in listed]}
        if key == "required":
            absent = ({"type": "object", "properties": {name: False}} for name in value)
            return either(*absent) if value else False
        if key == "properties":
            wrong = (
                {"type": "object", "required": [n], "properties": {n: self.opposite(part, of)}}
                for n, part in value.items()
            )
            return either(*wrong) if value else False
        if key == "not":
            return value
        if key == "$ref":
            return self.opposite(self._target(value), of)
        if key in ("anyOf", "allOf"):
            opposites = [self.opposite(part, of) for part in value]
            return {"allOf": opposites} if key == "anyOf" else either(*opposites)
        if key == "items" and not schema.get("prefixItems") and not isinstance(value, list):
            return {"type": "array", "contains": self.opposite(value, of)}
        if key == "contains" and not {"minContains", "maxContains"} & schema.keys():
            return {"type": "array", "items": self.opposite(value, of)}
        raise ValueError(f'"{of}" with "{key}" in it is not supported')

    # Parts of which one holds.

    def choices(self, schema: Schema, of: str) -> list[Choice]:
        """For each choice of the parts of which one has to hold: those parts, and all that is said
        then, without what stands inside of properties and items. Raises ValueError about `of`."""
        with self._deeper() as may:
            if not may:
                raise ValueError(f'"{of}" behind a "$ref" that leads in a circle is not supported')
            return self._choices(as_dict(schema), of)

    def _choices(self, schema: dict[str, Any], of: str) -> list[Choice]:
        for key in WITHIN:
            if key in schema:
                raise ValueError(f'"{of}" beside "{key}" is not supported')
        found: list[Choice] = [([], [schema])]
        all_hold = [*schema.get("allOf", ())]
        if "$ref" in schema:
            all_hold.append(self._target(schema["$ref"]))
        for part in all_hold:
            found = _both(found, self.choices(part, of))
        for key in ("anyOf", "oneOf"):
            if key in schema:
                each = [([part, *h], s) for part in schema[key] for h, s in self.choices(part, of)]
                found = _both(found, each)
        return found


def _both(some: Sequence[Choice], others: Sequence[Choice]) -> list[Choice]:
    return [(h + held, s + said) for h, s in some for held, said in others]


def _same(value: Any) -> str:
    """The same text for values that JSON Schema takes for the same."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _type(value: Any) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return "null" if value is None else kinds.get(type(value), "object")


def _but(value: Any, of: str) -> Schema:
    """Everything but this value."""
    kind = _type(value)
    others: Schema = {"type": [k for k in TYPES if k != kind]}
    if kind == "null":
        return others
    if kind == "boolean":
        return either(others, {"const": not value})
    if kind == "number":
        number = {"type": "number"}
        less, more = {**number, "exclusiveMaximum": value}, {**number, "exclusiveMinimum": value}
        return either(others, less, more)
    if kind == "string":
        return either(others, {"type": "string", "pattern": _but_text(value)})
    raise ValueError(f'"{of}" of a list or an object is not supported')


def _but_text(text: str) -> str:
    """A pattern for every text but this one: one that breaks off, turns away or goes on."""
    ways = [re.escape(text) + "(?s:.+)"]
    for i, character in enumerate(text):
        begin = re.escape(text[:i])
        ways += [begin, f"{begin}[^{_in_class(character)}](?s:.*)"]
    return f"^({'|'.join(ways)})$"


def _in_class(character: str) -> str:
    return f"\\{character}" if character in "\\]^-[&~" else character
