"""What becomes of each HTTP request, from its first byte to its last.

`Recorder` is the outermost layer of the app: it makes a record, lets the layers below fill it in,
and tells it to whoever prints or counts requests. It also answers where something unexpected goes
wrong.
"""

from __future__ import annotations

import hashlib
import secrets
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gemma_mtp.api import End
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.server.errors import body, unexpected

LONGEST_NAME = 100  # characters of what a program calls itself
KEYS = ("authorization", "x-api-key")  # headers with a key
_SALT = secrets.token_bytes(16)  # so that nobody who sees a party can tell its key
REQUEST_IDS = ("request-id", "x-request-id")
"""Headers in which Anthropic's and OpenAI's clients look for the name of a request; they show it
where something went wrong."""


@dataclass
class Record:
    """One request.

    `party` says whom it is for: a program at an address, with a key. `status` is 0 where the client
    left before an answer began. `model` is what the request turned out to be for, "" for none.
    `passed_over` are fields that nobody here knows. `end` is there when the reply came to its end,
    `error` where something was wrong, `left` where the client did not wait for it. `note` is a
    sentence about what was done besides.
    """

    method: str
    path: str
    party: str = ""
    status: int = 0
    seconds: float = 0.0
    model: str = ""
    passed_over: tuple[str, ...] = ()
    end: End | None = None
    error: GemmaMtpError | None = None
    left: bool = False
    note: str = ""
    closing: list[Callable[[], object]] = field(default_factory=list)
    """Called when the request is over, however it ended."""


def record_of(http: Request) -> Record:
    """The record of a request; one that nobody reads where there is no `Recorder`."""
    found = getattr(http.state, "record", None)
    if not isinstance(found, Record):
        found = http.state.record = Record(http.method, http.url.path)
    return found


def _party(scope: Scope) -> str:
    """Requests of one program at one address, with one key, take turns with those of others."""
    headers = Headers(scope=scope)
    address, program = (scope.get("client") or ("",))[0], headers.get("user-agent", "")
    shown = next((headers[name] for name in KEYS if headers.get(name)), "")
    mark = hashlib.sha256(_SALT + shown.encode()).hexdigest()[:6]
    return " ".join(filter(None, [address, program[:LONGEST_NAME], shown and f"key {mark}"]))


class Recorder:
    """A layer of the app; `done` is told each record when its request is over."""

    def __init__(self, app: ASGIApp, done: Callable[[Record], None], verbose: bool = False) -> None:
        self._app, self._done, self._verbose = app, done, verbose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = Record(scope["method"], scope["path"], _party(scope))
        began = time.perf_counter()
        scope.setdefault("state", {})["record"] = record
        request_id = f"req_{secrets.token_hex(12)}".encode()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                named = [(name.encode(), request_id) for name in REQUEST_IDS]
                message = {**message, "headers": [*message["headers"], *named]}
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            await self._unexpected(error, record, (scope, receive, noted))
        finally:
            for close in record.closing:
                close()
            record.seconds = time.perf_counter() - began
            self._done(record)

    async def _unexpected(
        self, error: Exception, record: Record, asgi: tuple[Scope, Receive, Send]
    ) -> None:
        if self._verbose:
            traceback.print_exception(error, file=sys.stderr)
        record.error = unexpected(error)
        if not record.status:
            await JSONResponse(body(record.error, record.path), 500)(*asgi)
