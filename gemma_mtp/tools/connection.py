"""One MCP server, by the protocol's official library, which only this file imports.

`servers` runs it in a loop of its own. Everything here is asyncio; nothing here raises but `call`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gemma_mtp import __version__
from gemma_mtp.files.private import open_file
from gemma_mtp.text import clean, json_text, one_line
from gemma_mtp.tools.offered import Listed
from gemma_mtp.tools.results import Outcome, outcome

if TYPE_CHECKING:
    from mcp import Client

    from gemma_mtp.tools.server_config import ServerConfig

START_SECONDS = 60.0  # a package that is fetched first, as by npx, takes that long
MOST_TOOLS = 2000  # of a server, which may list them without end
LONGEST_REASON = 200  # characters


class Connection:
    """A server from its start to its end; `problem` says why it is not there (any more)."""

    def __init__(self, config: ServerConfig, log: Path) -> None:
        self.config = config
        self.tools: tuple[Listed, ...] = ()
        self.problem = ""
        self.ready = asyncio.Event()  # its tools are listed, or it failed
        self._log = log
        self._patience = min(START_SECONDS, config.timeout)
        self._end = asyncio.Event()
        self._client: Client | None = None

    async def serve(self) -> None:
        """Be connected until `end`. One task does all of it, as the library demands."""
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._patience):
                    client = await stack.enter_async_context(await self._made(stack))
                    self.tools = await _listed(client)
                self._client = client
                self.ready.set()
                await self._end.wait()
        except TimeoutError:
            self.problem = self.problem or f"it did not answer within {self._patience:g} seconds"
        except Exception as error:
            self.problem = self.problem or self._why_not(error)
        finally:
            self._client = None
            self.ready.set()

    def end(self) -> None:
        self._end.set()

    async def call(self, name: str, arguments: dict[str, Any]) -> Outcome:
        """Run a tool. Every failure is an outcome."""
        from mcp import MCPError
        from mcp.types import CONNECTION_CLOSED

        if self._client is None:
            return self._lost("it is not running")
        try:
            async with asyncio.timeout(self.config.timeout):
                return outcome(await self._client.call_tool(name, arguments))
        except TimeoutError:
            seconds = f"{self.config.timeout:g} seconds"
            return Outcome(f"Error: the tool did not answer within {seconds}.", failed=True)
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                return self._lost("it has ended")
            return Outcome(clean(f"Error: {_reason(error)}"), failed=True)
        except Exception as error:
            return self._lost(_reason(error))

    def _why_not(self, error: Exception) -> str:
        """Why it did not start."""
        from mcp.types import CONNECTION_CLOSED

        first = _first(error)
        if self.config.command and isinstance(first, OSError):
            return f"{self.config.command} cannot be started: {_reason(first)}"
        if self.config.command and getattr(first, "code", None) == CONNECTION_CLOSED:
            return f"it ended at once; what it said is in {self._log}"
        return f"{self.config.url}: {_reason(first)}" if self.config.url else _reason(first)

    def _lost(self, reason: str) -> Outcome:
        self.problem = self.problem or reason
        self.end()
        text = f"Error: the server of this tool is gone: {self.problem}."
        return Outcome(clean(text), failed=True)

    async def _made(self, stack: AsyncExitStack) -> Client:
        from mcp import Client, StdioServerParameters, stdio_client
        from mcp.client.sse import sse_client
        from mcp.client.streamable_http import streamable_http_client
        from mcp.types import Implementation

        config, who = self.config, Implementation(name="gemma-mtp", version=__version__)
        if config.command:
            log = stack.enter_context(_appended(self._log))
            started = StdioServerParameters(
                command=config.command, args=[*config.args], env=config.env, cwd=config.cwd
            )
            return Client(stdio_client(started, errlog=log), client_info=who)
        if config.is_sse:
            return Client(sse_client(config.url, config.headers), client_info=who)
        from mcp.shared._httpx_utils import create_mcp_http_client

        http = await stack.enter_async_context(create_mcp_http_client(config.headers))
        return Client(streamable_http_client(config.url, http_client=http), client_info=who)


async def _listed(client: Client) -> tuple[Listed, ...]:
    found: list[Listed] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            schema = json_text(tool.input_schema) if tool.input_schema else ""
            found.append(Listed(tool.name, clean(tool.description or tool.title or ""), schema))
        if len(found) > MOST_TOOLS:
            raise ValueError(f"it lists more than {MOST_TOOLS} tools")
        cursor = page.next_cursor
        if not cursor:
            return tuple(found)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _reason(error: BaseException) -> str:
    """Why something failed, in a line; of several things at once, the first."""
    error = _first(error)
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return one_line(words, LONGEST_REASON).rstrip(".")


def _appended(path: Path) -> TextIO:
    """A file to write on, that nobody else may read."""
    return open(open_file(path, os.O_WRONLY | os.O_APPEND), "w", encoding="utf-8")


def log_to(path: Path) -> None:
    """Have what the library logs in a file, and not on the screen."""
    logger = logging.getLogger("mcp")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler(_appended(path)))
        logger.propagate = False
