"""Types and functions of Python as what a model is told: JSON Schemas and tools."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from inspect import getdoc
from typing import Any, cast, get_args

from gemma_mtp.api import Grammar, Tool, ToolCall, ToolChoice, ToolMode, ToolResult
from gemma_mtp.errors import UsageError

Function = Callable[..., Any]
MOST_IN_SETS = 8  # values of which an engine lists all sets
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
    if isinstance(kind, Mapping):
        return kind
    schema = adapter(kind).json_schema()
    return _closed(schema, schema.get("$defs", {}))


def _closed(schema: Any, parts: Mapping[str, Any]) -> Any:
    """Without properties that a type does not have, of which a model may write any number; and a
    set as a list, where not all sets can be listed: reading it makes a set of it. `parts` are those
    that it refers to."""
    if isinstance(schema, list):
        return [_closed(each, parts) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _closed(value, parts) for name, value in schema.items()}
    if found.get("type") == "object" and "properties" in found:
        found.setdefault("additionalProperties", False)
    if found.get("uniqueItems") is True:
        items = found.get("items", {})
        listed = parts.get(items.get("$ref", "").rpartition("/")[2], items).get("enum", ())
        if not 0 < len(listed) <= MOST_IN_SETS:
            del found["uniqueItems"]
    return found


def form_of(schema: Any, choices: Sequence[str] | None) -> Grammar | None:
    """What an answer has to look like, if anything is said of it. Raises UsageError."""
    if choices is None:
        return None if schema is None else Grammar("json_schema", json.dumps(schema_of(schema)))
    if schema is not None:
        raise UsageError("schema and choices do not go together.", "Use one of them.")
    if isinstance(choices, str) or not all(isinstance(choice, str) for choice in choices):
        raise UsageError("choices is a list of texts.")
    return Grammar("choices", json.dumps([*choices]))


def choice_of(wanted: Any) -> ToolChoice:
    """Whether and which tool is called: a mode, a tool, a function, or the name of one of these.
    Raises UsageError."""
    if isinstance(wanted, str) and wanted in get_args(ToolMode):
        return ToolChoice(cast(ToolMode, wanted))
    name = wanted.name if isinstance(wanted, Tool) else getattr(wanted, "__name__", wanted)
    if not isinstance(name, str):
        modes = ", ".join(get_args(ToolMode))
        raise UsageError(f"tool_choice is one of {modes}, or one of the tools, not {wanted!r}.")
    return ToolChoice("required", name)


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
