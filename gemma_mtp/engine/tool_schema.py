"""Schemas of a tool's arguments, made simple: one flat schema of all that holds at once.

`tool_grammar` calls it. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import lcm
from typing import Any

from gemma_mtp.engine.json_schema.references import Schema

UNSUPPORTED = (
    *("not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies"),
    *("contains", "minContains", "maxContains", "uniqueItems", "unevaluatedProperties"),
    *("unevaluatedItems", "propertyNames", "$dynamicRef", "$recursiveRef"),
)
LARGER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
SMALLER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


class Impossible(ValueError):
    """Nothing can fit all of it."""


def without_unsupported(schema: Any) -> Any:
    """The schema without keywords that may have no form in a grammar, and with `anyOf` for
    `oneOf`. It allows more."""
    if isinstance(schema, list):
        return [without_unsupported(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: each for key, each in schema.items() if key not in UNSUPPORTED}
    if "oneOf" in kept:
        kept.setdefault("anyOf", kept.pop("oneOf"))
    names = ("properties", "$defs", "definitions", "patternProperties")
    return {
        key: {name: without_unsupported(part) for name, part in each.items()}
        if key in names and isinstance(each, dict)
        else each
        if key in ("enum", "const", "default", "examples")
        else without_unsupported(each)
        for key, each in kept.items()
    }


def merged(said: Sequence[Schema]) -> dict[str, Any]:
    """Schemas that hold at once as one: `type` a list of types without repeats, `enum` for `const`
    too, `pattern` and `format` lists. Raises Impossible."""
    flat: dict[str, Any] = {}
    for schema in said:
        if schema is False:
            raise Impossible
        if isinstance(schema, dict):
            _types(flat, schema)
            _values(flat, schema)
            _bounds(flat, schema)
            _properties(flat, schema)
            _items(flat, schema)
    if "enum" in flat:
        flat["enum"] = [value for value in flat["enum"] if _fits(value, flat)]
        if not flat["enum"]:
            raise Impossible
    return flat


def _types(flat: dict[str, Any], schema: Mapping[str, Any]) -> None:
    if "type" in schema:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if "type" in flat:
            kinds = _both_kinds(flat["type"], kinds)
        if not kinds:
            raise Impossible
        flat["type"] = [k for k in kinds if k != "integer" or "number" not in kinds]


def _both_kinds(some: Sequence[str], others: Sequence[str]) -> list[str]:
    found = [kind for kind in some if kind in others]
    if "integer" not in found and any(
        "integer" in one and "number" in other for one, other in ((some, others), (others, some))
    ):
        found.append("integer")
    return found


def _values(flat: dict[str, Any], schema: Mapping[str, Any]) -> None:
    if "const" not in schema and "enum" not in schema:
        return
    values = [schema["const"]] if "const" in schema else list(schema["enum"])
    if "enum" in flat:
        known = [json.dumps(value, sort_keys=True) for value in flat["enum"]]
        values = [value for value in values if json.dumps(value, sort_keys=True) in known]
    flat["enum"] = values


def _bounds(flat: dict[str, Any], schema: Mapping[str, Any]) -> None:
    for keys, choose in ((LARGER, max), (SMALLER, min)):
        for key in keys:
            if key in schema:
                flat[key] = choose(schema[key], flat.get(key, schema[key]))
    for key in ("pattern", "format"):
        if key in schema and schema[key] not in flat.setdefault(key, []):
            flat[key].append(schema[key])
    if "multipleOf" in schema:
        one, other = flat.get("multipleOf"), schema["multipleOf"]
        whole = isinstance(one, int) and isinstance(other, int)
        flat["multipleOf"] = lcm(int(one or 1), other) if whole else other


def _properties(flat: dict[str, Any], schema: Mapping[str, Any]) -> None:
    if not schema.keys() & {"properties", "additionalProperties", "required", "patternProperties"}:
        return
    mine, theirs = flat.get("properties", {}), schema.get("properties", {})
    found = {}
    for name in [*mine, *(name for name in theirs if name not in mine)]:
        parts = [
            part[name] if name in part else of.get("additionalProperties", True)
            for part, of in ((mine, flat), (theirs, schema))
        ]
        found[name] = _both(*parts)
    flat["properties"] = found
    flat["required"] = [*dict.fromkeys([*flat.get("required", ()), *schema.get("required", ())])]
    others = flat.get("additionalProperties", True), schema.get("additionalProperties", True)
    flat["additionalProperties"] = _both(*others)
    flat["patternProperties"] = {
        **flat.get("patternProperties", {}),
        **schema.get("patternProperties", {}),
    }


def _items(flat: dict[str, Any], schema: Mapping[str, Any]) -> None:
    if not schema.keys() & {"items", "prefixItems"}:
        return
    some, others = flat.get("prefixItems", []), schema.get("prefixItems", [])
    rest, other_rest = flat.get("items", True), schema.get("items", True)
    flat["prefixItems"] = [
        _both(
            some[place] if place < len(some) else rest,
            others[place] if place < len(others) else other_rest,
        )
        for place in range(max(len(some), len(others)))
    ]
    flat["items"] = _both(rest, other_rest)


def _both(one: Schema, other: Schema) -> Schema:
    if one in (True, {}) or one == other:
        return other
    if other in (True, {}):
        return one
    return False if one is False or other is False else {"allOf": [one, other]}


def _fits(value: Any, flat: Mapping[str, Any]) -> bool:
    """Whether a listed value has one of the types, and keeps within the bounds of numbers."""
    names = {str: "string", list: "array", dict: "object", type(None): "null", bool: "boolean"}
    kinds = flat.get("type")
    kind = names.get(type(value), "number")
    whole = kind == "number" and float(value).is_integer()
    if kinds is not None and kind not in kinds and not (whole and "integer" in kinds):
        return False
    if kind != "number":
        return True
    return bool(flat.get("minimum", value) <= value <= flat.get("maximum", value))
