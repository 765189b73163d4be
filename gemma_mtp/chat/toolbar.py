"""The line at the bottom of the screen while a message is typed. Pure: a chat in, words out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gemma_mtp.options import PARAMETERS
from gemma_mtp.terminal.figures import Parts
from gemma_mtp.text import number

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat


def parts(chat: Chat) -> Parts:
    """What the bar says, each part with its importance.

    Asked for while the line is drawn, where an error would end the program.
    """
    try:
        return _parts(chat)
    except Exception:
        return [(9, Path(chat.model).name)]


def _parts(chat: Chat) -> Parts:
    engine = chat.loaded
    if engine is None:
        return [(9, "no model"), (8, "/model NAME")]
    found = [(7, Path(chat.model).name), (9, context(chat))]
    draft = PARAMETERS["draft"].shown(chat.options.draft)
    found.append((4, "plain" if engine.info.plain_reason else f"draft {draft}"))
    if chat.options.thinks:
        found.append((5, "thinking"))
    if chat.attached:
        found.append((8, f"{len(chat.attached)} attached"))
    if chat.last and chat.last.tokens_per_second:
        found.append((6, f"{number(chat.last.tokens_per_second)} tok/s"))
    return found


def context(chat: Chat) -> str:
    """How full the context is, as of the last reply."""
    size = chat.engine.info.context_size
    used = chat.context_used()
    if not size:
        return f"ctx {used}" if used else chat.engine.info.server
    return f"ctx {used}/{size} ({used * 100 // size} %)"
