"""A model that replies to programs, and its replies. `opening` makes one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast, overload

from gemma_mtp.api import (
    End,
    Event,
    FinishReason,
    Message,
    PairInfo,
    Replies,
    Request,
    Stats,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
)
from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.library.asked import REPLY, File, Said, messages_of, read, shown
from gemma_mtp.library.forms import Function, adapter, choice_of, declared, form_of, result
from gemma_mtp.options import Options

T = TypeVar("T")
CALLS = 16  # replies in a row that call functions; then the last one is handed back as it is


@dataclass(frozen=True)
class Reply(Generic[T]):
    """A reply that is over. `reason` says why: stop, length, context or cancelled. `calls` are
    those of tools that are no functions. `messages` are the conversation with this reply at its
    end."""

    text: str
    thought: str
    calls: tuple[ToolCall, ...]
    stats: Stats
    reason: FinishReason
    seed: int
    warning: str
    messages: tuple[Message, ...]
    schema: type[T] | Mapping[str, Any] | None = None

    @property
    def value(self) -> T:
        """What the text is in the form of the schema that was asked for. Raises GemmaMtpError where
        there was none or a limit cut the text."""
        if self.schema is None:
            raise GemmaMtpError("This reply has no value: no schema was asked for.")
        if self.reason != "stop" or self.calls:
            raise GemmaMtpError("This reply has no value: it ended before its text was whole.")
        if isinstance(self.schema, Mapping):
            return cast(T, json.loads(self.text))
        return cast(T, adapter(self.schema).validate_json(self.text))


class Stream(Generic[T]):
    """The pieces of a reply as they come: of its text, its thoughts (`thought` is true) and its
    calls. `reply` is there once they have all been read."""

    reply: Reply[T]

    def __init__(self, pieces: Callable[[Stream[T]], Iterator[TextDelta | ToolCallDelta]]) -> None:
        self._pieces = pieces(self)

    def __iter__(self) -> Iterator[TextDelta | ToolCallDelta]:
        return self._pieces


class Model:
    """A model that replies, one reply at a time. `with` closes it."""

    def __init__(
        self, replies: Replies, options: Options, opening: tuple[Message, ...] = ()
    ) -> None:
        """`opening`: messages that each conversation begins with."""
        self._replies, self._options, self._opening = replies, options, opening
        self._closed = False

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """A model in the resident engine stays loaded as `keep_alive` says, one here does not.
        What is asked of it from then on raises GemmaMtpError."""
        if not self._closed:
            self._closed = True
            self._replies.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("This model is closed.", "gemma_mtp.open makes another one.")

    @property
    def info(self) -> PairInfo:
        """The model and its drafter."""
        return self._replies.info

    @overload
    def chat(
        self, said: Said | Sequence[Said], *, schema: type[T], choices: None = None,
        tools: Sequence[Function | Tool] = (), tool_choice: Function | str = "auto",
        images: Sequence[File] = (), audio: Sequence[File] = (), **settings: Any,
    ) -> Reply[T]: ...  # fmt: skip
    @overload
    def chat(
        self, said: Said | Sequence[Said], *, schema: Mapping[str, Any] | None = None,
        choices: Sequence[str] | None = None, tools: Sequence[Function | Tool] = (),
        tool_choice: Function | str = "auto", images: Sequence[File] = (),
        audio: Sequence[File] = (), **settings: Any,
    ) -> Reply[Any]: ...  # fmt: skip
    def chat(
        self, said: Said | Sequence[Said], *, schema: Any = None,
        choices: Sequence[str] | None = None, tools: Sequence[Function | Tool] = (),
        tool_choice: Function | str = "auto", images: Sequence[File] = (),
        audio: Sequence[File] = (), **settings: Any,
    ) -> Reply[Any]:  # fmt: skip
        """The reply to a text or a conversation.

        `schema`: a JSON Schema, or a type such as a dataclass, whose form the text has; `choices`:
        texts of which it is one. Functions among the `tools` are run when the model calls them, and
        told what came of it. `tool_choice` is "auto", "none", "required", or one of the tools,
        itself or its name; what is demanded holds for the first reply. `images` and `audio` go
        along with the last message: paths of pictures and of recordings, or their bytes. `settings`
        are those of `gemma-mtp run`. Raises GemmaMtpError.
        """
        stream = self.stream(
            said, schema=schema, choices=choices, tools=tools, tool_choice=tool_choice,
            images=images, audio=audio, **settings,
        )  # fmt: skip
        for _ in stream:
            pass
        return stream.reply

    def stream(
        self, said: Said | Sequence[Said], *, schema: Any = None,
        choices: Sequence[str] | None = None, tools: Sequence[Function | Tool] = (),
        tool_choice: Function | str = "auto", images: Sequence[File] = (),
        audio: Sequence[File] = (), **settings: Any,
    ) -> Stream[Any]:  # fmt: skip
        """As `chat`, piece by piece. Who stops reading stops the reply."""
        self._check_open()
        options = self._options.with_values(**read(settings, REPLY))
        said = shown(said, images=images, audio=audio)
        request = replace(
            Request.of(messages_of(said, options.system, self._opening), options),
            grammar=form_of(schema, choices),
            tools=tuple(tool if isinstance(tool, Tool) else declared(tool) for tool in tools),
            tool_choice=choice_of(tool_choice),
        )
        request.check()
        functions = {tool.__name__: tool for tool in tools if not isinstance(tool, Tool)}
        return Stream(lambda stream: self._write(stream, request, functions, schema))

    def count(self, said: Said | Sequence[Said]) -> int:
        """How many tokens the prompt of a text or a conversation has."""
        self._check_open()
        messages = messages_of(said, self._options.system, self._opening)
        return self._replies.count(Request.of(messages, self._options))

    def _write(
        self, stream: Stream[Any], request: Request, functions: Mapping[str, Function], schema: Any
    ) -> Iterator[TextDelta | ToolCallDelta]:
        stats, thoughts = Stats(), list[str]()
        for left in reversed(range(CALLS)):
            for event in self._events(request):
                if isinstance(event, TextDelta | ToolCallDelta):
                    yield event
            assert isinstance(event, End), "the last event of a reply"
            end = event
            stats = end.stats if not thoughts else stats + end.stats
            thoughts.append(end.thought)
            request = replace(request, messages=(*request.messages, end.message))
            calls = end.message.calls
            if not calls or not left or any(call.name not in functions for call in calls):
                break
            results = [result(call, functions[call.name]) for call in calls]
            messages = (*request.messages, Message("tool", (*results,)))
            choice = request.tool_choice
            if choice.mode == "required":  # it was called, and the model is to answer now
                choice = ToolChoice()
            request = replace(request, messages=messages, tool_choice=choice)
        stream.reply = Reply(
            end.message.content, "\n".join(filter(None, thoughts)), calls, stats, end.reason,
            end.seed, end.warning, request.messages, schema,
        )  # fmt: skip

    def _events(self, request: Request) -> Iterator[Event]:
        cancel = threading.Event()
        try:
            self._check_open()
            for event in self._replies.reply(request, cancel):
                yield event
                self._check_open()
        finally:
            cancel.set()
