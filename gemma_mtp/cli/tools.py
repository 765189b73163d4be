"""Tools that `run` declares to the model: --tools and --tool-choice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from typer import Option

from gemma_mtp.api import ToolCall, ToolChoice, ToolMode
from gemma_mtp.errors import UsageError
from gemma_mtp.files.reading import read_text
from gemma_mtp.terminal.console import note

if TYPE_CHECKING:
    from gemma_mtp.api import Tool

Tools = Annotated[
    str | None,
    Option("--tools", metavar="FILE", help="Tools to call, in JSON; calls are printed, not run."),
]
Choice = Annotated[
    str | None,
    Option("--tool-choice", metavar="auto|none|required|NAME", help="Whether a tool is called."),
]


def wanted(tools: str | None, choice: str | None) -> tuple[tuple[Tool, ...], ToolChoice]:
    """The tools that these options declare. Raises UsageError."""
    if tools is None:
        if choice is not None:
            raise UsageError("--tool-choice needs tools.", "--tools FILE declares them.")
        return (), ToolChoice()
    from gemma_mtp.tools.definitions import read_tools

    inline = tools.lstrip().startswith(("[", "{"))
    text = tools if inline else read_text(Path(tools), note)
    found = read_tools(text, "--tools" if inline else tools)
    return found, _choice(choice or "auto", [tool.name for tool in found])


def _choice(word: str, names: list[str]) -> ToolChoice:
    if word in names:
        return ToolChoice("required", word)
    for mode in get_args(ToolMode):
        if word.lower() == mode:
            return ToolChoice(mode)
    known = ", ".join((*get_args(ToolMode), *names))
    raise UsageError(f'--tool-choice knows no "{word}".', f"Known: {known}.")


def as_json(call: ToolCall) -> dict[str, Any]:
    """A call as it is printed; arguments that are no JSON, as they came."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = call.arguments
    return {"name": call.name, "arguments": arguments}
