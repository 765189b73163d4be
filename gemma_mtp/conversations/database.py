"""One private SQLite file that is opened when first needed and never gets in the way.

What fails is kept in `problem` instead of being raised; a damaged file is moved aside, never
deleted; one that cannot be written is only read. Knows SQLite and the disk, not what is stored.
Used by `archive`.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import datetime
from operator import methodcaller
from pathlib import Path
from typing import TypeVar

from gemma_mtp.files import places, private

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Rescue = Callable[[sqlite3.Connection, sqlite3.Connection], int]
"""Copies what can be read of one database into another, new one; how many things that was."""

# A message of SQLite's about a damaged table may hold bytes that Python cannot decode.
FAILURES = (sqlite3.Error, OSError, UnicodeDecodeError)
BUSY_SECONDS = 2.0  # how long another process may hold the file before we give up for now
# The log is copied into the file when a reply is complete; in the middle of one that would be felt.
LOG_PAGES = 8000
KEEP_LOG_BYTES = 4 << 20
FULL_BYTES = 64 << 10  # free; with less SQLite cannot make the files it needs beside the database
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_OTHER_TABLES = ("no such table", "no such column", "already exists", "has no column")
_SIDE_FILES = ("-wal", "-shm", "-journal")


class Database:
    """Transactions on the file at `path`. `steps` make its tables: a new file gets all of them, an
    old one those that came later. `rescue` takes over what a damaged file still holds."""

    def __init__(self, path: Path, steps: Sequence[str], rescue: Rescue) -> None:
        self.path = path
        self.problem = ""  # why the last transaction came to nothing
        self.warning = ""  # what happened to a damaged file
        self.notice = ""  # why the file is only read
        self._steps = steps
        self._rescue = rescue
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def read(self, work: Work[T]) -> T | None:
        """The result of `work` on a consistent view; None where there is no file yet.

        None, and a `problem`, if it cannot be read; a `notice` if it could not be written.
        """
        if self._connection is None and self._is_absent():
            return None
        try:
            result = self._mended("BEGIN", work)
            self.notice = ""
        except FAILURES as error:
            why = self._why(error)
            try:
                result = self._only_read(work, error)
            except FAILURES:
                self.problem = f"Saved conversations cannot be read: {self.path}: {why}."
                return None
            self.notice = f"{self.path} can be read, but not written: {why}."
        self.problem = ""
        return result

    def write(self, work: Work[T]) -> T | None:
        """As `read`, but everything that `work` changes is stored, or nothing is."""
        try:
            result = self._mended("BEGIN IMMEDIATE", work)
        except FAILURES as error:
            self.problem = f"Conversations are not saved: {self.path}: {self._why(error)}."
            # A connection that was opened while the disk was full could never be written to.
            self.close()
            return None
        self.problem = self.notice = ""
        return result

    def checkpoint(self, how: str = "PASSIVE") -> None:
        """Bring the log into the file and both onto the disk, as far as nobody is in the way."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.execute(f"PRAGMA wal_checkpoint({how})")

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _is_absent(self) -> bool:
        try:
            self.path.stat()
        except FileNotFoundError:
            return not places.dangling(self.path)
        except OSError:
            pass
        return False

    def _mended(self, begin: str, work: Work[T]) -> T:
        """The result of a transaction; a damaged file is replaced by a new one first."""
        try:
            return self._transaction(begin, work)
        except FAILURES as error:
            if not _is_damage(error) or not self._move_aside():
                raise
            return self._transaction(begin, work)

    def _transaction(self, begin: str, work: Work[T]) -> T:
        if self._connection is None:
            self._connection = self._open()
        return _run(self._connection, begin, work)

    def _open(self) -> sqlite3.Connection:
        private.make(self.path)  # SQLite's other files get the same mode
        self._identity = _identity(self.path)
        connection = _connect(str(self.path))
        try:
            if _version(connection) > len(self._steps):
                raise sqlite3.NotSupportedError("a newer gemma-mtp wrote it")
            _use_log(connection)
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """The tables as they are now; of two processes that start at once, one makes them."""
        wanted = len(self._steps)
        if _version(connection) == wanted:
            return

        def missing(db: sqlite3.Connection) -> None:
            for statement in ";".join(self._steps[_version(db) :]).split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {wanted}")

        _run(connection, "BEGIN IMMEDIATE", missing)

    def _only_read(self, work: Work[T], error: Exception) -> T:
        """The result of `work` on a file that cannot be opened as usual because of `error`."""
        if _is_busy(error):
            raise error
        for how in ("mode=ro", _undisturbed(self.path)):
            with suppress(*FAILURES), closing(_connect_read_only(self.path, how)) as old:
                try:
                    return _run(old, "BEGIN", work)
                except FAILURES:  # damaged, or its tables are others
                    with closing(_connect(":memory:")) as new:
                        self._prepare(new)
                        if self._rescue(old, new):
                            return work(new)
                    raise
        raise error

    def _move_aside(self) -> bool:
        """Rename the damaged file, unless another process did so meanwhile, and begin a new one
        with what can be read of it."""
        self.close()
        try:
            if _identity(self.path) != self._identity:
                return True
            name = f"{self.path.name}.damaged-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
            aside = self.path.with_name(name)
            self.path.rename(aside)
            for suffix in _SIDE_FILES:  # some of them may hold what the file itself does not
                with suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + suffix).rename(f"{aside}{suffix}")
        except OSError:
            return False
        kept = self._rescued(aside)
        rest = (
            f"{kept} of its conversations are kept, as far as they could be read"
            if kept
            else "nothing in it could be read, so a new one is begun"
        )
        self.warning = f"{self.path} was damaged and is now {aside.name}; {rest}."
        return True

    def _rescued(self, aside: Path) -> int:
        with (
            suppress(*FAILURES),
            closing(_connect_read_only(aside, _undisturbed(aside))) as old,
        ):
            return self._transaction("BEGIN IMMEDIATE", lambda new: self._rescue(old, new))
        return 0

    def _why(self, error: Exception) -> str:
        if obstacle := places.obstacle(self.path):
            return obstacle
        if isinstance(error, OSError):
            return error.strerror or str(error)
        if isinstance(error, UnicodeDecodeError):
            return "it is damaged"
        return "the disk is full" if self._is_full(error) else str(error)

    def _is_full(self, error: Exception) -> bool:
        code = _code(error)
        if code == sqlite3.SQLITE_IOERR:  # a full disk is one of its causes
            with suppress(OSError):
                return shutil.disk_usage(self.path.parent).free < FULL_BYTES
        return code == sqlite3.SQLITE_FULL


