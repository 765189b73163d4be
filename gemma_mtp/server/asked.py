"""What a client asks for, whatever dialect it speaks. Made by the dialects, served by `engines`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gemma_mtp.api import Grammar, Message, Request, Text, Tool, ToolChoice, ToolResult
from gemma_mtp.options import SETTINGS, Options
from gemma_mtp.server.messages import in_turns
from gemma_mtp.server.tools import AUTO, check_results
from gemma_mtp.text import clean


@dataclass(frozen=True)
class Asked:
    """One reply that a client wants.

    `values` are settings under our names, as the client gave them; `called` says what the client
    calls those that have another name there. `prompt` is raw text in place of messages. `context`
    is the context size that was asked for, in tokens. `keep_alive` is in seconds, below 0 for good,
    None where the client does not say. `ignored` are fields that were accepted and change nothing.
    `limit_answer`: thoughts do not count for the limit of tokens, as they do in all dialects.
    `grammar` is what the answer has to look like; `tools` may be called as `tool_choice` says.
    """

    model: str | None
    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    values: tuple[tuple[str, Any], ...] = ()
    called: tuple[tuple[str, str], ...] = ()
    context: int | None = None
    keep_alive: float | None = None
    ignored: tuple[str, ...] = ()
    grammar: Grammar | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = AUTO
    limit_answer: bool = False

    def options(self, served: Options) -> Options:
        """What `serve` was started with, and over it what this client gave; the layers that `serve`
        was given for the GPU stay.

        Raises UsageError with the client's own name of the first value that is out of range.
        """
        names = dict(self.called)
        values = {
            SETTINGS[name].field: SETTINGS[name].accept(value, names.get(name, name))
            for name, value in self.values
        }
        if served.gpu_layers is not None:
            values.pop("gpu_layers", None)
        return served.with_values(**values)

    def request(self, options: Options, opening: tuple[Message, ...] = ()) -> Request:
        """The request, as the engine takes it; `opening` is what each conversation begins with.
        Raises UsageError."""
        check_results(self.messages)
        messages = in_turns([_as_typed(message) for message in self.messages])
        has_system = any(message.role == "system" for message in messages)
        if options.system and not has_system and self.prompt is None:
            messages = (Message.text("system", options.system), *messages)
        if opening and self.prompt is None:
            head = 1 if messages[:1] and messages[0].role == "system" else 0
            messages = in_turns([*messages[:head], *opening, *messages[head:]])
        request = replace(
            Request.of(messages, options),
            prompt=self.prompt,
            grammar=self.grammar,
            tools=self.tools,
            tool_choice=self.tool_choice,
            limit_answer=self.limit_answer,
        )
        request.check()
        return request

    def without_values(self) -> Asked:
        """For counting, where nothing but the prompt matters; thinking is asked for in it."""
        kept = tuple(value for value in self.values if value[0] in ("think", "think_budget"))
        return replace(self, values=kept, called=())


def _as_typed(message: Message) -> Message:
    """A message as `chat` and `run` would send it, so that the same words get the same reply; what
    a model has said stays as it is."""
    if message.role == "assistant":
        return message
    parts = (
        replace(part, text=clean(part.text)) if isinstance(part, Text | ToolResult) else part
        for part in message.parts
    )
    return Message(message.role, tuple(parts))
