"""The last turns of an earlier conversation, shown again where it goes on.

The chat calls it when a saved conversation is taken up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gemma_mtp.api import Message, TextDelta, ToolCall, ToolResult
from gemma_mtp.text import counted

if TYPE_CHECKING:
    from gemma_mtp.api import Turn
    from gemma_mtp.terminal.render import Printer

TURNS = 5  # that are shown
LINES = 12  # of a message in them; attached files can be long


def show_earlier(printer: Printer, turns: Sequence[Turn]) -> None:
    """Show the last turns again, and how many there are before them."""
    above = len(turns) - TURNS
    if above > 0:
        printer.line(f"{counted(above, 'earlier message')} above", dim=True)
    for turn in turns[-TURNS:]:
        printer.message(_shortened(turn.user.content), dim=True)
        _show_reply(printer, turn)


def _show_reply(printer: Printer, turn: Turn) -> None:
    if turn.thought and printer.view.thoughts != "hide":
        printer.line(f"thought, {counted(len(turn.thought.split()), 'word')}", dim=True)
    for message in turn.replies:
        _show_message(printer, message)
    if turn.replies and turn.reason != "stop":
        printer.line("stopped" if turn.reason == "cancelled" else "not complete", dim=True)


def _show_message(printer: Printer, message: Message) -> None:
    if message.content:
        printer.show(TextDelta(message.content))
        printer.finish()
    for part in message.parts:
        if isinstance(part, ToolCall):
            printer.call(part)
        elif isinstance(part, ToolResult):
            printer.result(part.text)


def _shortened(text: str) -> str:
    """The first lines of a long message."""
    lines = text.split("\n")
    if len(lines) <= LINES:
        return text
    more = counted(len(lines) - LINES + 1, "more line")
    return "\n".join([*lines[: LINES - 1], f"({more})"])
