"""The pieces of a streamed reply, read in a thread, so that Ctrl-C never waits for the network."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx

from gemma_mtp.errors import Cancelled, GemmaMtpError
from gemma_mtp.remote import errors
from gemma_mtp.remote.server import READ, Server

CHECK = 0.05  # seconds between two looks at whether the reply is to be stopped
PATH = "/v1/chat/completions"
LONGEST_LINE = 16 << 20  # bytes; a piece of a reply has some hundred, a whole one less than that


def chunks(
    server: Server, body: dict[str, Any], cancelled: Callable[[], bool]
) -> Iterator[dict[str, Any]]:
    """The objects of the stream.

    Raises GemmaMtpError, and Cancelled within a moment of `cancelled`; the connection is closed
    then, at which servers stop writing.
    """
    found: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()
    reader = _Reader(server, body, found.put)
    threading.Thread(target=reader.run, daemon=True).start()
    try:
        while True:
            if cancelled():
                raise Cancelled("Stopped.")
            try:
                item = found.get(timeout=CHECK)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        reader.stop()


class _Reader:
    """Reads a stream in a thread of its own."""

    def __init__(
        self,
        server: Server,
        body: dict[str, Any],
        put: Callable[[dict[str, Any] | Exception | None], None],
    ) -> None:
        self._server, self._body, self._put = server, body, put
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._read())

    def run(self) -> None:
        try:
            self._loop.run_until_complete(self._task)
            self._put(None)
        except asyncio.CancelledError:
            self._put(Cancelled("Stopped."))
        except GemmaMtpError as error:
            self._put(error)
        except httpx.HTTPError as error:
            self._put(errors.unreachable(self._server.address, error))
        except Exception as error:
            self._put(error)
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def stop(self) -> None:
        """Close the connection, if the stream has not ended."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def _read(self) -> None:
        server = self._server
        async with (
            httpx.AsyncClient(
                headers=server.headers, trust_env=server.trust_env, timeout=server.timeout(READ)
            ) as client,
            client.stream("POST", server.address + PATH, json=self._body) as response,
        ):
            if not response.is_success:
                wait = response.headers.get("Retry-After", "")
                told = await response.aread()
                raise errors.refused(server.address, response.status_code, told, wait)
            if "text/event-stream" not in response.headers.get("Content-Type", ""):
                raise errors.no_openai(server.address)
            async for line in _lines(response, server.address):
                data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
                if data == "[DONE]":
                    return
                if data:
                    self._put(self._parsed(data))

    def _parsed(self, data: str) -> dict[str, Any]:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise errors.no_openai(self._server.address) from error
        if not isinstance(found, dict):
            raise errors.no_openai(self._server.address)
        if found.get("error"):  # in a stream that has begun
            raise errors.refused(self._server.address, 500, data.encode())
        return found


async def _lines(response: httpx.Response, address: str) -> AsyncIterator[str]:
    """The lines of a stream. Raises ServerError for one that does not end.

    httpx's own would keep all of that one, and would also split where only text has line ends:
    JSON may hold U+2028, say.
    """
    held = bytearray()
    async for data in response.aiter_bytes():
        held += data
        if b"\n" in data:
            *lines, held = held.split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "replace").rstrip("\r")
        if len(held) > LONGEST_LINE:
            raise errors.no_openai(address)
    yield held.decode("utf-8", "replace")
