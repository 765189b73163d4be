"""`POST /v1/completions`: what follows a text that is a prompt as it stands, with no chat
template."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response

from gemma_mtp.api import End, TextDelta
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.bodies import ReplyBody
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.openai import stats
from gemma_mtp.server.openai.chat import SAME_SETTINGS
from gemma_mtp.server.reply import Reply
from gemma_mtp.server.streams import SSE, sse, sse_error, streamed, whole

router = APIRouter()


class CompletionBody(ReplyBody):
    """What is asked for."""

    prompt: str | list[Any]
    echo: bool = False
    stream: bool = False
    stream_options: dict[str, Any] | None = None

    SETTINGS: ClassVar = SAME_SETTINGS
    NEUTRAL: ClassVar = {
        "n": (1,),
        "best_of": (1,),
        "suffix": ("",),
        "logprobs": (),
        "logit_bias": ({},),
        "frequency_penalty": (0,),
        "presence_penalty": (0,),
    }
    IGNORED: ClassVar = frozenset({"user"})

    @property
    def text(self) -> str:
        """The one prompt. Raises Unsupported for several, and for one of tokens."""
        prompts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        if any(not isinstance(prompt, str) for prompt in prompts):
            raise Unsupported("prompt", "is a list of tokens: only texts are supported")
        if len(prompts) != 1:
            raise Unsupported("prompt", f"holds {len(prompts)} texts: only one is supported")
        return str(prompts[0])

    def asked(self) -> Asked:
        """Raises Unsupported."""
        return self.reply_to(prompt=self.text)


@router.post("/v1/completions")
async def completions(http: Request, body: CompletionBody) -> Response:
    """Write what follows a prompt."""
    if body.stream:
        return await streamed(http, body.asked(), _Chunks(http, body).lines, SSE)

    async def form(reply: Reply) -> dict[str, Any]:
        return answer(await reply.end(), reply.opened.files.called, body)

    return await whole(http, body.asked(), form)


def answer(end: End, model: str, body: CompletionBody) -> dict[str, Any]:
    """The whole reply of a model to a body, as one object."""
    top = stats.head("text_completion", "cmpl", model)
    text = _before(body) + end.message.content
    return {**_object(top, text, stats.finish_reason(end)), **stats.figures(end)}


def _before(body: CompletionBody) -> str:
    return body.text if body.echo else ""


def _object(top: dict[str, Any], text: str, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    return {**top, "choices": [choice]}


class _Chunks:
    """A reply as the chunks of a stream."""

    def __init__(self, http: Request, body: CompletionBody) -> None:
        self._http, self._before = http, _before(body)
        self._usage = bool((body.stream_options or {}).get("include_usage"))
        self._top: dict[str, Any] = {}

    async def lines(self, reply: Reply) -> AsyncIterator[str]:
        """The reply as it comes."""
        self._top = stats.head("text_completion", "cmpl", reply.opened.files.called)
        if self._before:
            yield sse(self._object(self._before))
        try:
            async for event in reply:
                if isinstance(event, TextDelta) and not event.thought:
                    yield sse(self._object(event.text))
                elif isinstance(event, End):
                    figures = stats.figures(event)
                    usage = {"usage": figures.pop("usage")}
                    yield sse({**self._object("", stats.finish_reason(event)), **figures})
                    if self._usage:
                        yield sse({**self._top, "choices": [], **usage})
        except GemmaMtpError as error:
            yield sse_error(error, self._http)
            return
        yield sse("[DONE]")

    def _object(self, text: str, finish: str | None = None) -> dict[str, Any]:
        return _object(self._top, text, finish)
