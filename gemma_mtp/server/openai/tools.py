"""Tools as OpenAI's clients declare them, and as replies call them.

Chat completions have name and schema of a tool one level deeper than responses; both are read here.
OpenAI's guide to function calling says what each field means: platform.openai.com/docs/guides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from pydantic import Field

from gemma_mtp.api import Tool, ToolCall, ToolCallDelta, ToolChoice, ToolMode
from gemma_mtp.server.bodies import ReplyBody
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.tools import AUTO, declared

FUNCTION = "function"
"""The one type of tools that a model here can call. Others are run by OpenAI, or take text of a
form that only its models have learned."""

TOOLS = "Functions that the model may call. Tools of other types are skipped."

Choice = str | dict[str, Any] | None
"""The field tool_choice."""


@dataclass(frozen=True)
class Offer:
    """The tools of a request, how they are called, and those that are skipped, for the line that
    `serve` prints."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = AUTO
    skipped: tuple[str, ...] = ()


class ToolsBody(ReplyBody):
    """The body of a request in which tools may be declared."""

    tools: list[dict[str, Any]] | None = Field(None, description=TOOLS)
    tool_choice: Choice = Field(
        None,
        description="auto, none, required, or an object that names a function or those that are"
        " allowed.",
    )
    parallel_tool_calls: bool | None = Field(
        None, description="Whether a reply may hold several calls, as it may unless this is false."
    )

    def offer(self) -> Offer:
        """What it lets the model call. Raises Unsupported."""
        return offered(self.tools, self.tool_choice, self.parallel_tool_calls)


def offered(tools: Sequence[dict[str, Any]] | None, choice: Choice, parallel: bool | None) -> Offer:
    """What a client lets the model call. Raises Unsupported."""
    found, skipped = [], []
    for number, tool in enumerate(tools or ()):
        field, kind = f"tools.{number}", str(tool.get("type", FUNCTION))
        if kind != FUNCTION:
            skipped.append(f"{field} ({kind})")
            continue
        deeper = isinstance(tool.get(FUNCTION), dict)
        inner = tool[FUNCTION] if deeper else tool
        found.append(declared(inner, "parameters", f"{field}.function" if deeper else field))
    offer = _chosen(Offer(tuple(found), skipped=tuple(skipped)), choice)
    return replace(offer, choice=replace(offer.choice, parallel=parallel is not False))


def _chosen(offer: Offer, choice: Choice) -> Offer:
    if choice is None or isinstance(choice, str):
        return replace(offer, choice=_of_mode(offer, choice or "auto"))
    kind = choice.get("type")
    if kind == FUNCTION:
        name = _name(offer, choice)
        return replace(offer, choice=ToolChoice("required", name))
    if kind != "allowed_tools":
        raise Unsupported("tool_choice", f"is {kind}: a model here can only call functions")
    inner = choice.get("allowed_tools", choice)
    listed = inner.get("tools") if isinstance(inner, dict) else None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise Unsupported("tool_choice", "must have a list of tools that are allowed")
    allowed = {_name(offer, each) for each in listed if each.get("type", FUNCTION) == FUNCTION}
    offer = replace(offer, tools=tuple(tool for tool in offer.tools if tool.name in allowed))
    return replace(offer, choice=_of_mode(offer, inner.get("mode", "auto")))


def _of_mode(offer: Offer, mode: Any) -> ToolChoice:
    if mode not in get_args(ToolMode):
        modes = ", ".join(get_args(ToolMode))
        raise Unsupported("tool_choice", f"must be {modes} or an object that names a tool")
    if mode == "required" and not offer.tools:
        raise Unsupported("tool_choice", "demands a call, and there is no function to call")
    return ToolChoice(mode)


def _name(offer: Offer, choice: dict[str, Any]) -> str:
    """The name in `choice`, which one of the tools has."""
    inner = choice.get(FUNCTION, choice)
    name = inner.get("name") if isinstance(inner, dict) else None
    if name not in {tool.name for tool in offer.tools}:
        raise Unsupported("tool_choice", f"names {name}, which is no function among the tools")
    return str(name)


def written(call: ToolCall) -> dict[str, Any]:
    """A call, as messages of chat completions hold it."""
    return {
        "id": call.id,
        "type": FUNCTION,
        FUNCTION: {"name": call.name, "arguments": call.arguments},
    }


def piece(event: ToolCallDelta) -> dict[str, Any]:
    """A piece of a call, as chunks of chat completions hold it: what it is called comes once."""
    if not event.id:
        return {"index": event.index, FUNCTION: {"arguments": event.arguments}}
    begun = ToolCall(event.id, event.name, event.arguments)
    return {"index": event.index, **written(begun)}