def _run(connection: sqlite3.Connection, begin: str, work: Work[T]) -> T:
    """The result of `work` in a transaction, which is rolled back if it fails."""
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
        return result
    finally:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")


def _connect(name: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        name, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=uri
    )
    connection.text_factory = methodcaller("decode", "utf-8", "replace")  # bytes may be damaged
    return connection


def _connect_read_only(path: Path, how: str) -> sqlite3.Connection:
    connection = _connect(f"{path.absolute().as_uri()}?{how}", uri=True)
    if "vfs" in how:  # without locks the index of the log is kept in memory and needs no file
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


def _undisturbed(path: Path) -> str:
    """How to read a file that nobody writes, without making a file beside it."""
    with suppress(OSError):
        if os.name == "posix" and path.with_name(f"{path.name}-wal").stat().st_size:
            return "mode=ro&vfs=unix-none"
    return "mode=ro&immutable=1"  # a write-ahead log is then ignored


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _use_log(connection: sqlite3.Connection) -> None:
    """Write-ahead log: a commit is one write without waiting for the disk, and survives a kill."""
    for attempt in range(20):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:  # no busy timeout here
            if not _is_busy(error) or attempt == 19:
                raise
            time.sleep(0.02)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {KEEP_LOG_BYTES}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _code(error: Exception) -> int | None:
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _is_busy(error: Exception) -> bool:
    return _code(error) == sqlite3.SQLITE_BUSY


def _is_damage(error: Exception) -> bool:
    """Whether an error means that the file is damaged, or has not the tables of its version."""
    if isinstance(error, sqlite3.Error):
        return _code(error) in _DAMAGED or any(words in str(error) for words in _OTHER_TABLES)
    return isinstance(error, UnicodeDecodeError)
