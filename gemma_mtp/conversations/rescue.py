"""What can still be read of a file of conversations that is damaged, or that another version wrote.

Used by `database`, which decides what becomes of the file; knows the tables.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from gemma_mtp.conversations.database import FAILURES
from gemma_mtp.conversations.titles import title_of

# Each table with the order of its rows in the file: a damaged page is met from both of its sides.
_ORDER = {"conversations": "rowid", "turns": "rowid", "pieces": "conversation, number, place"}


def rescue(old: sqlite3.Connection, new: sqlite3.Connection) -> int:
    """Copy what can be read into the empty tables of `new`; how many conversations that is."""
    with suppress(*FAILURES):  # else a file that was cut off, say, is refused as a whole
        old.execute("PRAGMA writable_schema = ON")
    for table, order in _ORDER.items():
        with suppress(*FAILURES):  # `old` may not even know which tables it has
            _copy(old, new, table, order)
    _drop_strays(new)
    _name_lost(new)
    for (id,) in new.execute("SELECT DISTINCT conversation FROM turns").fetchall():
        _renumber(new, id)
    return int(new.execute("SELECT count(DISTINCT conversation) FROM turns").fetchone()[0])


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str, order: str) -> None:
    there = {row[1] for row in old.execute(f"PRAGMA table_info({table})")}
    if not there:
        return
    names, values = [], []
    for _, name, kind, needed, *_ in new.execute(f"PRAGMA table_info({table})").fetchall():
        instead = ("0" if kind == "INTEGER" else "''") if needed else "NULL"
        names.append(name)
        values.append(f"ifnull({name}, {instead})" if name in there else instead)
    insert = f"INSERT OR IGNORE INTO {table} VALUES ({', '.join('?' * len(names))})"
    for each in (order, f"{order} DESC".replace(",", " DESC,")):
        with suppress(*FAILURES):
            new.executemany(
                insert, old.execute(f"SELECT {', '.join(values)} FROM {table} ORDER BY {each}")
            )
            return


def _drop_strays(db: sqlite3.Connection) -> None:
    """Delete turns whose conversation has no number, and pieces whose turn is lost."""
    db.execute("DELETE FROM turns WHERE typeof(conversation) != 'integer'")
    db.execute("""DELETE FROM pieces WHERE NOT EXISTS (SELECT 1 FROM turns t
        WHERE t.conversation = pieces.conversation AND t.number = pieces.number)""")


def _name_lost(db: sqlite3.Connection) -> None:
    """Give conversations whose row is lost another one, named after their first turn."""
    lost = """SELECT conversation, user, min(number) FROM turns
        WHERE conversation NOT IN (SELECT id FROM conversations) GROUP BY conversation"""
    sql = "INSERT INTO conversations VALUES (?, ?, 0, '', '', '', '', '', 0, 0)"
    for id, first, _ in db.execute(lost).fetchall():
        db.execute(sql, (id, title_of(str(first))))


def _renumber(db: sqlite3.Connection, id: int) -> None:
    """Number the turns of a conversation without a gap, as everything that reads them expects."""
    sql = "SELECT number FROM turns WHERE conversation = ? ORDER BY number"
    for number, (old,) in enumerate(db.execute(sql, (id,)).fetchall()):
        if number != old:
            for table in ("pieces", "turns"):
                change = f"UPDATE {table} SET number = ? WHERE conversation = ? AND number = ?"
                db.execute(change, (number, id, old))
