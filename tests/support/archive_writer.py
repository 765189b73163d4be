"""A chat that writes and writes; its every state is known, so that a killed one can be checked.

Run as a program it stores one state after another in the archive named on the command line and
prints a line for each, after it is stored.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from gemma_mtp.api import Message, Stats, Turn
from gemma_mtp.conversations.archive import Archive

PIECES = 12


def states(name: str) -> Iterator[tuple[tuple[Turn, ...], bool]]:
    """The turns after every step of a chat, and whether the step was one of a growing reply."""
    turns: tuple[Turn, ...] = ()
    while True:
        user = Message.text("user", f"{name}: question {len(turns)}")
        yield (*turns, Turn(user)), False
        reply = thought = ""
        for n in range(PIECES):
            if n < 3:
                thought += f"hm{n} "
            else:
                reply += f"wörd{n} "
            replies = (Message.text("assistant", reply),) if reply else ()
            growing = Turn(user, replies, thought, 7, True)
            yield (*turns, growing), True
        done = Message.text("assistant", reply, tuple(range(PIECES)))
        stats = Stats(rounds=PIECES, accepted_histogram=(1, 2))
        turns = (*turns, Turn(user, (done,), thought, 7, True, "stop", stats))
        yield turns, False


def write(path: Path, name: str, steps: int) -> None:
    """Store so many states."""
    archive = Archive(path)
    id: int | None = None
    for step, (turns, growing) in zip(range(steps), states(name), strict=False):
        if id is None:
            id = archive.add(turns, model="tiny")
        elif growing:
            archive.progress(id, len(turns) - 1, turns[-1])
        else:
            id = archive.save(id, turns)
        if archive.problem:
            sys.exit(archive.problem)
        print(step, flush=True)
    archive.close()


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
