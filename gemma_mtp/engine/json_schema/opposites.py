"""What is not: opposites of JSON Schemas, and parts of `oneOf` told apart.

`rewriting` says by it what llguidance cannot. Opposites may allow less than they should, never
more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from gemma_mtp.engine.json_schema.references import (
    MOST,
    SAY_NOTHING,
    TYPES,
    References,
    Schema,
    as_dict,
    type_of,
)

Choice: TypeAlias = tuple[list[Schema], list[dict[str, Any]]]
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
LONGEST_TEXT = 200  # characters of which there can be an opposite: its size grows with the square
WITHIN = ("not", "if", "dependentSchemas", "dependencies", "$dynamicRef", "contains")


def either(*parts: Schema) -> Schema:
    """One of these holds, or several."""
    return parts[0] if len(parts) == 1 else {"anyOf": [*parts]}


class Opposites(References):
    """Of the parts of one schema."""

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

    def _tells_apart(self, one: Schema, other: Schema) -> str:
        """A property that differs in two objects, so that it tells them apart if it is there."""
        one, other = (as_dict(self.resolved(schema)) for schema in (one, other))
        if self.types(one) & self.types(other) != {"object"}:
            return ""
        mine, others = one.get("properties", {}), other.get("properties", {})
        apart = (n for n in mine if n in others and self.disjoint(mine[n], others[n]))
        return next(apart, "")

    def opposite(self, schema: Schema, of: str) -> Schema:
        """What fits where this does not. Raises ValueError about the keyword `of`."""
        if isinstance(schema, bool):
            return not schema
        said = {key: value for key, value in schema.items() if key not in SAY_NOTHING}
        if not said:
            return False
        with self.deeper() as may:
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
            return self.opposite(self.target(value), of)
        if key in ("anyOf", "allOf"):
            opposites = [self.opposite(part, of) for part in value]
            return {"allOf": opposites} if key == "anyOf" else either(*opposites)
        if key == "items" and not schema.get("prefixItems") and not isinstance(value, list):
            return {"type": "array", "contains": self.opposite(value, of)}
        if key == "contains" and not {"minContains", "maxContains"} & schema.keys():
            return {"type": "array", "items": self.opposite(value, of)}
        raise ValueError(f'"{of}" with "{key}" in it is not supported')

    def choices(self, schema: Schema, of: str) -> list[Choice]:
        """For each choice of the parts of which one has to hold: those parts, and all that is said
        then, without what stands inside of properties and items. Raises ValueError about `of`."""
        with self.deeper() as may:
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
            all_hold.append(self.target(schema["$ref"]))
        for part in all_hold:
            found = _both(found, self.choices(part, of))
        for key in ("anyOf", "oneOf"):
            if key in schema:
                each = [([part, *h], s) for part in schema[key] for h, s in self.choices(part, of)]
                found = _both(found, each)
        return found


def _both(some: Sequence[Choice], others: Sequence[Choice]) -> list[Choice]:
    if len(some) * len(others) > MOST:
        raise ValueError(f"its parts can be combined in more than {MOST} ways")
    return [(h + held, s + said) for h, s in some for held, said in others]


def _but(value: Any, of: str) -> Schema:
    """Everything but this value."""
    kind = type_of(value)
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
    if len(text) > LONGEST_TEXT:
        raise ValueError(f'"not" of a text of more than {LONGEST_TEXT} characters is not supported')
    ways = [re.escape(text) + "(?s:.+)"]
    for i, character in enumerate(text):
        begin = re.escape(text[:i])
        ways += [begin, f"{begin}[^{_in_class(character)}](?s:.*)"]
    return f"^({'|'.join(ways)})$"


def _in_class(character: str) -> str:
    return f"\\{character}" if character in "\\]^-[&~" else character
