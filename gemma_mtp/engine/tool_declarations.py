"""How tools are declared to the model: by a chat template, or as Gemma's own templates do.

`chat_template` calls it. Of a schema stays what the templates know; nothing in it can become a
control token. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gemma_mtp.api import Message, Tool
from gemma_mtp.engine.tool_notation import MARK, QUOTE, notation
from gemma_mtp.engine.tool_prompt import NOT_OF_MARKS, Piece, harmless

DECLARATION = "<|tool>declaration:"
DEEPEST = 32  # schemas in each other that a declaration shows


def types_of(tools: Sequence[Tool]) -> dict[str, dict[str, Any]]:
    """What the schemas of the tools say of the types of their arguments, by the tools' names."""
    plain = [each["function"] for each in declared(tools, [""] * len(tools))]
    return {
        each["name"]: {k: v["type"] for k, v in each["parameters"]["properties"].items()}
        for each in plain
    }


def declared(tools: Sequence[Tool], descriptions: Sequence[str]) -> list[dict[str, Any]]:
    """The tools as templates take them, with `descriptions` in place of their own."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": description,
                "parameters": _object(json.loads(tool.parameters or "{}")),
            },
        }
        for tool, description in zip(tools, descriptions, strict=True)
    ]


def declaration(tool: Tool, said_by: Message) -> list[Piece]:
    """A tool as Gemma's templates declare it, for a template that has no place for tools."""
    (one,) = declared([tool], [""])
    parameters = "".join(notation(_upper(one["function"]["parameters"]))).replace(QUOTE, MARK)
    return [
        Piece(f"{DECLARATION}{tool.name}{{description:{MARK}"),
        Piece(tool.description, said_by),
        Piece(f"{MARK},parameters:{parameters}}}<tool|>"),
    ]


def _upper(schema: Any) -> Any:
    """Types in capitals, as the model was trained with."""
    if isinstance(schema, list):
        return [_upper(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: each.upper() if key == "type" and isinstance(each, str) else _upper(each)
        for key, each in schema.items()
    }


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a tool in the few words that the templates know, with nothing left out
    that they cannot do without."""
    return _plain(schema | {"type": "object"}, schema, ())


_KEPT = ("description", "format", "default", "minimum", "maximum", "pattern")


def _plain(schema: Any, root: dict[str, Any], followed: tuple[str, ...]) -> dict[str, Any]:
    schema, followed = _resolved(schema, root, followed)
    kinds = _kinds(schema)
    kind = next((kind for kind in kinds if kind != "null"), "null" if kinds else "string")
    plain: dict[str, Any] = {key: _harmless(schema[key]) for key in _KEPT if key in schema}
    if kind != "null" and ("null" in kinds or schema.get("nullable") is True):
        plain["nullable"] = True
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(values, list) and kind == "string":
        plain["enum"] = [_harmless(each) for each in values if isinstance(each, str)]
    deeper = len(followed) < DEEPEST
    if kind == "object":
        inner = schema.get("properties")
        inner = inner if isinstance(inner, dict) and deeper else {}
        plain["properties"] = {
            _harmless(key): _plain(each, root, (*followed, "")) for key, each in inner.items()
        }
        required = schema.get("required")
        if isinstance(required, list):
            plain["required"] = [_harmless(each) for each in required if isinstance(each, str)]
    if kind == "array" and deeper and isinstance(schema.get("items"), dict):
        plain["items"] = _plain(schema["items"], root, (*followed, ""))
    return plain | {"type": _harmless(kind)}


def _resolved(
    schema: Any, root: dict[str, Any], followed: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The schema without a reference, parts or alternatives at its top; and the references that
    were followed. All parts stay, of alternatives the first one that is not null. No reference is
    followed inside itself."""
    while isinstance(schema, dict):
        reference = schema.get("$ref")
        parts = schema.get("allOf")
        branches = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(reference, str):
            rest = {key: each for key, each in schema.items() if key != "$ref"}
            found = None if reference in followed else pointed_at(reference, root)
            schema = (found if isinstance(found, dict) else {"type": "object"}) | rest
            followed = (*followed, reference)
        elif isinstance(parts, list) and parts:
            schema = {key: each for key, each in schema.items() if key != "allOf"}
            for part in parts:
                while isinstance(part, dict) and (to := part.get("$ref")) and to not in followed:
                    part, followed = pointed_at(str(to), root), (*followed, to)
                schema = _both(schema, part) if isinstance(part, dict) else schema
        elif isinstance(branches, list) and branches:
            rest = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")}
            kept = [each for each in branches if each != {"type": "null"}]
            null = {"nullable": True} if len(kept) < len(branches) else {}
            first = kept[0] if kept and isinstance(kept[0], dict) else {}
            schema = first | rest | null
        else:
            return schema, followed
    return {}, followed


def _both(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What both say; where they contradict each other, the first one."""
    both = part | schema
    for key in ("properties", "required", "allOf"):
        ours, theirs = schema.get(key), part.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            both[key] = theirs | ours
        elif isinstance(ours, list) and isinstance(theirs, list):
            both[key] = ours + theirs
    both.pop("$ref", None)  # inside itself
    return both


def pointed_at(reference: str, root: Any) -> Any:
    """What a local reference such as #/$defs/place points at; None where there is nothing."""
    if not reference.startswith("#"):
        return None
    found = root
    for step in reference.removeprefix("#").split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        elif isinstance(found, dict) and step in found:
            found = found[step]
        else:
            return None
    return found


def _kinds(schema: dict[str, Any]) -> list[str]:
    """The types a schema allows, said or meant."""
    said_so = schema.get("type")
    if isinstance(said_so, str):
        return [said_so]
    if isinstance(said_so, list) and all(isinstance(each, str) for each in said_so):
        return said_so
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    names = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    if isinstance(values, list) and values:
        return [names.get(type(each), "string") for each in values if each is not None] or ["null"]
    if "properties" in schema or "additionalProperties" in schema:
        return ["object"]
    return ["array"] if "items" in schema else []


def _harmless(value: Any) -> Any:
    """A value of a schema in whose texts nothing can become a control token, or be taken for a
    mark of `chat_template`."""
    if isinstance(value, str):
        return harmless(value).translate(NOT_OF_MARKS)
    if isinstance(value, list):
        return [_harmless(each) for each in value]
    if isinstance(value, dict):
        return {_harmless(key): _harmless(each) for key, each in value.items()}
    return value
