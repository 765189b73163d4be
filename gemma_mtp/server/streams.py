"""Replies as HTTP responses: whole ones, server-sent events, and lines of JSON.

Whatever the form, a client that disconnects stops its reply.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, StreamingResponse

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.engines import Engines, Reply
from gemma_mtp.server.errors import body
from gemma_mtp.text import json_text

Result = TypeVar("Result")
Lines = Callable[[Reply], AsyncIterator[str]]
"""Turns the events of a reply into what is written, piece by piece."""


async def whole(
    http: Request, asked: Asked, form: Callable[[Reply], Awaitable[dict[str, Any]]]
) -> JSONResponse:
    """The reply in one piece, as `form` makes it."""

    async def write(cancel: threading.Event) -> JSONResponse:
        return JSONResponse(await form(await engines(http).reply(asked, cancel)))

    return await attended(http, write)


async def attended(http: Request, work: Callable[[threading.Event], Awaitable[Result]]) -> Result:
    """What comes of `work`, whose flag is set when the client disconnects meanwhile."""
    cancel, watcher = _watched(http)
    try:
        return await work(cancel)
    finally:
        watcher.cancel()


async def streamed(http: Request, asked: Asked, lines: Lines, media_type: str) -> StreamingResponse:
    """The reply as it comes; an error before its first event is raised."""
    cancel, watcher = _watched(http)
    try:
        reply = await engines(http).reply(asked, cancel)
    except BaseException:
        watcher.cancel()
        raise

    async def watched() -> AsyncIterator[str]:
        try:
            async for line in lines(reply):
                yield line
        finally:
            watcher.cancel()

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(watched(), media_type=media_type, headers=headers)


def engines(http: Request) -> Engines:
    """What serves the requests of this app."""
    found = http.app.state.engines
    assert isinstance(found, Engines)
    return found


def sse(data: Any, event: str = "") -> str:
    """A server-sent event."""
    text = data if isinstance(data, str) else json_text(data)
    return f"event: {event}\ndata: {text}\n\n" if event else f"data: {text}\n\n"


def sse_error(error: GemmaMtpError, http: Request, event: str = "") -> str:
    """What a stream that has begun says of an error."""
    return sse(body(error, http.url.path), event)


def _watched(http: Request) -> tuple[threading.Event, asyncio.Task[None]]:
    """A flag that is set when the client disconnects, and the task that sets it."""
    cancel = threading.Event()

    async def watch() -> None:
        while (await http.receive())["type"] != "http.disconnect":
            pass
        cancel.set()

    return cancel, asyncio.create_task(watch())
