"""A turn as a row of a table, and how one turn grew out of another. Pure; knows no SQL."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

from gemma_mtp.chat.turns import Turn
from gemma_mtp.events import Message, Stats

COLUMNS = "user, reply, tokens, thought, seed, exact, reason, stats"
Row = tuple[Any, ...]

_STATS = {field.name for field in fields(Stats)}


def to_row(turn: Turn) -> Row:
    """In the order of COLUMNS. A seed as text, since it may need 64 bits without a sign."""
    reply, stats = turn.reply, turn.stats
    return (
        storable(turn.user.content),
        None if reply is None else storable(reply.content),
        json.dumps(reply.tokens) if reply is not None and reply.tokens else None,
        storable(turn.thought),
        None if turn.seed is None else str(turn.seed),
        turn.exact,
        turn.reason,
        None if stats is None else json.dumps(asdict(stats)),
    )


def from_row(row: Row) -> Turn:
    """The turn again; figures that this version does not know are left out."""
    user, reply, tokens, thought, seed, exact, reason, stats = row
    ids = tuple(json.loads(tokens)) if tokens else ()
    figures = json.loads(stats) if stats else {}
    return Turn(
        Message("user", user),
        None if reply is None else Message("assistant", reply, ids),
        thought,
        None if seed is None else int(seed),
        bool(exact),
        reason,
        Stats(**{k: v for k, v in figures.items() if k in _STATS}) if stats else None,
    )


def growth(old: Turn, new: Turn) -> tuple[str | None, str] | None:
    """What `new` has at the end of reply and thought that `old` has not; None if it is another.

    Tokens and statistics do not count.
    """
    if (old.user, old.seed, old.exact, old.reason) != (new.user, new.seed, new.exact, new.reason):
        return None
    before = old.reply.content if old.reply else ""
    after = new.reply.content if new.reply else ""
    if not after.startswith(before) or not new.thought.startswith(old.thought):
        return None
    if new.reply is None and old.reply is not None:
        return None
    reply = None if new.reply is None else storable(after[len(before) :])
    return reply, storable(new.thought[len(old.thought) :])


def snapshot(turn: Turn) -> Turn:
    """The turn with statistics of its own, in case the engine still counts in these."""
    if turn.stats is None:
        return turn
    histogram = list(turn.stats.accepted_histogram)
    return replace(turn, stats=replace(turn.stats, accepted_histogram=histogram))


def storable(text: str) -> str:
    """Text that UTF-8 can hold: without halves of surrogate pairs."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
