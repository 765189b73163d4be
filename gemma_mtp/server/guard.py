"""Who is answered, and how much one may send: a layer of the app around all routes.

A server on this machine can be reached by every web page that is open in a browser here. So a
request must be addressed to this machine by a name that cannot be made to lead here from elsewhere,
and what a page of another origin asks for is refused, also where its browser would ask no
permission first.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gemma_mtp.server.errors import Refused, body
from gemma_mtp.server.record import Record

MOST_BYTES = 64 << 20  # of a body; pictures are long, the longest context is a megabyte of text
BODY_SECONDS = 30.0  # in which a body must have come; it is on this machine, or nearly
APPS = ("app", "file", "tauri", "vscode-file", "vscode-webview")
"""Schemes of programs with a browser inside. No web page can have one: a page in a file has the
origin "null" in a browser, which is refused."""
LOOPBACK = r"(?:[\w-]+\.)*localhost|127(?:\.\d{1,3}){3}|\[::1\]"
PUBLIC = ("/", "/health", "/docs", "/openapi.json")
"""What is answered without the key: nothing of it is private."""


@dataclass(frozen=True)
class Rules:
    """Who is answered.

    `hosts` are names, besides those of this machine, under which clients may ask; `origins` are
    those of web pages that may, in which * stands for any text. Without an `api_key` any is taken.
    """

    api_key: str = ""
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    @property
    def origin_pattern(self) -> str:
        """Matches the origins that are answered."""
        named = [re.escape(each.rstrip("/")).replace(r"\*", ".*") for each in self.origins]
        apps = rf"(?:{'|'.join(APPS)})://.*"
        return "|".join([rf"https?://(?:{LOOPBACK})(?::\d+)?", apps, *named])

    def check(self, path: str, headers: Headers) -> None:
        """Raise Refused for a request that is not answered."""
        host = headers.get("host", "")
        if host and not self._is_known(host):  # browsers always send it
            name = _name_of(host)
            raise Refused(
                403,
                f'This server does not answer to the name "{name}".',
                f"If it is yours: serve --allow-host {name}",
            )
        self._check_origin(host, headers)
        if self.api_key and path not in PUBLIC and not self._has_key(headers):
            raise Refused(401, "The API key is missing or wrong.", "It is the one of serve.")

    def _is_known(self, host: str) -> bool:
        """An address in numbers is always right: only a name can be made to lead elsewhere."""
        name = _name_of(host)
        with suppress(ValueError):
            return bool(ipaddress.ip_address(name.strip("[]")))
        return name in _lower(self.hosts) or bool(re.fullmatch(LOOPBACK, name))

    def _check_origin(self, host: str, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None:
            foreign = headers.get("sec-fetch-site") == "cross-site"
            followed = headers.get("sec-fetch-dest") == "document"  # a link that was clicked on
            if foreign and not followed:
                raise Refused(403, "Web pages of other origins get no answer.")
            return
        own = urlsplit(origin).netloc == host and origin.startswith(("http://", "https://"))
        if not own and not re.fullmatch(self.origin_pattern, origin):
            raise Refused(
                403,
                f'Web pages of the origin "{origin}" get no answer.',
                f"If it is yours: serve --allow-origin {origin}",
            )

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        told = [
            shown.strip(" \t") if scheme.lower() == "bearer" else "",
            headers.get("x-api-key", ""),
        ]
        # Headers are bytes, and read as if they were Latin-1.
        return any(secrets.compare_digest(t.encode("latin-1"), self.api_key.encode()) for t in told)


class Guard:
    """A layer of the app, inside of `Recorder`. It reads bodies whole, so that what is too long or
    too slow never gets further."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, record = Headers(scope=scope), scope["state"]["record"]
        assert isinstance(record, Record)
        try:
            self._rules.check(scope["path"], headers)
            whole = await _body(headers, receive)
        except ClientDisconnect:
            record.left = True
            return
        except Refused as error:
            record.error = error
            # What is left of a body that is too long is read and forgotten: to close the connection
            # while a client still writes would keep it from reading this answer.
            shown = {"Connection": "close"} if error.http_status == 408 else {}
            answer = JSONResponse(body(error, scope["path"]), error.http_status, shown)
            await answer(scope, receive, send)
            return
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": whole, "more_body": False}

        await self._app(_as_json(scope) if whole else scope, replay, send)


async def _body(headers: Headers, receive: Receive) -> bytes:
    """All of it. Raises Refused, and ClientDisconnect."""
    too_long = Refused(413, f"The body is longer than {MOST_BYTES >> 20} MB.")
    with suppress(ValueError):
        if int(headers.get("content-length", "0")) > MOST_BYTES:
            raise too_long
    pieces, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > MOST_BYTES:
                    raise too_long
                if not message.get("more_body", False):
                    return b"".join(pieces)
    except TimeoutError as error:
        raise Refused(408, f"The body did not come within {BODY_SECONDS:.0f} seconds.") from error


def _as_json(scope: Scope) -> Scope:
    """Every body is JSON, whatever is said about it, as curl calls what it sends a form; but for a
    form with files."""
    if Headers(scope=scope).get("content-type", "").startswith("multipart/form-data"):
        return scope
    others = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
    return {**scope, "headers": [*others, (b"content-type", b"application/json")]}


def _name_of(host: str) -> str:
    """A Host header without its port."""
    return re.sub(r":\d*$", "", host).lower().rstrip(".")


def _lower(names: Iterable[str]) -> set[str]:
    return {name.lower() for name in names}
