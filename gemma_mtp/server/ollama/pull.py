"""`POST /api/pull`: a model is fetched from the hub, and its progress told.

`models.pull` does it, in a thread; a client that leaves stops it, and what has arrived is kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from gemma_mtp.errors import Cancelled, GemmaMtpError
from gemma_mtp.models.pull.events import (
    PullEvent,
    PullNote,
    PullProgress,
    PullReady,
    PullSilence,
    PullWait,
)
from gemma_mtp.models.pull.request import PullRequest, fulfil
from gemma_mtp.server.engines import Engines, no_file
from gemma_mtp.server.errors import Refused
from gemma_mtp.server.errors import body as error_body
from gemma_mtp.server.ollama.catalogue import Named
from gemma_mtp.server.ollama.names import ours
from gemma_mtp.server.record import record_of
from gemma_mtp.server.streams import NDJSON, attended, engines, json_line
from gemma_mtp.server.threads import in_thread, pushed

router = APIRouter()

Put = Callable[[PullEvent], None]
KEPT = "What has arrived is kept; the same pull goes on."
INTERVAL = 0.1  # seconds between two lines about one file


class PullBody(Named):
    """A model; `insecure` is for registries without TLS, which the hub is not."""

    stream: bool | None = None
    insecure: bool = False


@router.post("/api/pull")
async def pull(http: Request, body: PullBody) -> Response:
    """Fetch a model and its drafter, or go on with what has arrived."""
    name, served = ours(body.meant), engines(http)
    record_of(http).model = name
    if await in_thread(lambda: served.is_file(name)):
        raise no_file(name)
    if body.stream is False:
        notes: list[str] = []

        def put(event: PullEvent) -> None:
            if isinstance(event, PullNote):
                notes.append(event.text)

        await attended(http, lambda cancel: in_thread(lambda: _pull(name, served, cancel, put)))
        return JSONResponse(succeeded(notes))
    return StreamingResponse(_lines(http, name), media_type=NDJSON)


def succeeded(notes: Sequence[str]) -> dict[str, Any]:
    """The one answer to what is not streamed, with the sentences that a stream has lines for."""
    return {"status": "success", **({"gemma_mtp": {"notes": [*notes]}} if notes else {})}


def _pull(name: str, served: Engines, cancel: threading.Event, put: Put) -> None:
    """Fetch it. Raises what a pull raises; Cancelled once `cancel` is set, and when the server is
    being stopped."""

    def on_event(event: PullEvent) -> None:
        if cancel.is_set():
            raise Cancelled("The client has left.", KEPT)
        if served.stopping:
            raise Refused(503, "The server is being stopped.", KEPT)
        put(event)

    fulfil(name, PullRequest(), served.models, on_event)


async def _lines(http: Request, name: str) -> AsyncIterator[str]:
    cancel, told, served = threading.Event(), _Told(), engines(http)

    def work(put: Put) -> None:
        _pull(name, served, cancel, put)

    yield json_line({"status": "pulling manifest"})
    try:
        async with aclosing(pushed(work)) as events:
            async for event in events:
                for said in told.of(event):
                    yield json_line(said)
    except GemmaMtpError as error:
        record_of(http).error = error
        yield json_line(error_body(error, http.url.path))
    finally:
        cancel.set()


class _Told:
    """What is said of a pull, in Ollama's words and not too often."""

    def __init__(self) -> None:
        self._doing: tuple[str, bool, bool] | None = None
        self._next = 0.0

    def of(self, event: PullEvent) -> Iterator[dict[str, Any]]:
        if isinstance(event, PullProgress):
            yield from self._progress(event)
        elif isinstance(event, PullNote):
            yield {"status": event.text}
        elif isinstance(event, PullWait):
            yield {"status": f"{event.reason}; trying again in {event.seconds:.0f} s"}
        elif isinstance(event, PullSilence):
            yield {
                "status": f"hardly anything has come from {event.host} for {event.seconds:.0f} s"
            }
        elif isinstance(event, PullReady):
            yield {"status": "success"}

    def _progress(self, event: PullProgress) -> Iterator[dict[str, Any]]:
        doing, now = (event.file, event.verifying, event.beginning), time.monotonic()
        if doing == self._doing and now < self._next and event.done < event.total:
            return
        is_new, self._doing, self._next = doing != self._doing, doing, now + INTERVAL
        if event.beginning:
            if is_new:
                yield {"status": f"reading the header of {event.file}"}
        elif not event.verifying:
            said = {"status": f"pulling {event.file}", "digest": _digest(event)}
            yield {**said, "total": event.total, "completed": event.done}
        elif is_new:
            yield {"status": "verifying sha256 digest"}


def _digest(event: PullProgress) -> str:
    """By which clients tell files apart; the name, where the hub states no sha256."""
    return f"sha256:{event.sha256}" if event.sha256 else event.file
