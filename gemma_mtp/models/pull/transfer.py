"""The bytes of one file: fetched in pieces by several connections, hashed while they arrive.

`pull.pair` runs one for each file. What arrives is written at once and noted in a journal beside
the partial file, so that a later transfer goes on from there. Knows neither the hub nor pairs: a
`Source` sends bytes.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

from gemma_mtp.errors import HubError
from gemma_mtp.models.pull.events import OnEvent, PullSilence, PullWait
from gemma_mtp.models.pull.hub_errors import TransientError
from gemma_mtp.models.pull.journal import Journal, Range
from gemma_mtp.models.pull.retry import Backoff, give_up
from gemma_mtp.models.pull.source import Body, Source
from gemma_mtp.models.pull.stalls import StallTimer
from gemma_mtp.text import byte_size

CONNECTIONS = 4  # as many as fill most lines, and no hub minds
FLUSH = 64 << 10  # bytes between two lines of the journal; what a kill can cost a connection
SMALLEST_PIECE, LARGEST_PIECE = 4 << 20, 64 << 20  # bytes; one request each
READ = 4 << 20  # bytes hashed at once
SYNC_INTERVAL = 5.0  # seconds between two times of forcing data to the disk
REPORT_INTERVAL = 0.1  # seconds


class Digest(Protocol):
    """As hashlib has them."""

    def update(self, data: bytes, /) -> None: ...


OnBytes = Callable[[int, bool], None]
"""Bytes on disk (or hashed, with True, once all are on disk)."""


class Transfer:
    """One file on its way into `partial`, which may hold some of it already.

    With an `end`, only the bytes before it are fetched now; another transfer goes on from there.
    `sha256`, or whatever else names the contents, says whether what is there belongs to it. `also`
    is another digest that is made of the bytes.
    """

    def __init__(
        self, source: Source, partial: Path, size: int, sha256: str,
        connections: int = CONNECTIONS, end: int | None = None, also: Digest | None = None,
    ) -> None:  # fmt: skip
        self._source, self._partial, self._size, self._also = source, partial, size, also
        self._end = size if end is None else min(end, size)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._only: int | None = None  # the one thread left when the server ignores ranges
        self._waiting: PullWait | None = None
        self._resting = 0  # connections that wait for their next attempt
        with open(partial, "ab") as file:  # creates it; never shortens what is there
            os.fsync(file.fileno())
            on_disk = file.tell()
        self._journal = Journal(journal_of(partial), sha256, size, min(on_disk, size))
        os.truncate(partial, size)
        self._ranges = self._journal.ranges
        self._pieces = _cut(self._ranges.gaps(self._end))
        self._running = min(connections, len(self._pieces))
        self._arrived = [0] * self._running  # bytes by connection, written or not
        self._stall = StallTimer()
        self._reported: tuple[int, bool] | None = None

    @property
    def changed(self) -> bool:
        """What was there belonged to other contents and is not used."""
        return self._journal.changed

    @property
    def done(self) -> int:
        """Bytes on disk."""
        return self._ranges.total

    def run(self, on_bytes: OnBytes, on_event: OnEvent) -> str:
        """Fetch what is missing; returns the sha256 of all that was asked for.

        Tells `on_event` of waiting and of stalls. Raises HubError for what stays wrong with the
        source, and OSError for what the disk refuses.
        """
        workers = [
            threading.Thread(target=self._work, args=(number,), daemon=True)
            for number in range(self._running)
        ]
        try:
            for worker in workers:
                worker.start()
            with open(self._partial, "r+b", buffering=0) as file:
                digest = self._follow(file, workers, on_bytes, on_event)
        finally:  # also on Ctrl-C; a thread that still waits for bytes ends with the process
            self._stop.set()
            deadline = time.monotonic() + 0.5
            for worker in workers:
                worker.join(max(deadline - time.monotonic(), 0))
            self._journal.close()
        return digest

    def _follow(
        self,
        file: IO[bytes],
        workers: list[threading.Thread],
        on_bytes: OnBytes,
        on_event: OnEvent,
    ) -> str:
        """Hash behind the arriving bytes, report and sync until all that was asked for is there."""
        digest, hashed = hashlib.sha256(), 0
        next_report = next_sync = time.monotonic()
        next_sync += SYNC_INTERVAL
        while hashed < self._end:
            fetching = any(worker.is_alive() for worker in workers)
            if self._failure is not None:
                raise self._failure
            part = file.read(min(READ, min(self._ranges.prefix, self._end) - hashed))
            digest.update(part)
            if self._also is not None:
                self._also.update(part)
            hashed += len(part)
            now = time.monotonic()
            if now >= next_report:
                next_report = now + REPORT_INTERVAL
                self._report(hashed, on_bytes, on_event)
                self._watch(fetching, on_event)
            if now >= next_sync:
                next_sync = now + SYNC_INTERVAL
                self._sync(file)
            if not part:
                if not fetching and self._ranges.prefix <= hashed:
                    raise self._failure or RuntimeError("the transfer ended early")
                time.sleep(0.02)
        self._sync(file)
        if self._end == self._size:
            on_bytes(self._size, True)
        return digest.hexdigest()

    def _report(self, hashed: int, on_bytes: OnBytes, on_event: OnEvent) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting:
            on_event(waiting)
        complete = self.done == self._size
        news = hashed if complete else self.done, complete
        if news != self._reported:  # else what is said of waiting stays on the screen
            self._reported = news
            on_bytes(*news)

    def _watch(self, fetching: bool, on_event: OnEvent) -> None:
        """Speak of a stall, but not while waiting on purpose, which was said."""
        arrived = sum(self._arrived)
        if self._resting or not fetching:
            self._stall.restart(arrived)
        elif lasted := self._stall.stalled_for(arrived):
            on_event(PullSilence(self._source.host, lasted))

    def _sync(self, file: IO[bytes]) -> None:
        if self._journal.unsynced:
            mark = self._journal.mark()
            os.fsync(file.fileno())
            self._journal.synced(mark)

    # --- in the threads ----------------------------------------------------------------------

    def _work(self, number: int) -> None:
        """Take pieces until none is left; a piece that fails goes back for whoever is next."""
        backoff, seen = Backoff(), self.done
        try:
            with open(self._partial, "r+b", buffering=0) as file:
                while (piece := self._take(number)) is not None:
                    try:
                        self._fetch(number, piece, file)
                    except TransientError as error:
                        gained, seen = self.done - seen, self.done
                        if not self._wait_to_retry(backoff, error, gained, file.tell() - piece[0]):
                            return
        except BaseException as error:
            with self._lock:
                self._failure = self._failure or error
            self._stop.set()

    def _take(self, number: int) -> Range | None:
        """The next piece, without what is there already; None: this connection is done."""
        with self._lock:
            mine = self._only in (None, number) and not self._stop.is_set()
            while mine and self._pieces:
                start, stop = self._pieces.pop(0)
                gaps = [(max(a, start), min(b, stop)) for a, b in self._ranges.gaps(self._size)]
                left = [gap for gap in gaps if gap[0] < gap[1]]
                if left:
                    self._pieces[:0] = left[1:]
                    return left[0]
            self._running -= 1
            return None

    def _fetch(self, number: int, piece: Range, file: IO[bytes]) -> None:
        """Write one piece; what did not come when it ends early is a piece again."""
        at, stop = piece
        file.seek(at)
        try:
            with self._source.read(at, stop) as body:
                self._check(body, at)
                if not body.ranged:
                    if not self._become_the_only_one(number):
                        return
                    at, stop = 0, self._end
                at = self._write(number, body, at, stop, file)
            if at < stop and not self._stop.is_set() and self._only in (None, number):
                raise TransientError("the connection was closed early")
        finally:
            with self._lock:  # whoever takes it leaves out what did come
                self._pieces.insert(0, piece)

    def _write(self, number: int, body: Body, at: int, stop: int, file: IO[bytes]) -> int:
        """Returns how far it came. Whatever ends it, all that was written is in the journal."""
        noted = at
        file.seek(at)
        try:
            for chunk in body.chunks:
                self._arrived[number] += len(chunk)
                if at >= stop or self._stop.is_set() or self._only not in (None, number):
                    break  # not at the last byte itself: a connection read to its end can be kept
                view = memoryview(chunk)[: stop - at]
                while view:
                    written = file.write(view)
                    at, view = at + written, view[written:]
                if at - noted >= FLUSH:
                    self._journal.add(noted, at)
                    noted = at
        finally:
            if at > noted:
                self._journal.add(noted, at)
        return at

    def _check(self, body: Body, at: int) -> None:
        other_size = body.total is not None and body.total != self._size
        if other_size or (body.ranged and body.start != at):
            raise HubError(
                f"{self._partial.stem} was changed on {self._source.host} while it was fetched.",
                "Pull again; it then begins anew.",
            )

    def _become_the_only_one(self, number: int) -> bool:
        """The server sends everything or nothing: one connection has to do."""
        with self._lock:
            if self._only is None:
                self._only = number
            return self._only == number

    def _wait_to_retry(
        self, backoff: Backoff, error: TransientError, gained: int, own: int
    ) -> bool:
        """Wait before the next attempt. False: this connection is one too many."""
        with self._lock:
            if error.crowded and self._running > 1 and self._only is None:
                self._running -= 1
                return False
        delay = backoff.after(error, gained, own)
        if delay is None:
            name, so_far = self._partial.stem, byte_size(self.done, self._size)
            what = f"Fetching {name} from {self._source.host} stopped at {so_far}"
            raise give_up(what, error, backoff, "What is here is kept; pull again to go on.")
        with self._lock:
            self._resting += 1
            if delay >= 1:
                self._waiting = PullWait(str(error), delay)
        self._stop.wait(delay)
        with self._lock:
            self._resting -= 1
        return True


def journal_of(partial: Path) -> Path:
    """The file that says what `partial` holds."""
    return partial.with_name(partial.name + ".journal")


def _cut(gaps: list[Range]) -> list[Range]:
    """Gaps in pieces small enough for all connections to have work until near the end."""
    missing = sum(stop - start for start, stop in gaps)
    piece = min(max(missing // (4 * CONNECTIONS), SMALLEST_PIECE), LARGEST_PIECE)
    return [(at, min(at + piece, stop)) for start, stop in gaps for at in range(start, stop, piece)]
