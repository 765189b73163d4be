"""The saved conversations: every message and reply, stored while it is written.

SQLite rather than JSON lines: a kill in the middle of a write leaves nothing to repair, its locks
keep two chats at once apart, /undo and /edit replace a tail without writing the rest again, and a
list or a search need not open a file for each conversation. Knows neither terminal nor engine; SQL
is in `tables` and `schema`, opening and guarding the file in `database`. Used by `record` for the
chat, and by the command `chats`.
"""

from __future__ import annotations

import builtins
import hashlib
import os
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from gemma_mtp.api import Turn
from gemma_mtp.conversations import schema, tables
from gemma_mtp.conversations.database import Database
from gemma_mtp.conversations.rescue import rescue
from gemma_mtp.conversations.rows import growth, storable, without_tokens
from gemma_mtp.conversations.tables import Known, Saved, Summary
from gemma_mtp.errors import GemmaMtpError, UsageError

_IDS = 2**63  # SQLite takes no larger number

__all__ = ["Archive", "Saved", "Summary"]


class Archive:
    """All conversations of one file, which is not opened before it is needed.

    Saving raises nothing: `problem` says why the last attempt failed, and the next `save` tries
    again. `warning` says so if a damaged file had to be moved aside, `notice` if what was read last
    came from a file that cannot be written.
    """

    def __init__(self, path: Path, deleted: Callable[[str], None] = lambda key: None) -> None:
        """`deleted` is told the `key` of a conversation that is deleted."""
        self._deleted, self._path = deleted, path
        self._database = Database(path, schema.STEPS, rescue)
        self._known: dict[int, Known] = {}
        # New ids given by `progress`, which the next `save` returns.
        self._forked: dict[int, int] = {}
        self._lock = threading.RLock()

    @property
    def problem(self) -> str:
        return self._database.problem

    @property
    def warning(self) -> str:
        return self._database.warning

    @property
    def notice(self) -> str:
        return self._database.notice

    def add(
        self,
        turns: Sequence[Turn],
        *,
        model: str = "",
        system: str = "",
        skipped: int = 0,
        title: str = "",
    ) -> int | None:
        """Store a new conversation, and return its id; None if that failed."""
        wanted = Known(
            *(storable(model), storable(system), _one_line(title), tuple(turns), skipped),
            attempted=random.getrandbits(62),
        )
        with self._lock:
            return self._store(None, Known(title=wanted.title), wanted)

    def save(
        self,
        id: int,
        turns: Sequence[Turn],
        *,
        model: str | None = None,
        system: str | None = None,
        skipped: int | None = None,
    ) -> int:
        """Store all turns, and return the id from now on.

        It is a new one if another process changed or deleted the conversation since we stored or
        read it: then both versions are kept.
        """
        with self._lock:
            id = self._forked.pop(id, id)
            known = self._known.get(id, Known())
            wanted = replace(
                known,
                turns=tuple(turns),
                model=known.model if model is None else storable(model),
                system=known.system if system is None else storable(system),
                skipped=known.skipped if skipped is None else skipped,
                attempted=random.getrandbits(62),
            )
            return self._store(id, known, wanted) or id

    def progress(self, id: int, number: int, turn: Turn) -> None:
        """Store turn `number`, counted from 0, while its reply is written: cheap if it only grew.

        Tokens and statistics are left to `save`. After a failure nothing is tried until then: a
        reply should not stutter.
        """
        with self._lock:
            if self.problem:
                return
            asked, id = id, self._forked.get(id, id)
            known = self._known.get(id, Known())
            last = known.turns[number] if number == len(known.turns) - 1 else None
            grown = growth(last, turn) if last is not None else None
            if grown == (None, "") or grown == ("", ""):
                return
            if grown is None or not self._append(id, known, turn, grown):
                stored = self.save(id, (*known.turns[:number], turn))
                if stored != asked:
                    self._forked[asked] = stored

    def read(self, id: int, *, afresh: bool = False) -> Saved:
        """A conversation with all its turns.

        One that this process stored or read before: `afresh` to go on with it as it is now; else
        `save` still compares with what was known then, and keeps both if they differ.
        """
        with self._lock:
            found = self._database.read(partial(tables.read, id=id)) if abs(id) < _IDS else None
            if found is None:
                raise self._missing(id)
            saved, known = found
            if afresh or id not in self._known:
                self._forked.pop(id, None)
                self._known[id] = known
            return saved

    def offered(self, id: int, *, afresh: bool = False) -> Saved:
        """As `read`, but one that was emptied, with /undo, counts as missing."""
        saved = self.read(id, afresh=afresh)
        if not (saved.turns or saved.unread):
            raise self._missing(id)
        return saved

    def list(self, search: str = "") -> builtins.list[Summary]:
        """Conversations with `search` in their title or texts, in any case; newest first."""
        with self._lock:
            return self._database.read(partial(tables.search, text=search)) or []

    def latest(self) -> int | None:
        """The conversation that was changed last."""
        found = self.list()
        return found[0].id if found else None

    def rename(self, id: int, title: str) -> None:
        """Give it a title of the user's."""
        title = _one_line(title)
        if not title:
            raise UsageError("A title needs at least one word.")
        with self._lock:
            change = partial(tables.rename, id=id, title=title)
            if not (abs(id) < _IDS and self._database.write(change)):
                raise self._missing(id)
            if id in self._known:
                self._known[id] = replace(self._known[id], title=title)

    def delete(self, id: int) -> None:
        """Remove it for good, its bytes in the file too."""
        with self._lock:
            if not (abs(id) < _IDS and self._database.write(partial(tables.delete, id=id))):
                raise self._missing(id)
            self._known.pop(id, None)
            self._deleted(self.key(id))
            self._database.checkpoint("TRUNCATE")

    def key(self, id: int) -> str:
        """What a conversation is called among those of all files."""
        place = hashlib.sha256(os.fsencode(self._path.absolute())).hexdigest()[:8]
        return f"{place}-{id}"

    def close(self) -> None:
        """Close the file; using the archive again opens it again."""
        with self._lock:
            self._database.close()

    def _store(self, id: int | None, known: Known, wanted: Known) -> int | None:
        # Ctrl-C may come between the commit and the note of it: the next `save` knows both.
        if id is not None:
            self._known[id] = replace(known, attempted=wanted.attempted)
        stored = self._database.write(partial(tables.store, id=id, known=known, wanted=wanted))
        if stored is None:
            return None
        now_id, self._known[stored[0]] = stored
        if wanted.turns and wanted.turns[-1].reason:
            self._database.checkpoint()
        return now_id

    def _append(self, id: int, known: Known, turn: Turn, grown: tuple[str | None, str]) -> bool:
        """False: another process changed the conversation; after a failure there is a problem."""
        version = random.getrandbits(62)
        self._known[id] = replace(known, attempted=version)
        append = partial(tables.append, id=id, known=known, version=version, grown=grown)
        stored = self._database.write(append)
        if stored:
            turns = (*known.turns[:-1], _as_stored(known.turns[-1], turn))
            self._known[id] = replace(known, turns=turns, version=version)
        return stored is not False

    def _missing(self, id: int) -> GemmaMtpError:
        if self.problem:
            return GemmaMtpError(self.problem)
        return UsageError(f"There is no conversation {id}.", "gemma-mtp chats lists them.")


def _one_line(title: str) -> str:
    return " ".join(storable(title).split())


def _as_stored(old: Turn, new: Turn) -> Turn:
    """The old turn with the texts of the new one: a piece that is added stores nothing else."""
    return replace(old, replies=without_tokens(new).replies, thought=new.thought)
