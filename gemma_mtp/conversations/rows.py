"""A turn as a row of a table, and how one turn grew out of another. Pure; knows no SQL.

Used by `tables` and `archive`. Rows come from a file that may have suffered: what in one makes no
sense is left out and named.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from gemma_mtp.api import (
    FinishReason,
    Message,
    Stats,
    ToolCall,
    ToolResult,
    Turn,
    from_json,
    to_json,
)
from gemma_mtp.errors import UsageError

T = TypeVar("T")

COLUMNS = "user, reply, tokens, thought, seed, exact, reason, stats, messages"
Row = tuple[Any, ...]

_MOST_THREADS = 1 << 16


def to_row(turn: Turn) -> Row:
    """In the order of COLUMNS. A seed as text, since it may need 64 bits without a sign.

    `user` and `reply` hold the text for searches, lists and older versions of this program;
    `messages` holds the messages themselves where those are more than one text each.
    """
    reply, stats = turn.reply, turn.stats
    tokens = () if reply is None else reply.tokens
    text = turn.answer if turn.replies else None
    plain = turn.messages == _texts(turn.user.content, text, tokens)
    return (
        storable(turn.user.content),
        None if text is None else storable(text),
        json.dumps(tokens) if plain and tokens else None,
        storable(turn.thought),
        None if turn.seed is None else str(turn.seed),
        turn.exact,
        turn.reason,
        None if stats is None else json.dumps(to_json(stats)),
        None if plain else json.dumps(to_json(turn.messages)),
    )


def from_row(row: Row) -> tuple[Turn, list[str]]:
    """The turn again, and what of it cannot be read, in words.

    Behind the values of COLUMNS comes the text by which the reply grew since they were stored.
    """
    user, reply, tokens, thought, seed, exact, reason, stats, messages, more = row
    unread: list[str] = []

    def read(what: str, value: Any, as_: Callable[[Any], T]) -> T | None:
        try:
            return None if value is None else as_(value)
        except (ValueError, TypeError, AttributeError, RecursionError, UsageError):
            unread.append(what)
            return None

    ids = read("tokens", tokens, _ids) or ()
    said = read("messages", messages, _messages)
    if said is None:  # one text each, as usual, or messages that cannot be read
        said = _texts(as_text(user), None if reply is None else as_text(reply), ids)
        more = None
    turn = Turn(
        said[0],
        said[1:],
        as_text(thought),
        read("seed", seed, _seed),
        bool(exact),
        read("end", reason, lambda text: from_json(FinishReason, text)),
        read("figures", stats, _stats),
    )
    return _grown(turn, None if more is None else as_text(more)), unread


def _texts(user: str, reply: str | None, tokens: tuple[int, ...]) -> tuple[Message, ...]:
    """The messages of a turn that is one text and perhaps another in reply."""
    asked = Message.text("user", user)
    return (asked,) if reply is None else (asked, Message.text("assistant", reply, tokens))


def as_text(value: Any) -> str:
    """A text, whatever kind of value a file holds in its place."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _ids(text: str) -> tuple[int, ...]:
    ids = tuple(json.loads(text))  # thousands of them, so that each is not looked at by itself
    if set(map(type, ids)) - {int} or min(ids, default=0) < 0 or max(ids, default=0) >= 2**31:
        raise ValueError(text)
    return ids


def _messages(text: str) -> tuple[Message, ...]:
    messages: tuple[Message, ...] = from_json(tuple[Message, ...], json.loads(text))
    if not messages or messages[0].role != "user":
        raise ValueError(text)
    return messages


def calls_in(text: str) -> str:
    """Names and arguments of the calls in stored messages, and what the tools said; "" where they
    cannot be read."""
    if '"tool_' not in text:  # pictures alone, which take long to read
        return ""
    try:
        parts = [part for message in _messages(text) for part in message.parts]
    except (ValueError, TypeError, AttributeError, RecursionError, UsageError):
        return ""
    calls = [f"{part.name} {part.arguments}" for part in parts if isinstance(part, ToolCall)]
    return "\n".join(calls + [part.text for part in parts if isinstance(part, ToolResult)])


def _seed(text: str) -> int:
    seed = int(text)
    if not 0 <= seed < 2**64:
        raise ValueError(text)
    return seed


def _stats(text: str) -> Stats:
    said = json.loads(text)
    if isinstance(rounds := said.get("threads"), dict):  # as older versions kept them
        most = max(map(int, rounds), default=-1)
        if most > _MOST_THREADS:
            raise ValueError(text)
        said["threads"] = [rounds.get(str(n), 0) for n in range(most + 1)]
    if copied := said.get("copied"):
        said["sources"] = [{"source": "lookup", "drafted": copied, "accepted": copied}]
    stats: Stats = from_json(Stats, said)
    return stats


def growth(old: Turn, new: Turn) -> tuple[str | None, str] | None:
    """What `new` has at the end of reply and thought that `old` has not; None if it is another.

    Tokens and statistics do not count.
    """
    if (old.user, old.seed, old.exact, old.reason) != (new.user, new.seed, new.exact, new.reason):
        return None
    before = old.reply.content if old.reply else ""
    more = None if new.reply is None else new.reply.content[len(before) :]
    if _grown(old, more).replies != without_tokens(new).replies:
        return None
    if not new.thought.startswith(old.thought):
        return None
    reply = None if more is None else storable(more)
    return reply, storable(new.thought[len(old.thought) :])


def _grown(turn: Turn, more: str | None) -> Turn:
    """With more text at the end of the reply; its tokens are no longer all, and left out."""
    if more is None:
        return turn
    reply = turn.reply
    return turn.with_reply(reply.extended(more) if reply else Message.text("assistant", more))


def without_tokens(turn: Turn) -> Turn:
    """Without those of the reply that may be written just now."""
    reply = turn.reply
    return turn.with_reply(reply.without_tokens()) if reply and reply.tokens else turn


def storable(text: str) -> str:
    """Text that UTF-8 can hold: without halves of surrogate pairs."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
