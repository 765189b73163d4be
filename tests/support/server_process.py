"""`gemma-mtp serve` as a process of its own, as clients of other people's meet it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.waiting import PATIENCE, wait_until

from gemma_mtp.resident.identity import place
from gemma_mtp.resident.line import ask


@dataclass(frozen=True)
class Server:
    """One that runs; `log` is what it says on standard error."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def openai(self) -> str:
        """The base URL that OpenAI's clients take."""
        return f"{self.url}/v1"

    def engine(self) -> dict[str, Any]:
        """What the resident engine says of itself."""
        found: dict[str, Any] = ask(place(), "status")
        return found

    def is_idle(self) -> bool:
        """Whether the engine has nothing to do."""
        found = self.engine()
        return found["busy_for"] is None and not found["waiting"]


STORY = "Tell me a very long story about a fox and a bear."
SEED = 24
ENDLESS = {"temperature": 50, "top_k": 0, "top_p": 1}
"""With these settings the built-in pair writes words at random, some 1,900 of them for that seed
and that prompt."""
SOME = 100  # tokens, for comparison


@contextmanager
def server_process(folder: Path, *options: str) -> Iterator[Server]:
    """One of the built-in pair, on a free port, until the block ends; `folder` gets its log."""
    log = folder / "serve.log"
    command = [sys.executable, "-m", "gemma_mtp", "serve", "tiny", "--port", "0"]
    command += ["--keep-alive", "5m", *options]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)

    def url() -> str:
        """Where it listens, once it says so."""
        found = re.search(r"listens at (\S+);", log.read_text())
        return found[1] if found else ""

    try:
        wait_until(lambda: process.poll() is not None or url())
        assert process.poll() is None, log.read_text()
        yield Server(url(), process, log)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def assert_stops(
    server: Server, write_some: Callable[[], object], leave: Callable[[], None]
) -> None:
    """The engine is idle soon after `leave` has read a piece of that long reply and gone.

    Soon: in a quarter of the time that the reply would take, going by `write_some`; in one of a few
    tries, since the machine may have been busy with something else.
    """

    def is_soon() -> bool:
        began = time.monotonic()
        write_some()
        some = time.monotonic() - began
        leave()
        left = time.monotonic()
        wait_until(server.is_idle)
        return time.monotonic() - left < 4 * some

    assert any(is_soon() for _ in range(5))
