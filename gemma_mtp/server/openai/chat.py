"""`POST /v1/chat/completions`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response
from pydantic import Field

from gemma_mtp.api import End, Grammar, TextDelta, ToolCallDelta
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.forms import of_openai
from gemma_mtp.server.openai import messages, stats
from gemma_mtp.server.openai.thoughts import ThoughtFields
from gemma_mtp.server.openai.tools import ToolsBody, piece, written
from gemma_mtp.server.reply import Reply
from gemma_mtp.server.streams import SSE, sse, sse_error, streamed, whole

router = APIRouter()

SAME_SETTINGS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "max_tokens": "max_tokens",
}
"""What completions of both kinds call settings of ours."""


class ChatBody(ThoughtFields, ToolsBody):
    """What is asked for."""

    messages: list[messages.Said]
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    grammar: str = Field("", description="A grammar that the answer fits, in GBNF or Lark.")

    SETTINGS: ClassVar = {**SAME_SETTINGS, "max_completion_tokens": "max_tokens"}
    NEUTRAL: ClassVar = {
        "n": (1,),
        "frequency_penalty": (0,),
        "presence_penalty": (0,),
        "logit_bias": ({},),
        "logprobs": (False,),
        "top_logprobs": (0,),
        "functions": ([],),
        "function_call": ("auto", "none"),
        "modalities": (["text"],),
        "audio": (),
        "web_search_options": (),
    }
    IGNORED: ClassVar = frozenset(
        {"user", "metadata", "store", "service_tier", "prediction"}
        | {"prompt_cache_key", "safety_identifier", "stream_options", "verbosity"}
    )

    def asked(self) -> Asked:
        """Raises Unsupported."""
        form = of_openai(self.response_format, "response_format")
        if form and self.grammar:
            raise Unsupported("grammar", "cannot be used beside response_format")
        grammar = Grammar.written(self.grammar) if self.grammar else form
        offer = self.offer()
        return self.reply_to(
            messages.read(self.messages),
            thoughts=self.thinks(),
            grammar=grammar,
            tools=offer.tools,
            tool_choice=offer.choice,
            ignored=(*offer.skipped, *self.unknown_to_template()),
        )


@router.post("/v1/chat/completions")
async def chat(http: Request, body: ChatBody) -> Response:
    """Write the reply to a conversation."""
    asked = body.asked()
    if body.stream:
        chunks = _Chunks(http, body)
        return await streamed(http, asked, chunks.lines, SSE)
    return await whole(http, asked, _whole)


@router.post("/v1/chat/completions/input_tokens")
async def input_tokens(http: Request, body: ChatBody) -> dict[str, Any]:
    """How many tokens the prompt of a conversation has."""
    return await stats.counted(http, body.asked())


async def _whole(reply: Reply) -> dict[str, Any]:
    end = await reply.end()
    return answer(end, reply.opened.files.called)


def answer(end: End, model: str) -> dict[str, Any]:
    """The whole reply of a model, as one object."""
    calls = end.message.calls
    text = end.message.content or (None if calls else "")
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if end.thought:
        message["reasoning_content"] = end.thought
    if calls:
        message["tool_calls"] = [written(call) for call in calls]
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": _finish_reason(end),
        "logprobs": None,
    }
    head = stats.head("chat.completion", "chatcmpl", model)
    return {**head, "choices": [choice], **stats.figures(end)}


def _finish_reason(end: End) -> str:
    return "tool_calls" if end.reason == "stop" and end.message.calls else stats.finish_reason(end)


class _Chunks:
    """A reply as the chunks of a stream."""

    def __init__(self, http: Request, body: ChatBody) -> None:
        self._http = http
        self._usage = bool((body.stream_options or {}).get("include_usage"))
        # What clients put the pieces of text behind; null is what they get for no text at all.
        self._before = None if body.tools else ""
        self._top: dict[str, Any] = {}

    async def lines(self, reply: Reply) -> AsyncIterator[str]:
        self._top = stats.head("chat.completion.chunk", "chatcmpl", reply.opened.files.called)
        yield self._chunk({"role": "assistant", "content": self._before})
        try:
            async for event in reply:
                if isinstance(event, TextDelta):
                    name = "reasoning_content" if event.thought else "content"
                    yield self._chunk({name: event.text})
                elif isinstance(event, ToolCallDelta):
                    yield self._chunk({"tool_calls": [piece(event)]})
                elif isinstance(event, End):
                    yield self._last(event)
                    if self._usage:
                        yield sse({**self._top, "choices": [], **stats.figures(event)})
        except GemmaMtpError as error:
            yield sse_error(error, self._http)
            return
        yield sse("[DONE]")

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return sse({**self._top, "choices": [choice], **more})

    def _last(self, end: End) -> str:
        figures = stats.figures(end)
        del figures["usage"]  # in a chunk of its own, and only where it was asked for
        return self._chunk({}, _finish_reason(end), **figures)
