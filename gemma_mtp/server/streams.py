"""Replies as HTTP responses: whole ones, server-sent events, and lines of JSON.

Whatever the form, a client that disconnects stops its reply.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, StreamingResponse

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.engines import Engines
from gemma_mtp.server.errors import body
from gemma_mtp.server.record import record_of
from gemma_mtp.server.reply import Reply
from gemma_mtp.text import json_text

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
PATIENCE = 5.0
"""Seconds that a stream waits for the first event of its reply. Until then an error has a status of
its own; after that the stream begins, since clients and proxies give up a silent connection."""
PING = 10.0  # seconds of silence after which a stream of events says that it lives

Result = TypeVar("Result")
Lines = Callable[[Reply], AsyncIterator[str]]
"""Turns the events of a reply into what is written, piece by piece."""


class Whole(JSONResponse):
    """JSON in one piece, also of texts that are none: of lone surrogates, say."""

    def render(self, content: Any) -> bytes:
        return json_text(content).encode()


async def whole(
    http: Request, asked: Asked, form: Callable[[Reply], Awaitable[dict[str, Any]]]
) -> JSONResponse:
    """The reply in one piece, as `form` makes it."""

    async def write(cancel: threading.Event) -> JSONResponse:
        return Whole(await form(await engines(http).reply(asked, cancel, record_of(http))))

    return await attended(http, write)


async def attended(http: Request, work: Callable[[threading.Event], Awaitable[Result]]) -> Result:
    """What comes of `work`, whose flag is set when the client disconnects meanwhile."""
    cancel, watcher = _watched(http)
    try:
        return await work(cancel)
    finally:
        watcher.cancel()


async def streamed(
    http: Request, asked: Asked, lines: Lines, media_type: str, ping: str = ": ping\n\n"
) -> StreamingResponse:
    """The reply as it comes. An error before its first event is raised, unless that takes longer
    than clients wait for headers. `ping` is what a stream of events says while there is none."""
    cancel, watcher = _watched(http)
    record_of(http).closing.append(watcher.cancel)
    reply = await engines(http).reply(asked, cancel, record_of(http), PATIENCE)
    text = lines(reply)
    if media_type == SSE:
        text = _with_pings(text, ping)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(text, media_type=media_type, headers=headers)


def engines(http: Request) -> Engines:
    """What serves the requests of this app."""
    found = http.app.state.engines
    assert isinstance(found, Engines)
    return found


def sse(data: Any, event: str = "") -> str:
    """A server-sent event."""
    text = data if isinstance(data, str) else json_text(data)
    return f"event: {event}\ndata: {text}\n\n" if event else f"data: {text}\n\n"


def json_line(data: Any) -> str:
    """A line of NDJSON."""
    return json_text(data) + "\n"


def sse_error(error: GemmaMtpError, http: Request, event: str = "") -> str:
    """What a stream that has begun says of an error."""
    return sse(body(error, http.url.path), event)


async def _with_pings(lines: AsyncIterator[str], ping: str) -> AsyncGenerator[str]:
    """The lines, and pings while there are none for long: while a model is loaded, say."""
    line: asyncio.Future[str] = asyncio.ensure_future(anext(lines))
    try:
        while True:
            if not (await asyncio.wait({line}, timeout=PING))[0]:
                yield ping
                continue
            try:
                yield line.result()
            except StopAsyncIteration:
                return
            line = asyncio.ensure_future(anext(lines))
    finally:
        line.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration):
            await line


def _watched(http: Request) -> tuple[threading.Event, asyncio.Task[None]]:
    """A flag that is set when the client disconnects, and the task that sets it."""
    cancel = threading.Event()

    async def watch() -> None:
        while (await http.receive())["type"] != "http.disconnect":
            pass
        record_of(http).left = True
        cancel.set()

    return cancel, asyncio.create_task(watch())
