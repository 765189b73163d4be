"""Tools that a model may call. Declared by clients, written into the prompt by the engine."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from gemma_mtp.errors import UsageError

ToolMode = Literal["auto", "none", "required"]
"""auto: the model decides; none: it knows the tools and calls none; required: it calls one."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


@dataclass(frozen=True)
class Tool:
    """A function that the model may call; `parameters` are the text of a JSON Schema of an object,
    "" for a function without any."""

    name: str
    description: str = ""
    parameters: str = ""


@dataclass(frozen=True)
class ToolChoice:
    """Whether and how tools are called.

    `name`, with the mode "required", leaves only that tool. `parallel`: one reply may hold several
    calls. `constrained`: what the model writes as arguments is held to the schema; else it is read
    as it comes, and mended where that is possible.
    """

    mode: ToolMode = "auto"
    name: str = ""
    parallel: bool = True
    constrained: bool = True


def check_tools(tools: Sequence[Tool], choice: ToolChoice) -> None:
    """Raise UsageError with a sentence about the first tool that cannot be declared."""
    names: set[str] = set()
    for tool in tools:
        if not _NAME.fullmatch(tool.name):
            what = "1 to 64 letters, digits, dots, dashes or underscores"
            raise UsageError(f'The name of a tool must be {what}, not "{tool.name}".')
        if tool.name in names:
            raise UsageError(f"Two tools are called {tool.name}.")
        names.add(tool.name)
        _check_parameters(tool)
    if choice.mode not in get_args(ToolMode):
        modes = ", ".join(get_args(ToolMode))
        raise UsageError(f'tool_choice must be one of {modes}, not "{choice.mode}".')
    if choice.name and choice.name not in names:
        raise UsageError(f"tool_choice names {choice.name}, which is none of the tools.")
    if choice.mode == "required" and not tools:
        raise UsageError("tool_choice demands a call, and there are no tools.")


def _check_parameters(tool: Tool) -> None:
    try:
        schema = json.loads(tool.parameters or "{}")
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The parameters of {tool.name} are no JSON: {error}.") from error
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise UsageError(f"The parameters of {tool.name} must be the JSON Schema of an object.")
