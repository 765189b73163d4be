"""What is sent to `POST /v1/responses`, and what of it is a setting, must be neutral, or changes
nothing.

OpenAI's reference of its API says what each field means: platform.openai.com/docs/api-reference.
"""

from __future__ import annotations

from typing import Any, ClassVar

from gemma_mtp.api import Message, Role
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.bodies import ReplyBody
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.forms import of_openai
from gemma_mtp.server.messages import text_of
from gemma_mtp.server.openai.messages import thinks

_ROLES: dict[Any, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_TOOLS = ("function", "custom")
"""Types of tools that the client runs itself; those that OpenAI runs are skipped."""


class ResponsesBody(ReplyBody):
    """What is asked for."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    stream: bool = False
    max_output_tokens: int | None = None
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
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
        "tool_choice": ("auto", "none"),
        "top_logprobs": (0,),
        "truncation": ("disabled",),
    }
    IGNORED: ClassVar = frozenset(
        {"user", "store", "service_tier", "parallel_tool_calls", "max_tool_calls"}
        | {"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"}
        | {"safety_identifier", "stream_options"}
    )

    @property
    def wants_summary(self) -> bool:
        """Whether a summary of the thoughts is asked for."""
        asked = self.reasoning or {}
        return any(asked.get(name) is not None for name in ("summary", "generate_summary"))

    def asked(self) -> Asked:
        """Raises Unsupported."""
        think = thinks((self.reasoning or {}).get("effort"))
        ignored = ["tools"] if self.tools else []
        ignored += ["text.verbosity"] if (self.text or {}).get("verbosity") is not None else []
        grammar = of_openai((self.text or {}).get("format"), "text.format")
        return self.reply_to(self._messages(), think=think, grammar=grammar, ignored=ignored)

    def check(self) -> None:
        super().check()
        for number, tool in enumerate(self.tools or ()):
            if tool.get("type", "function") in _TOOLS:
                raise Unsupported(f"tools.{number}", "cannot be used: tools are not supported yet")
        if "message.output_text.logprobs" in (self.include or ()):
            raise Unsupported("include", "asks for logprobs, which are not supported")

    def _messages(self) -> list[Message]:
        said = [Message.text("system", self.instructions)] if self.instructions else []
        if isinstance(self.input, str):
            return [*said, Message.text("user", self.input)]
        read = (_message(item, f"input.{number}") for number, item in enumerate(self.input))
        return [*said, *(message for message in read if message is not None)]


def _message(item: dict[str, Any], field: str) -> Message | None:
    """The message that an item is; None for thoughts of earlier replies, which the prompt goes
    without. Raises Unsupported for all else."""
    kind = item.get("type") or "message"
    if kind == "reasoning":
        return None
    if kind != "message":
        what = "only messages are supported yet"
        if kind == "item_reference":
            what = "nothing is kept here that could be referred to"
        raise Unsupported(f"{field}.type", f"is {kind}: {what}")
    role = item.get("role")
    if role not in _ROLES:
        raise Unsupported(f"{field}.role", f"is {role}: it must be one of {', '.join(_ROLES)}")
    if item.get("content") is None:
        raise Unsupported(f"{field}.content", "is missing")
    return Message.text(_ROLES[role], text_of(item.get("content"), f"{field}.content"))
