"""Everything that is said in SQL to the tables of the archive, which `schema` declares.

Each function works within a transaction that `archive` has opened, and leaves errors to it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gemma_mtp.api import Turn
from gemma_mtp.conversations import titles
from gemma_mtp.conversations.attachments import shortened
from gemma_mtp.conversations.rows import COLUMNS, as_text, calls_in, from_row, storable, to_row
from gemma_mtp.text import one_line

_LIST = """
SELECT id, title, model, updated,
    (SELECT count(*) FROM turns WHERE conversation = id) spoken, words
  FROM conversations WHERE spoken > 0 AND (:search = '' OR holds(CAST(title AS BLOB), :search)
    OR EXISTS (SELECT 1 FROM whole WHERE conversation = id
        AND (holds(CAST(user AS BLOB), :search) OR holds(CAST(reply AS BLOB), :search){calls})))
  ORDER BY updated DESC, id DESC
"""
_CALLS = " OR calls_hold(messages, :search)"  # an older file that can only be read has none
_WORDS = 100  # characters of the first message in a list
_NAMED = 5  # unreadable things that are named one by one


@dataclass(frozen=True)
class Summary:
    """A conversation in a list; `turns` is their number, `updated` is ISO 8601 in UTC."""

    id: int
    title: str
    model: str
    updated: str
    turns: int
    words: str


@dataclass(frozen=True)
class Saved:
    """A whole conversation; the two moments are ISO 8601 in UTC. The model no longer got the first
    `skipped` turns; `unread` says in words what the file holds and nobody can read."""

    id: int
    title: str
    model: str
    system: str
    created: str
    updated: str
    turns: tuple[Turn, ...]
    skipped: int = 0
    unread: tuple[str, ...] = ()

    @property
    def gaps(self) -> str:
        """A sentence about what is `unread`, or ""."""
        more = len(self.unread) - _NAMED
        named = [*self.unread[:_NAMED], *([f"{more} more"] if more > 0 else [])]
        return f"Not all of it can be read: {', '.join(named)}." if named else ""


@dataclass(frozen=True)
class Known:
    """A conversation as this process stored or read it last; no `title`, unless it was renamed.

    `attempted` is the version of a change that may or may not have been stored.
    """

    model: str = ""
    system: str = ""
    title: str = ""
    turns: tuple[Turn, ...] = ()
    skipped: int = 0
    version: int = 0
    attempted: int = 0


def store(db: sqlite3.Connection, id: int | None, known: Known, wanted: Known) -> tuple[int, Known]:
    """Make conversation `id`, a new one if that is None, what is `wanted`.

    Returns its id from now on, and what is known of it. Only what differs from what is `known` to
    be stored is written. What somebody else stored stays, and ours becomes another conversation.
    """
    sql = "SELECT version, named, title FROM conversations WHERE id = ?"
    version, named, title = db.execute(sql, (id,)).fetchone() or (None, 0, "")
    keep = 0
    if id is None or version not in (known.version, known.attempted):
        id = _insert(db, title if named else known.title)
    elif version == known.version:
        keep = _in_common(known.turns, wanted.turns)
        if wanted == replace(known, attempted=wanted.attempted):
            return id, known
    sql = """UPDATE conversations SET model = ?, system = ?, skipped = ?, updated = ?, version = ?
        WHERE id = ?"""
    changed = (wanted.model, wanted.system, wanted.skipped, now(), wanted.attempted)
    db.execute(sql, (*changed, id))
    _replace_tail(db, id, keep, wanted.turns[keep:])
    return id, replace(wanted, version=wanted.attempted)


def append(
    db: sqlite3.Connection,
    id: int,
    known: Known,
    version: int,
    grown: tuple[str | None, str],
) -> bool:
    """Add to the reply of the last turn; False if somebody else changed the conversation."""
    sql = "UPDATE conversations SET version = ?, updated = ? WHERE id = ? AND version = ?"
    if db.execute(sql, (version, now(), id, known.version)).rowcount == 0:
        return False
    sql = """INSERT INTO pieces SELECT ?1, ?2, coalesce(max(place), 0) + 1, ?3, ?4
        FROM pieces WHERE conversation = ?1 AND number = ?2"""
    db.execute(sql, (id, len(known.turns) - 1, *grown))
    return True


def read(db: sqlite3.Connection, id: int) -> tuple[Saved, Known] | None:
    """The conversation, and what `store` has to know of it to go on with it."""
    sql = """SELECT title, model, system, created, updated, skipped, version, named
        FROM conversations WHERE id = ?"""
    row = db.execute(sql, (id,)).fetchone()
    if row is None:
        return None
    *texts, skipped, version, named = row
    title, model, system, created, updated = map(as_text, texts)
    skipped = skipped if isinstance(skipped, int) else 0
    turns, unread, numbers = _turns(db, id)
    saved = Saved(id, title, model, system, created, updated, turns, skipped, unread)
    # Where a number is missing nothing counts as known, so that all turns are stored again.
    stored = turns if numbers == [*range(len(turns))] else ()
    return saved, Known(model, system, title if named else "", stored, skipped, version)


def _turns(db: sqlite3.Connection, id: int) -> tuple[tuple[Turn, ...], tuple[str, ...], list[int]]:
    """All turns of a conversation, what of them cannot be read, and their numbers in the file."""
    sql = f"SELECT number, {COLUMNS}, more FROM whole WHERE conversation = ? ORDER BY number"
    turns, unread, numbers = [], [], []
    for number, *row in db.execute(sql, (id,)):
        turn, missing = from_row(tuple(row))
        turns.append(turn)
        numbers.append(number)
        unread += [f"the {what} of turn {len(turns)}" for what in missing]
    return tuple(turns), tuple(unread), numbers


def search(db: sqlite3.Connection, text: str) -> list[Summary]:
    """All conversations with turns that hold `text` in any case; newest first."""
    db.create_function("holds", 2, _holds, deterministic=True)
    db.create_function("calls_hold", 2, _calls_hold, deterministic=True)
    sql = _LIST.format(calls=_CALLS if text else "")
    found = db.execute(sql, {"search": storable(text).casefold()})
    return [
        Summary(id, as_text(title), as_text(model), as_text(updated), turns, as_text(words))
        for id, title, model, updated, turns, words in found
    ]


def rename(db: sqlite3.Connection, id: int, title: str) -> bool:
    """Give a conversation another title, without a new version: a chat that goes on with it may
    keep saving to it."""
    sql = "UPDATE conversations SET title = ?, named = 1 WHERE id = ?"
    return db.execute(sql, (title, id)).rowcount > 0


def delete(db: sqlite3.Connection, id: int) -> bool:
    """Remove it with all its turns."""
    _replace_tail(db, id, 0, ())
    return db.execute("DELETE FROM conversations WHERE id = ?", (id,)).rowcount > 0


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _insert(db: sqlite3.Connection, title: str) -> int:
    sql = """INSERT INTO conversations (title, named, words, model, system, created, updated,
        version) VALUES (?, ?, '', '', '', ?, '', 0)"""
    id = db.execute(sql, (title, bool(title), now())).lastrowid
    assert id is not None
    return id


def _in_common(some: tuple[Turn, ...], others: tuple[Turn, ...]) -> int:
    """How many turns are the same from the beginning."""
    pairs = zip(some, others, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(some), len(others)))


def _replace_tail(db: sqlite3.Connection, id: int, start: int, turns: tuple[Turn, ...]) -> None:
    for table in ("pieces", "turns"):
        db.execute(f"DELETE FROM {table} WHERE conversation = ? AND number >= ?", (id, start))
    marks = ", ".join("?" * (COLUMNS.count(",") + 1))
    sql = f"INSERT INTO turns (conversation, number, {COLUMNS}) VALUES (?, ?, {marks})"
    db.executemany(sql, ((id, n, *to_row(turn)) for n, turn in enumerate(turns, start)))
    if start == 0:
        sql = """UPDATE conversations SET words = ?, title = CASE WHEN named THEN title ELSE ? END
            WHERE id = ?"""
        first = titles.first_said(turns)  # what was taken back leaves no trace
        words = one_line(storable(shortened(first)), _WORDS)
        db.execute(sql, (words, titles.title_of(first), id))


def _calls_hold(messages: str | None, search: str) -> bool:
    """Whether a call of a tool, or what the tool said, holds `search`."""
    return isinstance(messages, str) and search in calls_in(messages).casefold()


def _holds(text: bytes | None, search: str) -> bool:
    return text is not None and search in text.decode("utf-8", "replace").casefold()
