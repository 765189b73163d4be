"""A turn as a row of a table, and how one turn grew out of another. Pure; knows no SQL.

Rows come from a file that may have suffered: what in one makes no sense is left out and named.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar, get_args

from gemma_mtp.api import Drafted, FinishReason, Message, PlainKind, SpeedupBasis, Stats, Turn

T = TypeVar("T")

COLUMNS = "user, reply, tokens, thought, seed, exact, reason, stats"
Row = tuple[Any, ...]

_USUAL = asdict(Stats())
_MOST = 2**63  # no number in a row is larger
_MOST_THREADS = 1 << 16
_COUNTS = ("sources", "accepted_histogram", "threads")


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


def from_row(row: Row) -> tuple[Turn, list[str]]:
    """The turn again, and what of it cannot be read, in words."""
    user, reply, tokens, thought, seed, exact, reason, stats = row
    unread: list[str] = []

    def read(what: str, value: Any, as_: Callable[[Any], T]) -> T | None:
        try:
            return None if value is None else as_(value)
        except (ValueError, TypeError, AttributeError, RecursionError):
            unread.append(what)
            return None

    ids = read("tokens", tokens, _ids) or ()
    turn = Turn(
        Message("user", as_text(user)),
        None if reply is None else Message("assistant", as_text(reply), ids),
        as_text(thought),
        read("seed", seed, _seed),
        bool(exact),
        read("end", reason, _reason),
        read("figures", stats, _stats),
    )
    return turn, unread


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


def _seed(text: str) -> int:
    seed: int = _within(int(text), int, 2**64)
    return seed


def _reason(text: str) -> FinishReason:
    for known in get_args(FinishReason):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(text)


def _stats(text: str) -> Stats:
    """Figures that this version does not know are left out."""
    said = json.loads(text)
    stats = Stats(
        **{k: v for k, v in said.items() if k in _USUAL and k not in _COUNTS},
        sources=_sources(said),
        accepted_histogram=_counts(said.get("accepted_histogram", ())),
        threads=_counts(said.get("threads", ())),
    )
    for name, usual in _USUAL.items():
        value = getattr(stats, name)
        if isinstance(usual, int | float):
            _within(value, type(usual), _MOST)
    if stats.speedup_basis not in get_args(SpeedupBasis):
        raise ValueError(stats.speedup_basis)
    if stats.compared_with not in get_args(PlainKind):
        raise ValueError(stats.compared_with)
    return stats


def _counts(said: Any) -> tuple[int, ...]:
    """Numbers of rounds; before, those of `threads` were kept by a number in words."""
    if isinstance(said, dict):
        rounds = {_within(int(k), int, _MOST_THREADS): v for k, v in said.items()}
        said = [rounds.get(i, 0) for i in range(max(rounds, default=-1) + 1)]
    return tuple(_within(count, int, _MOST) for count in said)


def _sources(said: dict[str, Any]) -> tuple[Drafted, ...]:
    """Before, only how many of the accepted drafts were `copied` was kept."""
    if "sources" not in said:
        copied = _within(said.get("copied", 0), int, _MOST)
        return (Drafted("lookup", copied, copied),) if copied else ()
    return tuple(
        Drafted(
            str(count["source"]),
            _within(count["drafted"], int, _MOST),
            _within(count["accepted"], int, _MOST),
        )
        for count in said["sources"]
    )


def _within(value: Any, kind: type, end: int) -> Any:
    """`value`, if it is such a number from 0 to before `end`."""
    fits = type(value) in (int, kind) and 0 <= value < end
    if not fits:
        raise ValueError(value)
    return value


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


def storable(text: str) -> str:
    """Text that UTF-8 can hold: without halves of surrogate pairs."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
