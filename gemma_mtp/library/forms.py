"""Types and functions of Python as what a model is told: JSON Schemas and tools."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from inspect import getdoc
from typing import Any

from gemma_mtp.api import Tool, ToolCall, ToolResult
from gemma_mtp.errors import UsageError

Function = Callable[..., Any]
log = logging.getLogger("gemma_mtp")


def adapter(kind: Any) -> Any:
    """What reads values of a type, such as a dataclass, a pydantic model or a TypedDict."""
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        return TypeAdapter(kind)
    except PydanticUserError as error:
        name = getattr(kind, "__name__", repr(kind))
        why = str(error).splitlines()[0]
        raise UsageError(f"{name} has no form that a model can be held to: {why}") from error


def schema_of(kind: Any) -> Any:
    """The JSON Schema of a type; one that is a JSON Schema already is taken as it is."""
    return kind if isinstance(kind, Mapping) else _closed(adapter(kind).json_schema())


def _closed(schema: Any) -> Any:
    """Without properties that a type does not have, of which a model may write any number."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _closed(value) for name, value in schema.items()}
    if found.get("type") == "object" and "properties" in found:
        found.setdefault("additionalProperties", False)
    return found


def declared(function: Function) -> Tool:
    """A function as a tool: its name, its docstring, and the types of its arguments."""
    if not callable(function):
        raise UsageError(f"A tool is a function or a gemma_mtp.Tool, not {function!r}.")
    return Tool(function.__name__, getdoc(function) or "", json.dumps(schema_of(function)))


def result(call: ToolCall, function: Function) -> ToolResult:
    """What a function says; what goes wrong in it is told to the model, and logged."""
    from pydantic import validate_call

    try:
        found = validate_call(function)(**json.loads(call.arguments))
        return ToolResult(
            call.id, found if isinstance(found, str) else adapter(object).dump_json(found).decode()
        )
    except Exception as error:
        log.warning("%s failed: %s", call.name, error)
        return ToolResult(call.id, f"Error: {error}")
