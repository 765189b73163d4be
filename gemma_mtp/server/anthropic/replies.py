"""`POST /v1/messages` and `POST /v1/messages/count_tokens`."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response

from gemma_mtp.api import End, Prefill, Text, TextDelta, ToolCall, ToolCallDelta
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.server.anthropic.bodies import MessagesBody, PromptBody
from gemma_mtp.server.openai import stats
from gemma_mtp.server.reply import Reply
from gemma_mtp.server.streams import SSE, engines, sse, sse_error, streamed, whole

router = APIRouter()

SIGNATURE = "gemma-mtp"
"""Clients pass the signature of a thought back and some demand one. Here it signs nothing: thoughts
that come back are left out of the prompt."""

_REASONS = {"length": "max_tokens", "context": "model_context_window_exceeded"}


@router.post("/v1/messages")
async def messages(http: Request, body: MessagesBody) -> Response:
    """Write the reply to a conversation."""
    asked = body.asked()
    written = _Written(http, body)
    if body.stream:
        return await streamed(http, asked, written.lines, SSE, _event("ping"))
    return await whole(http, asked, written.whole)


@router.post("/v1/messages/count_tokens")
async def count_tokens(http: Request, body: PromptBody) -> dict[str, Any]:
    """How many tokens the prompt of a conversation has."""
    return {"input_tokens": await engines(http).count(body.asked())}


class _Written:
    """What is written of one reply."""

    def __init__(self, http: Request, body: MessagesBody) -> None:
        self._http, self._body = http, body
        self._hides_thoughts = bool(body.thinking and body.thinking.display == "omitted")
        self._begun = False
        self._block = -1  # the number of the block that is being written, or was last
        self._kind = ""  # its type; "" between blocks

    async def whole(self, reply: Reply) -> dict[str, Any]:
        """The reply in one piece."""
        end = await reply.end()
        content: list[dict[str, Any]] = []
        if end.thought:
            thought = "" if self._hides_thoughts else end.thought
            content.append({"type": "thinking", "thinking": thought, "signature": SIGNATURE})
        for part in end.message.parts:
            if isinstance(part, Text) and part.text:
                content.append({"type": "text", "text": part.text})
            elif isinstance(part, ToolCall):
                content.append(_tool_use(part.id, part.name, json.loads(part.arguments or "{}")))
        figures = self._figures(end)
        return {**_message(reply, figures.pop("usage"), content), **_ended(end), **figures}

    async def lines(self, reply: Reply) -> AsyncIterator[str]:
        """The reply as events."""
        try:
            async for event in reply:
                if isinstance(event, Prefill | End) and not self._begun:
                    for line in self._start(reply, event):
                        yield line
                if isinstance(event, TextDelta):
                    for line in self._text(event):
                        yield line
                elif isinstance(event, ToolCallDelta):
                    for line in self._call(event):
                        yield line
                elif isinstance(event, End):
                    for line in self._last(event):
                        yield line
        except GemmaMtpError as error:
            yield sse_error(error, self._http, "error")

    def _start(self, reply: Reply, event: Prefill | End) -> Iterator[str]:
        self._begun = True
        read = (event.total, event.cached) if isinstance(event, Prefill) else (0, 0)
        yield _event("message_start", message=_message(reply, _usage(*read), []))
        yield _event("ping")

    def _text(self, event: TextDelta) -> Iterator[str]:
        kind = "thinking" if event.thought else "text"
        if kind != self._kind:
            empty = {"type": kind, kind: ""}
            if event.thought:
                empty["signature"] = ""
            yield from self._open(empty)
        if not (event.thought and self._hides_thoughts):
            yield self._delta(f"{kind}_delta", kind, event.text)

    def _call(self, event: ToolCallDelta) -> Iterator[str]:
        if event.id:  # the first piece of a call has it
            yield from self._open(_tool_use(event.id, event.name, {}))
        if event.arguments:
            yield self._delta("input_json_delta", "partial_json", event.arguments)

    def _open(self, block: dict[str, Any]) -> Iterator[str]:
        yield from self._close()
        self._block, self._kind = self._block + 1, block["type"]
        yield _event("content_block_start", index=self._block, content_block=block)

    def _close(self) -> Iterator[str]:
        if self._kind == "thinking":
            yield self._delta("signature_delta", "signature", SIGNATURE)
        if self._kind:
            yield _event("content_block_stop", index=self._block)
        self._kind = ""

    def _delta(self, kind: str, field: str, text: str) -> str:
        return _event("content_block_delta", index=self._block, delta={"type": kind, field: text})

    def _last(self, end: End) -> Iterator[str]:
        yield from self._close()
        yield _event("message_delta", delta=_ended(end), **self._figures(end))
        yield _event("message_stop")

    def _figures(self, end: End) -> dict[str, Any]:
        found = end.stats
        return {
            "usage": {
                **_usage(found.prompt_tokens, found.cached_tokens, found.completion_tokens),
                "output_tokens_details": {"thinking_tokens": end.thought_tokens},
            },
            "timings": stats.timings(found),
            "gemma_mtp": stats.ours(end),
        }


def _event(kind: str, **fields: Any) -> str:
    return sse({"type": kind, **fields}, kind)


def _message(reply: Reply, usage: dict[str, Any], content: list[Any]) -> dict[str, Any]:
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": reply.opened.files.called,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _usage(prompt: int, cached: int, written: int = 0) -> dict[str, Any]:
    """Anthropic counts what comes from the cache apart; `input_tokens` are those evaluated anew."""
    return {
        "input_tokens": prompt - cached,
        "cache_creation_input_tokens": 0,  # all of it stays in the cache, at no price
        "cache_read_input_tokens": cached,
        "output_tokens": written,
    }


def _tool_use(id: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """A call; its id as Anthropic's look."""
    id = f"toolu_{id.removeprefix('call_')}"
    return {"type": "tool_use", "id": id, "name": name, "input": arguments}


def _ended(end: End) -> dict[str, Any]:
    usual = "tool_use" if end.message.calls else "end_turn"
    reason = "stop_sequence" if end.stopped_at else _REASONS.get(end.reason, usual)
    return {"stop_reason": reason, "stop_sequence": end.stopped_at or None}
