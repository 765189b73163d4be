"""What every JSON body has in common: fields that are settings, that must be neutral, or that
change nothing.

A dialect's body is a pydantic model below `Body`, one for a reply below `ReplyBody`; its class says
which field is what. What would change the reply and cannot be had is refused by name; a field that
nobody knows is passed over, and named in the line that `serve` prints.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from gemma_mtp.api import Grammar, Message, Tool, ToolChoice
from gemma_mtp.options import PARAMETERS, SETTINGS
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.thoughts import Thoughts
from gemma_mtp.server.tools import AUTO
from gemma_mtp.text import json_text

OURS = (
    *("draft", "exact", "min_p", "top_k", "repeat_penalty", "repeat_last_n"),
    "think_budget",
)
"""Settings that a client may give under our own name in any dialect."""

YET_TO_COME = {
    "n": "must be 1",
    "tools": "cannot be used with a prompt: a chat takes them",
    "functions": "cannot be used: tools take their place",
    "function_call": "cannot be used: tool_choice takes its place",
    "images": "cannot stand there: they belong into messages",
}
"""What is said about fields that many programs send."""


NOT_SAID = Thoughts()
_TYPES = {float: "number", int: "integer", bool: "boolean"}


def _described(schema: dict[str, Any], body: type[Body]) -> None:
    """Add to the schema of a body what becomes of fields that are not declared by themselves."""
    fields = schema.setdefault("properties", {})
    for name, ours in (dict(zip(OURS, OURS, strict=True)) | body.SETTINGS).items():
        known = SETTINGS[ours]
        plain = known.kind in _TYPES and not known.words  # others come in several forms
        kind = {"type": _TYPES[known.kind]} if plain else {}
        about = f"{known.help} {known.wanted.capitalize()}."
        fields[name] = {**kind, "description": about, **fields.get(name, {})}
    for name, values in body.NEUTRAL.items():
        neutral = " or ".join(map(json_text, values)) or "null"
        fields.setdefault(name, {"description": f"Refused unless it is {neutral}."})
    for name in sorted(body.IGNORED):
        fields.setdefault(name, {"description": "Changes nothing."})


class Body(BaseModel):
    """A JSON object that a client sends."""

    model_config = ConfigDict(extra="allow", json_schema_extra=_described)

    SETTINGS: ClassVar[dict[str, str]] = {}
    """Fields that are a setting of ours, by the client's name."""
    NEUTRAL: ClassVar[dict[str, tuple[Any, ...]]] = {}
    """Fields that would change the reply; only these values of them are accepted."""
    IGNORED: ClassVar[frozenset[str]] = frozenset()
    """Fields that change nothing of a reply."""

    def given(self) -> dict[str, Any]:
        """The fields that the client sent, but for those that are null."""
        sent = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: value for name, value in sent.items() if value is not None}

    def check(self) -> None:
        """Raise Unsupported for the first field that cannot be served as it is meant."""
        for name, value in self.given().items():
            if name in self.NEUTRAL and value not in self.NEUTRAL[name]:
                raise Unsupported(name, YET_TO_COME.get(name, "is not supported"))

    def settings(self) -> dict[str, str]:
        """The client's names of the settings that it gave, and ours."""
        known = {name: name for name in OURS if name in PARAMETERS} | self.SETTINGS
        return {name: known[name] for name in self.given() if name in known}

    def values(self) -> tuple[tuple[str, Any], ...]:
        """The settings that were given, under our names."""
        return tuple((ours, self.given()[name]) for name, ours in self.settings().items())

    def called(self) -> tuple[tuple[str, str], ...]:
        """What the client calls those settings."""
        return tuple((ours, name) for name, ours in self.settings().items())

    def passed_over(self) -> tuple[str, ...]:
        """Fields that nobody here knows."""
        known = {*self.SETTINGS, *OURS, *self.NEUTRAL, *self.IGNORED}
        return tuple(name for name in self.model_extra or () if name not in known)


class ReplyBody(Body):
    """The body of a request for a reply."""

    model: str | None = None
    limit_answer: bool = Field(
        False, description="Whether the limit of tokens is for the answer alone, not its thoughts."
    )

    def reply_to(
        self,
        messages: Iterable[Message] = (),
        *,
        prompt: str | None = None,
        thoughts: Thoughts = NOT_SAID,
        grammar: Grammar | None = None,
        tools: Iterable[Tool] = (),
        tool_choice: ToolChoice = AUTO,
        ignored: Iterable[str] = (),
    ) -> Asked:
        """The reply that is asked for; the arguments are what each dialect writes in its own way.

        `ignored` are fields that have no effect as they were sent. Raises Unsupported.
        """
        self.check()
        return Asked(
            self.model,
            tuple(messages),
            prompt,
            (*thoughts.values, *self.values()),
            (*thoughts.called, *self.called()),
            ignored=(*self.passed_over(), *ignored),
            grammar=grammar,
            tools=tuple(tools),
            tool_choice=tool_choice,
            limit_answer=self.limit_answer,
        )
