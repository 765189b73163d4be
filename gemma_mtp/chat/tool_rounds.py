"""The calls of a reply: each shown, asked for, run, and its result cut to what the context holds.

`reply` calls it between two replies of a turn. Every result is handed to it as soon as it is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from gemma_mtp.api import ToolResult
from gemma_mtp.chat.result_room import fitted
from gemma_mtp.chat.tools import tell
from gemma_mtp.conversations.calls import arguments_of, waiting, with_result
from gemma_mtp.terminal.interrupts import breakable
from gemma_mtp.terminal.tool_lines import call_line

if TYPE_CHECKING:
    from gemma_mtp.api import ToolCall, Turn
    from gemma_mtp.chat.chat import Chat
    from gemma_mtp.tools.offered import Offered

MOST_ROUNDS = 25  # replies with calls, after which the person is asked whether to go on
DECLINED = "The user declined this call."
STOPPED = "The user stopped this call; whether it had an effect is not known."
YES, ALWAYS, NO = "yes", "yes, always for this tool", "no"
ALL = "show all of it"


def run_calls(
    chat: Chat, turn: Turn, cancel: threading.Event, keep: Callable[[Turn], None]
) -> bool:
    """Run the calls of `turn` that wait for a result, as the person allows; `keep` gets the turn
    with each new result. False: the person stopped here."""
    calls = waiting(turn)
    for number, call in enumerate(calls):
        text = _answer(chat, call, cancel)
        if text is None:
            return False
        text = fitted(chat, turn, text, len(calls) - number)
        turn = with_result(turn, ToolResult(call.id, text))
        keep(turn)
        chat.printer.result(text)
        tell(chat)
        if cancel.is_set():
            return False
    return True


def may_go_on(chat: Chat, rounds: int) -> bool:
    """Asked after many rounds, since a model may go on for ever."""
    if rounds % MOST_ROUNDS:
        return True
    with breakable():
        question = f"The model called tools {rounds} times for this answer. Go on?"
        return chat.console.ask(question, ("yes, go on", "no, stop here")) == 0


def _answer(chat: Chat, call: ToolCall, cancel: threading.Event) -> str | None:
    """What the model gets for a call; None: the person stopped before it ran."""
    chat.printer.call(call)
    tool = chat.tools.find(call.name)
    if tool is None:
        return f"Error: there is no tool {call.name}."
    allowed = call.name in chat.tools.unasked or _allowed(chat, call, tool)
    if not allowed:
        return None if allowed is None else DECLINED
    arguments = arguments_of(call) or {}
    chat.printer.screen.transient(f"running {call.name}; Ctrl-C stops it")
    try:
        outcome = chat.tools.call(tool, arguments, cancel)
    finally:
        chat.printer.screen.transient("")
    return STOPPED if outcome is None else outcome.text


def _allowed(chat: Chat, call: ToolCall, tool: Offered) -> bool | None:
    """Whether the person lets it run; None for neither: that ends the turn."""
    _, whole = call_line(call)
    choices = (YES, ALWAYS, NO) if whole else (YES, ALWAYS, NO, ALL)
    while True:
        with breakable():
            answer = chat.console.ask(f"Run {call.name} ({tool.server})?", choices)
        if answer is None:
            return None
        if choices[answer] == ALL:
            chat.printer.call(call, whole=True)
            choices = (YES, ALWAYS, NO)
            continue
        if choices[answer] == ALWAYS:
            chat.tools.unasked.add(call.name)
        return choices[answer] != NO
