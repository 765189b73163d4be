"""One private SQLite file that is opened when first needed and never gets in the way.

What fails is kept in `problem` instead of being raised; a damaged file is moved aside, never
deleted. Knows SQLite and the disk, not what is stored.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

BUSY_SECONDS = 2.0  # how long another process may hold the file before we give up for now
# The log is copied into the file when a reply is complete; in the middle of one that would be felt.
LOG_PAGES = 8000
KEEP_LOG_BYTES = 4 << 20
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SIDE_FILES = ("-wal", "-shm", "-journal")


class Database:
    """Transactions on the file at `path`. `steps` make its tables: a new file gets all of them, an
    old one those that came later."""

    def __init__(self, path: Path, steps: Sequence[str]) -> None:
        self.path = path
        self.problem = ""  # why the last transaction came to nothing
        self.warning = ""  # what happened to a damaged file
        self._steps = steps
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """The result of `work` on a consistent view; None, and a `problem`, if that fails."""
        return self._try_twice("BEGIN", work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """As `read`; everything that `work` changes is stored, or nothing is."""
        return self._try_twice("BEGIN IMMEDIATE", work)

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

    def _try_twice(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T | None:
        for second in (False, True):
            try:
                result = self._transaction(begin, work)
            except sqlite3.Error as error:
                if not second and _is_damage(error) and self._move_aside():
                    continue
                why = str(error)
            except OSError as error:
                why = error.strerror or str(error)
            else:
                self.problem = ""
                return result
            self.problem = f"Conversations are not saved: {self.path}: {why}."
            break
        return None

    def _transaction(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._open()
        connection = self._connection
        connection.execute(begin)
        try:
            result = work(connection)
            connection.execute("COMMIT")
            return result
        finally:
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    def _open(self) -> sqlite3.Connection:
        self._identity = _make_private(self.path)
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _use_log(connection)
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """The tables as they are now; a file from the future is left alone."""
        wanted = len(self._steps)
        if _version(connection) == wanted:
            return
        connection.execute("BEGIN IMMEDIATE")  # of two that start at once, one makes the tables
        try:
            found = _version(connection)
            if found > wanted:
                raise sqlite3.NotSupportedError("a newer gemma-mtp wrote it")
            for statement in ";".join(self._steps[found:]).split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {wanted}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _move_aside(self) -> bool:
        """Rename the damaged file, unless another process did so meanwhile."""
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
        self.warning = f"{self.path} was damaged and is now {aside.name}; a new one is begun."
        return True


def _make_private(path: Path) -> tuple[int, int]:
    """The file and its folder, for nobody else; SQLite gives the files beside it the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close_to_others(path.parent)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    _close_to_others(path)
    return _identity(path)


def _close_to_others(path: Path) -> None:
    """Take away what a group and others may do, where that is ours to say."""
    found = path.stat()
    shared = found.st_mode & stat.S_ISVTX  # a folder such as /tmp
    if os.name == "posix" and found.st_uid == os.geteuid() and not shared:
        path.chmod(stat.S_IMODE(found.st_mode) & 0o700)


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
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or attempt == 19:
                raise
            time.sleep(0.02)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {KEEP_LOG_BYTES}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGED
