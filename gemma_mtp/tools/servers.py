"""All MCP servers of a chat, in a thread of their own: started, asked, ended.

The chat uses it. Without the library `mcp`, an optional extra, nothing can be started.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.paths import state_dir
from gemma_mtp.tools.offered import Offered, offered
from gemma_mtp.tools.results import Outcome
from gemma_mtp.tools.server_config import ServerConfig

if TYPE_CHECKING:
    from gemma_mtp.tools.connection import Connection

T = TypeVar("T")

TICK = 0.05  # seconds between two looks at whether to stop
END_SECONDS = 5.0  # that the end of all servers is waited for
LARGEST_LOG = 1 << 20  # bytes, after which the log begins anew


class Servers:
    """Servers that have been started, and the tools they have."""

    def __init__(self, configs: Sequence[ServerConfig]) -> None:
        """Start all of them, and return at once. Raises GemmaMtpError without the library."""
        if find_spec("mcp") is None:
            raise GemmaMtpError(
                "MCP servers need the Python library mcp, which is not installed.",
                "pip install 'gemma-mtp[mcp]' brings it.",
            )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="mcp")
        self._thread.start()
        self._log = log_file()
        self._connections = self._run(self._started(configs)).result()
        self._told: set[str] = set()
        self._again: set[str] = set()  # names of servers that have been started twice

    async def _started(self, configs: Sequence[ServerConfig]) -> list[Connection]:
        from gemma_mtp.tools.connection import log_to

        with suppress(OSError):
            if self._log.stat().st_size > LARGEST_LOG:
                self._log.unlink()
        log_to(self._log)
        self._tasks: list[asyncio.Task[None]] = []
        return [self._begun(config) for config in configs]

    def _begun(self, config: ServerConfig) -> Connection:
        """A server that is being started, in the loop."""
        from gemma_mtp.tools.connection import Connection

        found = Connection(config, self._log)
        self._tasks.append(asyncio.create_task(found.serve()))
        return found

    def wait(self, cancel: threading.Event) -> bool:
        """Until each has said what tools it has, or failed; False if it was cancelled before."""

        async def ready() -> bool:
            await asyncio.gather(*(each.ready.wait() for each in self._connections))
            return True

        return self._result(self._run(ready()), cancel) is not None

    def tools(self) -> list[Offered]:
        """Those of the servers that are there, or can be started again; a server that goes renames
        no tool."""
        gone = {c.config.name for c in self._connections if self._is_off(c)}
        found = offered({c.config.name: c.tools for c in self._connections})
        return [tool for tool in found if tool.server not in gone]

    def waiting(self) -> list[str]:
        """The servers that have not answered yet."""
        return [c.config.name for c in self._connections if not c.ready.is_set()]

    def news(self) -> list[str]:
        """A sentence about each server that has gone or was started again; once for each."""
        found = [said for c in self._connections if (said := self._said_of(c))]
        new = [said for said in found if said not in self._told]
        self._told.update(new)
        return new

    def _said_of(self, connection: Connection) -> str:
        name = f"The MCP server {connection.config.name}"
        if not connection.problem:
            return f"{name} was started again." if connection.config.name in self._again else ""
        off = self._is_off(connection)
        then = "Its tools are off." if off else "The next call of one of its tools starts it again."
        return f"{name} is not there: {connection.problem}. {then}"

    def _is_off(self, connection: Connection) -> bool:
        """Whether a server has gone for good: it never was there, or went a second time."""
        never = not connection.tools or connection.config.name in self._again
        return bool(connection.problem) and never

    def call(
        self, tool: Offered, arguments: dict[str, Any], cancel: threading.Event
    ) -> Outcome | None:
        """What came of a call; None if it was cancelled before it ended. A server that went at a
        call before is started again, once; what it did of that call is not known."""

        async def called() -> Outcome:
            place = next(n for n, c in enumerate(self._connections) if c.config.name == tool.server)
            connection = self._connections[place]
            if connection.problem and not self._is_off(connection):
                self._again.add(tool.server)
                connection = self._connections[place] = self._begun(connection.config)
            await connection.ready.wait()
            return await connection.call(tool.own_name, arguments)

        return self._result(self._run(called()), cancel)

    def close(self) -> None:
        """End all servers; those that do not end by themselves are killed by the library."""

        async def ended() -> None:
            for connection in self._connections:
                connection.end()
            await asyncio.wait(self._tasks, timeout=END_SECONDS)

        if self._connections:
            with suppress(NotYet, CancelledError):
                self._run(ended()).result(END_SECONDS + 1)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1)

    def _run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _result(self, future: Future[T], cancel: threading.Event) -> T | None:
        try:
            while not cancel.is_set():
                with suppress(NotYet):
                    return future.result(TICK)
            return None
        finally:
            future.cancel()


def log_file() -> Path:
    """Where servers and the library write what is wrong with them."""
    return state_dir() / "mcp.log"
