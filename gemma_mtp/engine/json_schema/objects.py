"""Objects that are complete: with the properties that a schema lists, and no others.

By the standard there may always be more of them, of any kind, which nobody who lists some wants
written. `rewriting` asks.
"""

from __future__ import annotations

from typing import Any

from gemma_mtp.engine.json_schema.references import COMPLETE, Schema, as_dict, inside

# Where several parts speak of one object, none of them lists all of it.
COMBINING = (
    *("allOf", "not", "if", "dependentSchemas", "dependencies", "dependentRequired"),
    *("unevaluatedProperties", "$dynamicRef"),
)
CHOOSING = ("anyOf", "oneOf", "$ref")
OPEN = ("propertyNames", "minProperties", "maxProperties")  # these say what else there is


def completed(schema: Schema) -> Schema:
    """Each object of the schema marked as COMPLETE that lists properties, if it does not say
    otherwise; none where parts are combined."""
    return schema if _combines(schema) else _completed(schema)


def complete(schema: dict[str, Any]) -> None:
    """Hold a marked object to it; a constant, by which parts are told apart, is written."""
    schema.setdefault("additionalProperties", False)
    listed = schema.get("properties") or {}
    constants = [name for name, part in listed.items() if "const" in as_dict(part)]
    schema["required"] = [*dict.fromkeys([*schema.get("required", ()), *constants])]


def _completed(schema: Schema) -> Schema:
    if not isinstance(schema, dict):
        return schema
    found = inside(schema, _completed)
    listed = found.get("properties") or {}
    if (
        (listed or "patternProperties" in found)
        and not found.keys() & {*OPEN}
        and ("additionalProperties" in found or {*found.get("required", ())} <= listed.keys())
    ):
        found[COMPLETE] = True
    return found


def _combines(schema: Schema) -> bool:
    schema = as_dict(schema)
    if schema.keys() & {*COMBINING}:
        return True
    if schema.keys() & {*CHOOSING} and schema.keys() & {"properties", "required"}:
        return True
    parts: list[Schema] = []
    inside(schema, lambda part: parts.append(part) or part)  # type: ignore[func-returns-value]
    return any(_combines(part) for part in parts)
