"""`/race`: one message answered twice, recorded, and shown side by side.

The verb calls it; `terminal.race_view` draws the two columns.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from gemma_mtp.api import DraftSetting, End, Event, Progress, ToolChoice
from gemma_mtp.conversations.conversation import Conversation
from gemma_mtp.terminal.figures import drafts_used
from gemma_mtp.terminal.interrupts import stoppable
from gemma_mtp.terminal.race import Recording, record
from gemma_mtp.text import counted

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat
    from gemma_mtp.options import Options

FORCED = 3  # drafts a round where auto would use none, so that there is something to see
WATCHABLE = 3.0  # seconds; what was over sooner is shown more slowly
SLOWER = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)


def race(chat: Chat, draft: Conversation, seed: int) -> None:
    """Both replies to the last message of `draft`, then the replay; Ctrl-C stops either."""
    from gemma_mtp.terminal.race_view import replay

    # Not exact: plain decoding as people know it is what a race should be run against.
    plainly = replace(chat.options, seed=seed, exact=False, draft=0)
    drafting = replace(plainly, draft=_drafts(chat))
    with stoppable() as cancel:
        plain = _record(chat, draft, plainly, "plain", cancel)
        drafted = _record(chat, draft, drafting, "with drafts", cancel)
        if cancel.is_set():
            chat.note("stopped")
            return
        replay(
            chat.printer.screen,
            plain,
            drafted,
            highlight=chat.printer.view.highlight,
            factor=pace(max(plain.seconds, drafted.seconds)),
            built_in=chat.env.is_built_in(chat.engine.info.name),
            stopped=cancel.is_set,
        )
    if chat.options.is_exact:
        chat.note("Neither was in exact mode, unlike this chat; it slows plain decoding down.")
    if drafting.draft != (chat.options.draft or "auto"):
        chat.note(
            "By itself auto used no drafts in that reply; for the race there were "
            f"{FORCED} a round."
        )


def _drafts(chat: Chat) -> DraftSetting:
    """What is set; with auto, a length where it used none in the last reply."""
    chosen: DraftSetting = chat.options.draft or "auto"
    unused = chat.last is not None and not drafts_used(chat.last)
    return FORCED if chosen == "auto" and unused else chosen


def pace(seconds: float) -> float:
    """How many times as fast as it was the race is shown."""
    return next((factor for factor in SLOWER if seconds / factor >= WATCHABLE), SLOWER[-1])


def _record(
    chat: Chat, draft: Conversation, options: Options, title: str, cancel: threading.Event
) -> Recording:
    wanted = replace(chat.request(draft, options), tool_choice=ToolChoice("none"))
    screen = chat.printer.screen

    def events() -> Iterator[Event]:
        for event in chat.engine.reply(wanted, cancel):
            if isinstance(event, Progress):
                screen.transient(f"{title}: {counted(event.stats.completion_tokens, 'token')}")
            elif isinstance(event, End) and event.warning:
                chat.say(event.warning)
            yield event

    try:
        return record(events())
    finally:
        screen.transient("")
