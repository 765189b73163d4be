"""The resident engine as tests look at it."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

from gemma_mtp.conversations.archive import Archive
from gemma_mtp.resident.line import ask

DEAD = "The process that holds the model has ended"


def status(folder: Path) -> Any:
    """What the engine of this folder says of itself; None where none runs."""
    return ask(folder, "status")


def words_below(chat: Any, message: str) -> str:
    """What stands in a terminal below a message but for figures and the bar, without its blanks;
    "" where the message is not to be seen (yet)."""
    lines = chat.lines
    asked = max((y for y, row in enumerate(lines) if row.endswith(message)), default=len(lines))
    rows = [row for row in lines[asked + 1 :] if " · " not in row]
    return "".join("".join(rows).split())


def last_saved() -> str:
    """The last reply as it is saved in this home, without its blanks; "" where there is none."""
    with closing(Archive(Path(os.environ["GEMMA_MTP_HOME"]) / "state" / "chats.db")) as archive:
        latest = archive.latest()
        turns = archive.read(latest).turns if latest is not None else ()
    return "".join(turns[-1].answer.split()) if turns else ""
