"""Calls of tools, and what the tools said, in a few lines for a person. Pure.

The printer shows them, in a chat and where a conversation is shown again.
"""

from __future__ import annotations

import json

from gemma_mtp.api import ToolCall
from gemma_mtp.terminal.widths import clipped
from gemma_mtp.text import counted, json_text

LONGEST_VALUE = 200  # characters of one argument that are shown
RESULT_LINES = 4


def call_line(call: ToolCall, longest: int = LONGEST_VALUE) -> tuple[str, bool]:
    """get_weather(city: "Rome"), and whether all of it is there: a long argument is cut, and says
    how long it is."""
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = call.arguments  # broken off
    cut = False

    def shown(value: str) -> str:
        nonlocal cut
        if len(value) <= longest:
            return value
        cut = True
        return f"{value[:longest]}… ({counted(len(value), 'character')})"

    if isinstance(arguments, dict):
        pairs = (f"{name}: {shown(json_text(value))}" for name, value in arguments.items())
        return f"{call.name}({', '.join(pairs)})", not cut
    return f"{call.name}({shown(str(arguments))}", not cut


def result_lines(text: str, width: int) -> list[str]:
    """The first lines of what a tool said, indented, each in one row."""
    lines = text.strip("\n").split("\n")
    shown = lines if len(lines) <= RESULT_LINES + 1 else lines[:RESULT_LINES]
    found = [f"  {clipped(line, width - 3)}" for line in shown]
    if len(lines) > len(shown):
        found.append(f"  ({counted(len(lines) - len(shown), 'more line')})")
    return found
