"""Calls of tools as Ollama's clients get them: each in one piece, its arguments an object."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from gemma_mtp.api import Message, ToolCall, ToolCallDelta


def written(calls: Iterable[ToolCall], first: int = 0) -> list[dict[str, Any]]:
    """Calls as a message holds them; the first of them has that number in the reply."""
    return [_written(call, number) for number, call in enumerate(calls, first)]


def _written(call: ToolCall, index: int) -> dict[str, Any]:
    arguments = json.loads(call.arguments or "{}")
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}


class Gathered:
    """The calls of a reply that comes in pieces."""

    def __init__(self) -> None:
        self._begun: ToolCall | None = None
        self._told = 0  # how many were whole before it

    def add(self, piece: ToolCallDelta) -> list[dict[str, Any]]:
        """The call before, where this piece begins another one."""
        before = self._begun
        if not piece.id:
            assert before is not None
            self._begun = replace(before, arguments=before.arguments + piece.arguments)
            return []
        self._begun = ToolCall(piece.id, piece.name, piece.arguments)
        return [] if before is None else self._tell([before])

    def rest(self, message: Message) -> list[dict[str, Any]]:
        """Those of the whole message that were not told yet."""
        return self._tell(islice(message.calls, self._told, None))

    def _tell(self, calls: Iterable[ToolCall]) -> list[dict[str, Any]]:
        found = written(calls, self._told)
        self._told += len(found)
        return found
