"""Tools as Anthropic's clients declare them, and how they want them called.

Anthropic's guide to tool use says what each field means: platform.claude.com/docs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gemma_mtp.api import Tool, ToolChoice, ToolMode
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.tools import AUTO, declared

CUSTOM = (None, "custom")
"""Types of tools that say themselves what they are. Others are Anthropic's own, such as a search or
a shell whose use only its models have learned."""

TOOLS = "Tools that the model may call; those of Anthropic's own types are skipped."

_MODES: dict[str, ToolMode] = {
    "auto": "auto",
    "any": "required",
    "tool": "required",
    "none": "none",
}


class Choice(BaseModel):
    """Whether and how tools are called; `name` is that of the only one, with the type `tool`."""

    model_config = ConfigDict(extra="allow")

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


def offered(tools: Sequence[dict[str, Any]] | None) -> tuple[Tool, ...]:
    """The tools that a model here can call. Raises Unsupported for what is no declaration."""
    return tuple(
        declared(tool, "input_schema", f"tools.{number}")
        for number, tool in enumerate(tools or ())
        if tool.get("type") in CUSTOM
    )


def skipped(tools: Sequence[dict[str, Any]] | None) -> list[str]:
    """Those that it cannot, for the line that `serve` prints."""
    return [
        f"tools.{number} ({tool['type']})"
        for number, tool in enumerate(tools or ())
        if tool.get("type") not in CUSTOM
    ]


def chosen(choice: Choice | None, tools: Sequence[Tool]) -> ToolChoice:
    """How they are called. Raises Unsupported where none of them is what has to be called."""
    if choice is None:
        return AUTO
    only = (choice.name or "") if choice.type == "tool" else ""
    if choice.type == "tool" and only not in {tool.name for tool in tools}:
        raise Unsupported("tool_choice", f"names {only}, which is none of the tools")
    if choice.type == "any" and not tools:
        raise Unsupported("tool_choice", "demands a call, and there is no tool to call")
    return ToolChoice(_MODES[choice.type], only, not choice.disable_parallel_tool_use)
