"""`POST /api/chat` and `POST /api/generate`: replies as lines of JSON, or in one piece."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from gemma_mtp.api import End, Event, Loading, TextDelta, ToolCallDelta, Waiting
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.models.gguf import describe
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.errors import Refused, Unsupported
from gemma_mtp.server.errors import body as error_body
from gemma_mtp.server.ollama.about import header_of, knows_thinking
from gemma_mtp.server.ollama.bodies import Asking, ChatBody, GenerateBody
from gemma_mtp.server.ollama.calls import Gathered, written
from gemma_mtp.server.ollama.names import shown
from gemma_mtp.server.openai import stats
from gemma_mtp.server.record import record_of
from gemma_mtp.server.reply import Reply
from gemma_mtp.server.streams import NDJSON, attended, engines, json_line, streamed, whole
from gemma_mtp.server.threads import in_thread
from gemma_mtp.text import timestamp

router = APIRouter()

Calls = list[dict[str, Any]]
Words = Callable[[str, str, Calls], dict[str, Any]]
"""An answer, thoughts and calls, or pieces of these, as one of the routes writes them."""

NANOSECONDS = 10**9


def _of_chat(answer: str, thoughts: str, calls: Calls) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer}
    if thoughts:
        message["thinking"] = thoughts
    if calls:
        message["tool_calls"] = calls
    return {"message": message}


def _of_generate(answer: str, thoughts: str, calls: Calls) -> dict[str, Any]:
    words = {"response": answer}  # and no calls: it takes no tools
    return {**words, "thinking": thoughts} if thoughts else words


@router.post("/api/chat")
async def chat(http: Request, body: ChatBody) -> Response:
    """Write the reply to a conversation; without one, load or unload the model."""
    return await _serve(http, body, _of_chat)


@router.post("/api/generate")
async def generate(http: Request, body: GenerateBody) -> Response:
    """Write what follows a prompt; without one, load or unload the model."""
    return await _serve(http, body, _of_generate)


async def _serve(http: Request, body: ChatBody | GenerateBody, words: Words) -> Response:
    asked, begun = body.read(), time.monotonic()
    model = await in_thread(lambda: _model(http, body, asked))
    answer = _Written(http, words, model, begun)
    if body.is_empty:
        record_of(http).model = model
        if body.unloads:
            await in_thread(lambda: _unload(http, body))
            record_of(http).note = "unloaded"
            return JSONResponse(answer.last("unload"))
        await attended(http, lambda cancel: engines(http).load(asked, cancel))
        record_of(http).note = "loaded"
        return JSONResponse(answer.last("load", **answer.times()))
    if body.streams:
        return await streamed(http, asked, answer.lines, NDJSON)
    return await whole(http, asked, answer.whole)


def _model(http: Request, body: Asking, asked: Asked) -> str:
    """What the reply calls the model: as the client does.

    Raises ModelNotAvailable, and Refused for thoughts or a context that cannot be had.
    """
    if body.model and not (body.wants_thoughts or asked.context):
        return body.model
    files = engines(http).find(body.model)
    header = header_of(files.target)
    if body.wants_thoughts and not knows_thinking(header):
        raise Unsupported("think", f"cannot be had: {files.name} does not support thinking")
    longest = describe(header).context_length
    if asked.context and 0 < longest < asked.context:
        field, limit = "options.num_ctx", f"the context that {files.name} was trained with"
        what = f"{field} must be at most {longest}, {limit}, not {asked.context}."
        raise Refused(400, what, field=field)
    return body.model or shown(files.called)


def _unload(http: Request, body: Asking) -> None:
    engines(http).unload(engines(http).find(body.model).name)


class _Written:
    """What is written of one reply."""

    def __init__(self, http: Request, words: Words, model: str, begun: float) -> None:
        self._http, self._words, self._model, self._begun = http, words, model, begun
        self._loaded: float | None = None  # when the model was ready

    async def lines(self, reply: Reply) -> AsyncIterator[str]:
        """The reply piece by piece, then a line with the figures."""
        calls = Gathered()
        try:
            async for event in self._events(reply):
                if isinstance(event, TextDelta):
                    yield self._text(event)
                elif isinstance(event, ToolCallDelta) and (whole := calls.add(event)):
                    yield self._line("", "", whole)
                elif isinstance(event, End):
                    if rest := calls.rest(event.message):
                        yield self._line("", "", rest)
                    yield json_line(self._end(event))
        except GemmaMtpError as error:
            yield json_line(error_body(error, self._http.url.path))

    async def whole(self, reply: Reply) -> dict[str, Any]:
        """The reply in one piece, figures included."""
        found: dict[str, Any] = {}
        async for event in self._events(reply):
            if isinstance(event, End):
                calls = written(event.message.calls)
                words = self._words(event.message.content, event.thought, calls)
                found = {**self._end(event), **words}
        return found

    def last(self, reason: str, **figures: Any) -> dict[str, Any]:
        """The object that ends a reply."""
        return {**self._head("", "", []), "done": True, "done_reason": reason, **figures}

    def times(self, spent: float = 0.0) -> dict[str, int]:
        """The whole time and that until the model was ready, in nanoseconds. `spent` seconds were
        needed for prompt and reply: the first event may be seen together with later ones."""
        now = time.monotonic()
        loading = min((self._loaded or now) - self._begun, now - self._begun - spent)
        return {
            "total_duration": _nanoseconds(now - self._begun),
            "load_duration": _nanoseconds(max(loading, 0.0)),
        }

    async def _events(self, reply: Reply) -> AsyncIterator[Event]:
        async for event in reply:
            if self._loaded is None and not isinstance(event, Waiting | Loading):
                self._loaded = time.monotonic()
            yield event

    def _head(self, answer: str, thoughts: str, calls: Calls) -> dict[str, Any]:
        words = self._words(answer, thoughts, calls)
        return {"model": self._model, "created_at": timestamp(datetime.now(UTC)), **words}

    def _text(self, event: TextDelta) -> str:
        return self._line("", event.text, []) if event.thought else self._line(event.text, "", [])

    def _line(self, answer: str, thoughts: str, calls: Calls) -> str:
        return json_line({**self._head(answer, thoughts, calls), "done": False})

    def _end(self, end: End) -> dict[str, Any]:
        found = end.stats
        return self.last(
            stats.finish_reason(end),
            **self.times(found.prefill_seconds + found.decode_seconds),
            prompt_eval_count=found.prompt_tokens,
            prompt_eval_duration=_nanoseconds(found.prefill_seconds),
            eval_count=found.completion_tokens,
            eval_duration=_nanoseconds(found.decode_seconds),
            timings=stats.timings(found),
            gemma_mtp=stats.ours(end),
        )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * NANOSECONDS)
