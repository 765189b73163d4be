"""Calls of tools out of the pieces of a streamed reply, as servers of several kinds send them.

OpenAI's form has one `index` a call, and its id and name in the first piece only. Some servers send
every call under index 0, or none, or repeat id and name. `client` has one of these for each reply.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gemma_mtp.api import ToolCall, ToolCallDelta
from gemma_mtp.text import json_text


@dataclass
class _Call:
    id: str
    name: str
    place: Any  # the server's index
    arguments: str = ""


class Calls:
    """Collects them while a reply comes."""

    def __init__(self) -> None:
        self.warning = ""
        self._calls: list[_Call] = []

    def take(self, pieces: Any) -> Iterator[ToolCallDelta]:
        """The events of the field `tool_calls` of a piece."""
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                yield from self._piece(piece)

    def _piece(self, piece: dict[str, Any]) -> Iterator[ToolCallDelta]:
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        id, name = str(piece.get("id") or ""), str(function.get("name") or "")
        more = function.get("arguments")
        arguments = more if isinstance(more, str) else json_text(more) if more else ""
        call = self._known(piece.get("index"), id, name)
        if call is None:
            call = _Call(id or f"call_{secrets.token_hex(12)}", name, piece.get("index"))
            self._calls.append(call)
            yield ToolCallDelta(len(self._calls) - 1, call.id, name)
        if arguments:
            call.arguments += arguments
            yield ToolCallDelta(self._calls.index(call), arguments=arguments)

    def _known(self, place: Any, id: str, name: str) -> _Call | None:
        """The call that a piece goes on with; None for one that begins."""
        same = [call for call in self._calls if place in (None, call.place)]
        if not same:
            return None
        begins = bool(name and id and id != same[-1].id) or (place is None and bool(name))
        return None if begins else same[-1]

    def made(self, cut: bool) -> tuple[ToolCall, ...]:
        """The calls of a reply that has ended. The last one is left out where a limit has cut it;
        arguments that are no object are passed on under a name, with a warning."""
        calls = [
            ToolCall(call.id, call.name, self._object(call, cut and call is self._calls[-1]))
            for call in self._calls
        ]
        return tuple(call for call in calls if call.arguments)

    def _object(self, call: _Call, cut: bool) -> str:
        text = call.arguments or "{}"
        try:
            if isinstance(json.loads(text), dict):
                return text
        except (ValueError, RecursionError):
            pass
        if cut:
            return ""
        self.warning = (
            f"The server called {call.name} with arguments that are no JSON object. They are"
            ' passed on as they are, as "text".'
        )
        return json_text({"text": text})
