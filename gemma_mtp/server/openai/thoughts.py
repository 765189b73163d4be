"""The fields by which programs that speak OpenAI's dialect say how long to think: OpenAI's own, and
those of llama-server, vLLM, SGLang and OpenRouter."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from gemma_mtp.server.thoughts import Thoughts, thoughts

_BUDGET = "Tokens that thoughts may take; below 0, no limit."


class ThoughtFields(BaseModel):
    """Read by `thinks`; what a field says more exactly counts more."""

    reasoning_effort: str | None = None
    reasoning: dict[str, Any] | None = None
    thinking_budget: int | None = Field(None, description=_BUDGET)
    thinking_budget_tokens: int | None = Field(None, description=_BUDGET)
    thinking_token_budget: int | None = Field(None, description=_BUDGET)
    reasoning_budget: int | None = Field(None, description=_BUDGET)
    chat_template_kwargs: dict[str, Any] | None = None

    def thinks(self) -> Thoughts:
        """Raises Unsupported."""
        template, reasoning = self.chat_template_kwargs or {}, self.reasoning or {}
        return thoughts(
            ("thinking_budget", self.thinking_budget),
            ("thinking_budget_tokens", self.thinking_budget_tokens),
            ("thinking_token_budget", self.thinking_token_budget),
            ("reasoning_budget", self.reasoning_budget),
            ("chat_template_kwargs.thinking_budget", template.get("thinking_budget")),
            ("reasoning.max_tokens", reasoning.get("max_tokens")),
            ("reasoning_effort", self.reasoning_effort),
            ("reasoning.effort", reasoning.get("effort")),
            ("reasoning.enabled", reasoning.get("enabled")),
            ("chat_template_kwargs.enable_thinking", template.get("enable_thinking")),
        )

    def unknown_to_template(self) -> list[str]:
        """What is said to a chat template that Gemma's do not know."""
        known = ("enable_thinking", "thinking_budget")
        given = self.chat_template_kwargs or {}
        return [f"chat_template_kwargs.{name}" for name in given if name not in known]
