"""The answer of `POST /v1/responses`, as one object or as numbered events."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from gemma_mtp.api import End, Request, Sampling, TextDelta, ToolCallDelta
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.server.errors import body as error_body
from gemma_mtp.server.openai import stats
from gemma_mtp.server.openai.responses_body import ResponsesBody
from gemma_mtp.server.openai.responses_items import SUMMARY, THOUGHT, Item, Said, item_of, items_of
from gemma_mtp.server.reply import Reply
from gemma_mtp.server.streams import sse


class Answer:
    """One answer. Thoughts are an item of their own; where a client asks for a summary of them,
    they stand in the summary's place, since nothing here summarizes."""

    def __init__(self, body: ResponsesBody) -> None:
        self._body = body
        self._thought = SUMMARY if body.wants_summary else THOUGHT
        self._id, self._created = f"resp_{secrets.token_hex(12)}", int(time.time())
        self._items: list[Item] = []  # the last one is being written
        self._open = False  # whether it is
        self._number = 0  # of the next event
        self._model, self._sampling = "", Sampling()  # of the reply, once it has begun

    async def whole(self, reply: Reply) -> dict[str, Any]:
        """The answer in one piece."""
        end = await reply.end()
        return self.of(end, reply.opened.files.called, reply.opened.request)

    def of(self, end: End, model: str, request: Request) -> dict[str, Any]:
        """The answer of a model to a request, in one piece."""
        self._model, self._sampling = model, request.sampling
        self._items = [*items_of(end, self._thought)]
        return self._ended(end)

    async def lines(self, reply: Reply) -> AsyncIterator[str]:
        """The answer as events."""
        self._model, self._sampling = reply.opened.files.called, reply.opened.request.sampling
        begun = self._object("in_progress")
        yield self._event("response.created", response=begun)
        yield self._event("response.in_progress", response=begun)
        try:
            async for event in reply:
                if isinstance(event, TextDelta | ToolCallDelta):
                    for line in self._piece(event):
                        yield line
                elif isinstance(event, End):
                    last = self._ended(event)
                    for line in self._close(last["status"]):
                        yield line
                    yield self._event(f"response.{last['status']}", response=last)
        except GemmaMtpError as error:
            failed = self._object("failed", error=_error(error))
            yield self._event("response.failed", response=failed)

    def _piece(self, event: TextDelta | ToolCallDelta) -> Iterator[str]:
        if not self._open or not self._items[-1].goes_on_with(event, self._thought):
            yield from self._close("completed")
            yield from self._begin(item_of(event, self._thought))
        yield from self._of_item(self._items[-1].grown(event))

    def _begin(self, item: Item) -> Iterator[str]:
        self._items.append(item)
        self._open = True
        shown = item.shown("in_progress", begun=False)
        yield self._event("response.output_item.added", output_index=self._index, item=shown)
        yield from self._of_item(item.begun())

    def _close(self, status: str) -> Iterator[str]:
        if not self._open:
            return
        item, self._open = self._items[-1], False
        yield from self._of_item(item.done())
        shown = item.shown(status)
        yield self._event("response.output_item.done", output_index=self._index, item=shown)

    @property
    def _index(self) -> int:
        return len(self._items) - 1

    def _of_item(self, said: Iterator[Said]) -> Iterator[str]:
        place = {"item_id": self._items[-1].id, "output_index": self._index}
        for kind, fields in said:
            yield self._event(kind, **place, **fields)

    def _event(self, kind: str, **fields: Any) -> str:
        self._number += 1
        return sse({"type": kind, "sequence_number": self._number - 1, **fields}, kind)

    def _ended(self, end: End) -> dict[str, Any]:
        cut = stats.finish_reason(end) == "length"
        return self._object(
            "incomplete" if cut else "completed",
            incomplete_details={"reason": "max_output_tokens"} if cut else None,
            completed_at=None if cut else int(time.time()),
            usage=_usage(end),
            timings=stats.timings(end.stats),
            gemma_mtp=stats.ours(end),
        )

    def _object(self, status: str, **more: Any) -> dict[str, Any]:
        """The answer as far as it is; clients demand fields that say nothing."""
        body, sampling = self._body, self._sampling
        last = len(self._items) - 1
        reasoning = body.reasoning or {}
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": self._model,
            "output": [
                item.shown("completed" if number < last or status == "completed" else "incomplete")
                for number, item in enumerate(self._items)
            ],
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": {name: reasoning.get(name) for name in ("effort", "summary")},
            "store": False,
            "temperature": sampling.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": body.tool_choice or "auto",
            "tools": body.functions,
            "top_p": sampling.top_p,
            "truncation": "disabled",
            "usage": None,
            **more,
        }


def _error(error: GemmaMtpError) -> dict[str, Any]:
    """Clients look for context_length_exceeded; for all else they know one word."""
    found = error_body(error, "/v1/responses")["error"]
    return {"code": found["code"] or "server_error", "message": found["message"]}


def _usage(end: End) -> dict[str, Any]:
    counted = end.stats
    return {
        "input_tokens": counted.prompt_tokens,
        "input_tokens_details": {"cached_tokens": counted.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": counted.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": end.thought_tokens},
        "total_tokens": counted.prompt_tokens + counted.completion_tokens,
    }
