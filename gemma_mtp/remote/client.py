"""`RemotePair`: replies of a model that a server elsewhere has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gemma_mtp.api import (
    End,
    Event,
    FinishReason,
    Message,
    PairInfo,
    Progress,
    Request,
    Text,
    TextDelta,
    Thought,
    ToolCall,
)
from gemma_mtp.errors import Cancelled, DoesNotFit, NotCounted, UsageError
from gemma_mtp.remote import errors, metrics
from gemma_mtp.remote.body import body, not_held
from gemma_mtp.remote.calls import Calls
from gemma_mtp.remote.figures import Figures
from gemma_mtp.remote.server import Kind, Model, Server
from gemma_mtp.remote.stream import PATH, chunks

REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}
THOUGHTS = ("reasoning_content", "reasoning")  # fields of a piece that is no answer
METERED = ("vllm", "sglang")


class RemotePair:
    """Keeps the promises of `Replies`."""

    def __init__(self, server: Server, model: Model) -> None:
        self._server, self._model = server, model
        self._info = PairInfo(
            name=model.name,
            context_size=server.context_of(model),
            threads=0,
            gpu_layers=0,
            target_kv_bytes=0,
            drafter_kv_bytes=0,
            target_parameters=0,
            drafter_parameters=0,
            server=server.address,
            images=True,  # which the server knows, and says of a request
            audio=True,
        )

    @property
    def info(self) -> PairInfo:
        return self._info

    def reply(self, request: Request, cancel: threading.Event) -> Iterator[Event]:
        """Events as an engine has them, but for `Prefill`, of which servers say nothing.

        Raises GemmaMtpError, also in the middle of a reply.
        """
        request.check()
        asked = body(request, self._model)
        metered = self._model.kind in METERED
        before = metrics.read(self._server) if metered else None
        reply = _Reply(Figures(self._info.context_size))
        try:
            for chunk in chunks(self._server, asked, cancel.is_set):
                yield from reply.take(chunk)
        except Cancelled:
            reply.reason = "cancelled"
        except DoesNotFit as error:
            self._learn(error.size)
            raise
        if reply.reason is None:
            raise errors.ServerError(
                f"{self._server.address} broke off in the middle of the reply.",
                "Asking again may help.",
            )
        if metered:
            reply.figures.drafts = metrics.between(before, metrics.read(self._server))
        end = reply.end(request, self._model.kind)
        self._learn(end.stats.context_size)
        yield end

    def _learn(self, context_size: int | None) -> None:
        """What the server says of its context, which it may make larger when it is needed."""
        if context_size:
            self._info = replace(self._info, context_size=context_size)

    def count(self, request: Request) -> int:
        """Raises NotCounted where the server cannot say, and GemmaMtpError."""
        asked = body(replace(request, draft="auto"), self._model)
        if self._model.kind == "gemma-mtp":
            found = self._server.post(f"{PATH}/input_tokens", asked)
            return int(found["input_tokens"])
        if self._model.kind == "llama-server":
            prompt = self._server.post("/apply-template", asked)["prompt"]
            plain = {"content": prompt, "parse_special": True}
            return len(self._server.post("/tokenize", plain)["tokens"])
        raise NotCounted("This server does not say how many tokens a text has.")

    def prepare(self, request: Request | None) -> None:
        """A server is not asked for what nobody waits for."""

    def enlarge(self, context: int) -> None:
        """Raises UsageError: the context is the server's."""
        raise UsageError("The server decides how large its context is.")

    def close(self) -> None:
        """Nothing stays open between replies."""


class _Reply:
    """One reply, as it comes."""

    def __init__(self, figures: Figures) -> None:
        self.figures = figures
        self.reason: FinishReason | None = None
        self._answer, self._thought = "", ""
        self._calls = Calls()

    def take(self, chunk: dict[str, Any]) -> Iterator[Event]:
        """The events of one object of the stream."""
        choices = chunk.get("choices") or [{}]
        delta = choices[0].get("delta") or {}
        for name in THOUGHTS:
            if text := delta.get(name):
                yield self._text(str(text), thought=True)
                break
        if text := delta.get("content"):
            yield self._text(str(text), thought=False)
        for call in self._calls.take(delta.get("tool_calls")):
            self.figures.text()
            yield call
        if finish := choices[0].get("finish_reason"):
            self.reason = REASONS.get(str(finish), "stop")
        if self.figures.chunk(chunk):
            yield Progress(self.figures.stats)

    def _text(self, text: str, thought: bool) -> TextDelta:
        self.figures.text()
        if thought:
            self._thought += text
        else:
            self._answer += text
        return TextDelta(text, thought=thought)

    def end(self, request: Request, kind: Kind) -> End:
        calls = self._calls.made(cut=self.reason != "stop")
        return End(
            self.reason or "stop",
            self._message(calls),
            self._thought,
            (),
            self.figures.seed or request.seed or 0,
            self.figures.stats,
            self.figures.warning or self._calls.warning or not_held(request, kind),
            thought_tokens=self.figures.thought_tokens,
            thought_cut=self.figures.thought_cut,
        )

    def _message(self, calls: tuple[ToolCall, ...]) -> Message:
        if not calls:
            return Message.text("assistant", self._answer)
        thoughts = [Thought(self._thought)] if self._thought else []
        texts = [Text(self._answer)] if self._answer.strip() else []
        return Message("assistant", (*thoughts, *texts, *calls))
