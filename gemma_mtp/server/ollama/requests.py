"""Requests as they come: Ollama takes every body for JSON, whatever its type is said to be."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

JSON = (b"content-type", b"application/json")


class AnyContentType(APIRoute):
    """A route for clients such as `curl -d`, which call their JSON a form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def as_json(http: Request) -> Response:
            others = [pair for pair in http.scope["headers"] if pair[0] != JSON[0]]
            return await handle(Request({**http.scope, "headers": [*others, JSON]}, http.receive))

        return as_json
