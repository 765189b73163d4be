"""What is sent to `POST /v1/responses`, and what of it is a setting, must be neutral, or changes
nothing.

OpenAI's reference of its API says what each field means: platform.openai.com/docs/api-reference.
"""

from __future__ import annotations

from typing import Any, ClassVar

from gemma_mtp.api import Message, Role, Thought
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.forms import of_openai
from gemma_mtp.server.messages import parts_of, text_of
from gemma_mtp.server.openai.tools import FUNCTION, ToolsBody
from gemma_mtp.server.thoughts import thoughts
from gemma_mtp.server.tools import call, result

_ROLES: dict[Any, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_CALLS = ("function_call", "custom_tool_call")
_RESULTS = ("function_call_output", "custom_tool_call_output")
"""A custom tool takes a text. No model here calls one, but a conversation that another model began
may hold such calls."""


class ResponsesBody(ToolsBody):
    """What is asked for."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    stream: bool = False
    max_output_tokens: int | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    include: list[str] | None = None
    metadata: dict[str, Any] | None = None

    SETTINGS: ClassVar = {
        "temperature": "temperature",
        "top_p": "top_p",
        "max_output_tokens": "max_tokens",
        "seed": "seed",
    }
    NEUTRAL: ClassVar = {
        "background": (False,),
        "context_management": ([],),
        "conversation": (),
        "image": (),
        "moderation": (),
        "previous_response_id": (),
        "prompt": (),
        "top_logprobs": (0,),
        "truncation": ("disabled",),
    }
    IGNORED: ClassVar = frozenset(
        {"user", "store", "service_tier", "max_tool_calls"}
        | {"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"}
        | {"safety_identifier", "stream_options"}
    )

    @property
    def wants_summary(self) -> bool:
        """Whether a summary of the thoughts is asked for."""
        asked = self.reasoning or {}
        return any(asked.get(name) is not None for name in ("summary", "generate_summary"))

    @property
    def functions(self) -> list[dict[str, Any]]:
        """The tools that can be called, with all that clients expect of one."""
        whole = {"description": None, "parameters": None, "strict": True}
        return [{**whole, **tool} for tool in self.tools or () if tool.get("type") == FUNCTION]

    def asked(self) -> Asked:
        """Raises Unsupported."""
        offer = self.offer()
        verbosity = (self.text or {}).get("verbosity")
        return self.reply_to(
            self._messages(),
            thoughts=thoughts(("reasoning.effort", (self.reasoning or {}).get("effort"))),
            grammar=of_openai((self.text or {}).get("format"), "text.format"),
            tools=offer.tools,
            tool_choice=offer.choice,
            ignored=(*offer.skipped, *([] if verbosity is None else ["text.verbosity"])),
        )

    def check(self) -> None:
        super().check()
        if "message.output_text.logprobs" in (self.include or ()):
            raise Unsupported("include", "asks for logprobs, which are not supported")

    def _messages(self) -> list[Message]:
        said = [Message.text("system", self.instructions)] if self.instructions else []
        if isinstance(self.input, str):
            return [*said, Message.text("user", self.input)]
        read = (_message(item, f"input.{number}") for number, item in enumerate(self.input))
        return [*said, *(message for message in read if message is not None)]


def _message(item: dict[str, Any], field: str) -> Message | None:
    """The message that an item is; None for thoughts that nobody can read. Raises Unsupported."""
    kind = item.get("type") or "message"
    if kind == "message":
        return _said(item, field)
    if kind == "reasoning":
        text = text_of(item.get("content") or item.get("summary") or "", field)
        return Message("assistant", (Thought(text),)) if text else None
    if kind in _CALLS:
        given = item.get("arguments") if kind == _CALLS[0] else {"input": item.get("input")}
        made = call(item.get("call_id"), item.get("name"), given, field, "call_id")
        return Message("assistant", (made,))
    if kind in _RESULTS:
        return result(item.get("call_id"), item.get("output"), field, "call_id", "output")
    what = "only messages, thoughts, and calls of functions are supported"
    if kind == "item_reference":
        what = "nothing is kept here that could be referred to"
    raise Unsupported(f"{field}.type", f"is {kind}: {what}")


def _said(item: dict[str, Any], field: str) -> Message:
    role = item.get("role")
    if role not in _ROLES:
        raise Unsupported(f"{field}.role", f"is {role}: it must be one of {', '.join(_ROLES)}")
    if item.get("content") is None:
        raise Unsupported(f"{field}.content", "is missing")
    if role == "user":
        return Message("user", parts_of(item.get("content"), f"{field}.content"))
    return Message.text(_ROLES[role], text_of(item.get("content"), f"{field}.content"))
