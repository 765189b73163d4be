"""The server in a thread of this process, and engines for it that are scripted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import uvicorn
from support.fakes import FakeEngine, Script
from support.waiting import PATIENCE, wait_until

from gemma_mtp.api import Event, LoadOptions, PairFiles, PairInfo, Request
from gemma_mtp.errors import ModelNotAvailable, NotPulled
from gemma_mtp.models.catalogue import Entry, load_catalogue
from gemma_mtp.models.store import BUILTIN_FOLDER, Store
from gemma_mtp.options import Options
from gemma_mtp.server.app import make_app
from gemma_mtp.server.connections import Patient
from gemma_mtp.server.engines import Engines
from gemma_mtp.server.guard import Rules
from gemma_mtp.server.ports import listen
from gemma_mtp.server.record import Record
from gemma_mtp.server.remembered import Remembered


class FakePair:
    """What the server holds for one request; the engine behind it is everybody's.

    `stopped` is set when the reply that is written here was told to stop."""

    def __init__(self, engine: FakeEngine, options: LoadOptions) -> None:
        self.engine, self.options = engine, options
        self.keep: float | None = None
        self.party = ""
        self.stopped = threading.Event()
        self.closed = threading.Event()

    @property
    def info(self) -> PairInfo:
        return self.engine.info

    def load(self, progress: Callable[[float], bool]) -> None:
        progress(1.0)

    def reply(self, request: Request, cancel: threading.Event) -> Iterator[Event]:
        self.engine.context = self.options.context or self.engine.context
        for event in self.engine.reply(request, cancel):
            yield event
            if cancel.is_set():
                self.stopped.set()

    def count(self, request: Request) -> int:
        return self.engine.count(request)

    def prepare(self, request: Request | None) -> None:
        self.engine.prepare(request)

    def close(self) -> None:
        self.closed.set()


class FakeEngines(Engines):
    """Engines whose one pair is scripted: `say` says what it writes from now on."""

    def __init__(self, served: Options | None = None, default: str | None = None) -> None:
        super().__init__(FakeModels(), served or Options(), default)
        self.records: list[Record] = []
        self.under_way: Collection[object] = ()  # requests
        self.say()

    def say(self, *scripts: Script | str, context: int = 8192, limit: int = 0) -> None:
        """Replies in turn, the last one again and again. What was asked before is over by then."""
        wait_until(lambda: not self.under_way)
        written = [s if isinstance(s, Script) else Script(s) for s in scripts]
        self.engine = FakeEngine(written or [Script()], context, limit)
        self.pairs: list[FakePair] = []
        self.records.clear()
        self.grown.clear()
        self.remembered = Remembered()

    def connect(self, files: PairFiles, options: LoadOptions, keep: float) -> FakePair:  # type: ignore[override]
        self.engine.name = files.name
        self.pairs.append(FakePair(self.engine, options))
        self.pairs[-1].keep = keep
        return self.pairs[-1]

    @property
    def asked(self) -> Request:
        """What the engine was asked for last."""
        return self.engine.requests[-1]

    def has_begun(self) -> bool:
        """Whether the engine was asked for a reply."""
        return bool(self.engine.requests)

    def record(self) -> Record:
        """Of the latest request, once all are over."""
        wait_until(lambda: bool(self.records) and not self.under_way)
        return self.records[-1]


class FakeModels(Store):
    """tiny and e2b are here, 31b could be pulled, and others are none."""

    def __init__(self) -> None:
        super().__init__(load_catalogue())

    def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
        if model == "31b":
            raise NotPulled("31b")
        if model not in (None, "tiny", "e2b"):
            raise ModelNotAvailable(f'There is no model called "{model}".', "Known models: tiny.")
        return PairFiles(model or "tiny", BUILTIN_FOLDER / "tiny-target.gguf", None)

    def ready(self) -> list[Entry]:
        return [entry for entry in self.catalogue.entries if entry.name in ("tiny", "e2b")]


@contextmanager
def serving(
    engines: Engines,
    rules: Rules | None = None,
    done: Callable[[Record], None] = lambda record: None,
) -> Iterator[str]:
    """The address at which they are served meanwhile, by a thread of this process."""
    app = make_app(engines, rules, done)
    config = uvicorn.Config(
        app, log_config=None, lifespan="off", http=Patient, timeout_graceful_shutdown=1
    )
    server, sock = uvicorn.Server(config), listen("127.0.0.1", 0)
    if isinstance(engines, FakeEngines):
        engines.under_way = server.server_state.tasks
    thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(PATIENCE)


def body(**more: object) -> dict[str, object]:
    """Of a chat completion."""
    return {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], **more}


def chat(url: str, **more: object) -> httpx.Response:
    """Ask for a reply to a word."""
    return httpx.post(f"{url}/v1/chat/completions", json=body(**more), timeout=PATIENCE)


def leave(url: str, asked: object, begun: Callable[[], bool]) -> None:
    """Send a request to that URL, and disconnect once `begun`, before it is answered."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=PATIENCE)
    connection.request("POST", parts.path, json.dumps(asked))
    wait_until(begun)
    connection.close()
