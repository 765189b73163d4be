"""What a conversation is called that nobody has named. Pure; used where one is saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from gemma_mtp.api import Turn
from gemma_mtp.conversations.attachments import shown, taken_apart
from gemma_mtp.conversations.rows import storable
from gemma_mtp.text import one_line

LONG_TEXT = 10  # lines; a longer message is taken for pasted text with a question below it
LONGEST = 48  # characters of a title


def title_of(message: str) -> str:
    """What a conversation that begins with `message` is called: by the question, or by the files
    if there is none."""
    files, text = taken_apart(storable(message))
    return one_line(_question(text), LONGEST) or one_line(
        ", ".join(PurePath(f).name for f in files), LONGEST
    )


def first_said(turns: Sequence[Turn]) -> str:
    """The first message that a person typed. Turns that a preset begins with, which nobody wrote
    here, come before it."""
    typed = (turn for turn in turns if (turn.reason, turn.seed, turn.stats) != ("stop", None, None))
    first = next(typed, turns[0] if turns else None)
    return (first.user.content or shown(first.user)) if first else ""


def _question(text: str) -> str:
    """What is asked at the end of a long text, which is one that was pasted; else all of it."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) >= LONG_TEXT and lines[-1].endswith("?") and lines[0][-1] not in "?:":
        return lines[-1]
    return text
