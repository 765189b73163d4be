"""What Anthropic's clients send, and what of it is a setting, must be neutral, or changes nothing.

Anthropic's reference of its API says what each field means: platform.claude.com/docs/en/api.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from gemma_mtp.api import Message
from gemma_mtp.server.anthropic.messages import Said, read
from gemma_mtp.server.anthropic.tools import TOOLS, Choice, chosen, offered, skipped
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.bodies import NOT_SAID, ReplyBody
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.forms import of_openai
from gemma_mtp.server.messages import Content, joined, texts_of
from gemma_mtp.server.thoughts import Thoughts, thoughts

# Some agents begin their first system block with a line that is for Anthropic's billing and
# differs in each request. It is no part of the prompt: with it, nothing behind it would be found
# in the cache.
_BILLING = re.compile(r"\A\s*x-anthropic-billing-header:[^\n]*\n*", re.IGNORECASE)


class Thinking(BaseModel):
    """Whether the model thinks first, and up to how many tokens."""

    model_config = ConfigDict(extra="allow")

    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class Edits(BaseModel):
    """What Anthropic would take out of a long conversation."""

    model_config = ConfigDict(extra="allow")

    edits: list[dict[str, Any]] = []


class PromptBody(ReplyBody):
    """`POST /v1/messages/count_tokens`, and what a request for a reply has besides."""

    messages: list[Said]
    system: Content = None
    thinking: Thinking | None = None
    tools: list[dict[str, Any]] | None = Field(None, description=TOOLS)
    tool_choice: Choice | None = None
    output_config: dict[str, Any] | None = None
    context_management: Edits | None = None

    SETTINGS: ClassVar = {
        "max_tokens": "max_tokens",
        "stop_sequences": "stop",
        "temperature": "temperature",
        "top_p": "top_p",
        "seed": "seed",
    }
    NEUTRAL: ClassVar = {
        "compaction": (),
        "container": (),
        "mcp_servers": ([],),
        "output_format": (),
        "thread": (),
    }
    IGNORED: ClassVar = frozenset(
        {"metadata", "service_tier", "cache_control", "inference_geo", "speed", "diagnostics"}
        | {"betas", "fallbacks", "fallback_credit_token", "billing_policy", "user_profile_id"}
    )

    def asked(self) -> Asked:
        """Raises Unsupported."""
        grammar = of_openai((self.output_config or {}).get("format"), "output_config.format")
        tools = offered(self.tools)
        return self.reply_to(
            (*self._system(), *read(self.messages)),
            thoughts=self._thoughts(),
            grammar=grammar,
            tools=tools,
            tool_choice=chosen(self.tool_choice, tools),
            ignored=self._without_effect(),
        )

    def _thoughts(self) -> Thoughts:
        if self.thinking is None:
            return NOT_SAID
        return thoughts(
            ("thinking.budget_tokens", self.thinking.budget_tokens),
            ("output_config.effort", (self.output_config or {}).get("effort")),
            ("thinking.type", self.thinking.type != "disabled"),
        )

    def check(self) -> None:
        super().check()
        for number, edit in enumerate((self.context_management or Edits()).edits):
            if not str(edit.get("type")).startswith("clear_"):
                raise Unsupported(f"context_management.edits.{number}")

    def _system(self) -> list[Message]:
        texts = texts_of(self.system, "system")
        texts[:1] = [rest for text in texts[:1] if (rest := _BILLING.sub("", text))]
        return [Message.text("system", joined(texts))] if any(texts) else []

    def _without_effect(self) -> list[str]:
        """Fields that a client should not rely on."""
        found = skipped(self.tools)
        for number, edit in enumerate((self.context_management or Edits()).edits):
            if str(edit.get("type")).startswith("clear_tool_uses"):
                found.append(f"context_management.edits.{number}")
        alone = self.thinking is None and (self.output_config or {}).get("effort") is not None
        return [*found, "output_config.effort"] if alone else found


class MessagesBody(PromptBody):
    """`POST /v1/messages`."""

    max_tokens: int
    stream: bool = False
