"""The resident engine in one process with its clients, over a scripted pair."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from support.fakes import FakeEngine, Script

from gemma_mtp.api import Event, LoadOptions, Message, PairFiles, Replies, Request, TextDelta
from gemma_mtp.errors import BadPair, Cancelled
from gemma_mtp.resident.client import ResidentPair
from gemma_mtp.resident.process import Resident
from gemma_mtp.resident.sockets import Listener

FILES = PairFiles("tiny", Path("target.gguf"), Path("drafter.gguf"))
NEVER = threading.Event()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Engine:
    """A resident engine in threads of this process, and what it loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.scripts = [Script("One two three four.")]
        self.pairs: list[FakeEngine] = []
        self.loading = threading.Event()  # a load has begun
        self.go_on = threading.Event()  # and may end
        self.go_on.set()
        self.resident = Resident(self._load, self.clock)
        self._listener = Listener(folder)
        threads = (lambda: self.resident.let_in(self._listener), self.resident.work)
        self.threads = [threading.Thread(target=work, daemon=True) for work in threads]
        for thread in self.threads:
            thread.start()

    def _load(
        self, files: PairFiles, options: LoadOptions, progress: Callable[[float], bool]
    ) -> Replies:
        self.loading.set()
        self.resident.loaded.journal.write(f"loading {files.name}\n")
        while not self.go_on.wait(0.005):
            if not progress(0.5):
                raise Cancelled("Loading was stopped.")
        if files.name == "bad":
            raise BadPair("It is no pair.", "Take another one.")
        progress(1.0)
        self.pairs.append(
            FakeEngine(self.scripts, context=options.context or 8192, name=files.name)
        )
        return self.pairs[-1]

    def pair(
        self,
        name: str = "tiny",
        keep: float | None = 300.0,
        context: int | None = None,
        verbose: bool = False,
        party: str = "",
        gpu_layers: int | None = None,
        any_layers: bool = False,
    ) -> ResidentPair:
        files = replace(FILES, name=name)
        options = LoadOptions(context=context, verbose=verbose, gpu_layers=gpu_layers)
        pair = ResidentPair(self.folder, files, options, keep, party, any_layers)
        pair.load(lambda fraction: True)
        return pair

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.resident._jobs.wake()

    def close(self) -> None:
        self.resident.stop()
        self.threads[1].join(60)
        self._listener.close()


def request(text: str = "Hi") -> Request:
    return Request((Message.text("user", text),), seed=1)


def said(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))
