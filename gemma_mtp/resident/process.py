"""The resident engine: one pair at a time, any number of clients, done when nobody needs it.

`python -m gemma_mtp.resident.process FOLDER` is the process that `start` starts. Its main thread
loads and writes replies; each client has a thread that reads what it wants and one that sends.
One process is enough: where llama.cpp dies, so does this process, and a client, be it a chat or a
server, sees its connection end and starts another one.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from gemma_mtp import __version__
from gemma_mtp.api import Request, Waiting, from_json, to_json
from gemma_mtp.errors import Cancelled
from gemma_mtp.files.folder_lock import hold
from gemma_mtp.models.machine import resident_bytes
from gemma_mtp.resident.clients import Client, Wanted, serve
from gemma_mtp.resident.jobs import Job, Jobs
from gemma_mtp.resident.loaded import LoadedPair, Loader
from gemma_mtp.resident.sockets import Listener, connect
from gemma_mtp.resident.start import PID
from gemma_mtp.resident.wire import Connection

if TYPE_CHECKING:
    from gemma_mtp.llama.log import Log

LINGER = 2.0  # seconds that a process without a pair waits for a client
TAKING_OVER = 30.0  # seconds that a process waits for one before it that is about to end


class Resident:
    """Serves clients until it is told to stop, or until nobody needs it any more."""

    def __init__(self, load: Loader, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.loaded = LoadedPair(load)
        self._jobs = Jobs()
        self._clients: list[Client] = []
        self._until = clock() + LINGER  # when the pair, or without one the process, is given up
        self._busy_for: Client | None = None
        self._stopping = False

    def let_in(self, listener: Listener) -> None:
        """Give each new client a thread, until the listener is closed."""
        while not self._stopping:
            try:
                found = listener.accept()
            except OSError:
                time.sleep(0.1)  # too many open files, say; or closed, and this is the end
                continue
            if found is not None:
                threading.Thread(target=self._serve, args=(Connection(found),), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        client = Client(connection)
        self._clients.append(client)
        try:
            serve(client, self)
        finally:
            self._clients.remove(client)
            self._jobs.drop(client)
            self._jobs.wake()

    # What a client may ask for in its own thread.

    def status(self) -> dict[str, Any]:
        """What is loaded, for whom, and until when."""
        busy = self._busy_for
        queue = [
            {"name": job.owner.name, "party": job.owner.shown_party, "model": _model(job.key)}
            for job in self._jobs.waiting()
            if isinstance(job.owner, Client)
        ]
        models = Counter(each["model"] for each in queue if each["model"])
        return {
            "pid": os.getpid(),
            "version": __version__,
            "memory_bytes": resident_bytes(),
            **self.loaded.status(),
            "clients": [client.name for client in self._clients if client.name],
            "busy_for": busy.name if busy else None,
            "waiting": len(queue),
            "waiting_for": dict(models),
            "queue": queue,
            "seconds_left": None if math.isinf(self._until) else self._until - self._clock(),
        }

    def stop(self) -> None:
        """End when the reply in progress has ended."""
        self._stopping = True
        self._jobs.wake()

    def cancel(self, client: Client) -> None:
        """Stop what this client has asked for, or do not begin with it."""
        client.cancel.set()
        if self._jobs.drop(client):
            client.refuse(Cancelled("Stopped."))

    def enqueue(self, client: Client, work: Callable[[], None]) -> None:
        """Have the engine's thread do it when it is this client's turn."""
        client.cancel.clear()

        def run() -> None:
            self._busy_for = client
            try:
                if not client.gone:
                    work()
            except Exception as error:
                client.refuse(error)
            finally:
                self._busy_for = None
                self._keep_for(client)

        key = client.wanted.pair if client.wanted else None
        moved = lambda ahead: client.outbox.put(Waiting(ahead))  # noqa: E731
        self._jobs.put(Job(client, key, run, client.party, moved))

    def _keep_for(self, client: Client) -> None:
        """What was done for it is over: from now on the pair stays as long as it wants."""
        if client.keep_alive is not None:
            self.loaded.keep = client.keep_alive
        self._until = math.inf if self.loaded.keep < 0 else self._clock() + self.loaded.keep

    def count(self, client: Client, request: Request) -> None:
        """Count in the client's own thread where its pair is loaded, whatever is written meanwhile;
        else when it is its turn, as the pair has to be loaded for that."""
        try:
            found = self.loaded.count(client, request)
        except Exception as error:
            client.refuse(error)
        else:
            if found is None:
                self.enqueue(client, lambda: client.answer(self.loaded.use(client).count(request)))
                return
            client.answer(found)
        self._keep_for(client)

    def prepare(self, client: Client, request: Any) -> None:
        """Read ahead when nobody waits for anything else. Nor does anybody for that: no answer.
        It counts for one that has left by then, too: so a chat is kept that ends with that wish."""

        def run() -> None:
            pair = self.loaded.pair
            if pair is not None and self.loaded.is_of(client):
                with suppress(Exception):
                    pair.prepare(from_json(Request | None, request, "request"))

        self._jobs.put_spare(Job(client, None, run))

    # What the engine's thread does.

    def work(self) -> None:
        """Do what clients want until nobody needs it."""
        try:
            while not self._stopping:
                left = max(self._until - self._clock(), 0.0)
                wanted = self.loaded.wanted
                job = self._jobs.take(wanted and wanted.pair, None if math.isinf(left) else left)
                if job is not None:
                    job.run()
                elif self._clock() >= self._until and not self._give_up():
                    break
        finally:
            self._stopping = True
            self.loaded.unload()

    def _give_up(self) -> bool:
        """The time is over: unload the pair or, without one, say that the process may end."""
        if self.loaded.pair is None and not self._clients:
            return False
        self.loaded.unload()
        self._until = self._clock() + LINGER
        return True

    def info(self, client: Client) -> None:
        client.answer(to_json(self.loaded.use(client).info))

    def reply(self, client: Client, request: Request) -> None:
        pair = self.loaded.use(client)
        for event in pair.reply(request, client.cancel):
            client.outbox.put(event)
        client.answer(to_json(pair.info))

    def unload(self, client: Client) -> None:
        self.loaded.unload()
        client.answer(None)


def _model(key: object) -> str | None:
    """The name of the model that a job needs."""
    return key.files.name if isinstance(key, Wanted) else None


def run(folder: Path, load: Loader, log: Log) -> None:
    """Be the engine of this folder, unless another process is."""
    until = time.monotonic() + TAKING_OVER
    while (lock := hold(folder)) is None:
        if connect(folder) is not None or time.monotonic() > until:
            return
        time.sleep(0.02)
    (folder / PID).write_text(str(os.getpid()))
    listener = Listener(folder)
    resident = Resident(load)
    log.listener = resident.loaded.journal.write
    threading.Thread(target=resident.let_in, args=(listener,), daemon=True).start()
    try:
        resident.work()
    finally:
        listener.close()
        os.close(lock)


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(0)


def main() -> None:
    from gemma_mtp.llama.log import log
    from gemma_mtp.resident.pairs import load

    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(Cancelled):
        run(Path(sys.argv[1]), load, log)


if __name__ == "__main__":
    main()
