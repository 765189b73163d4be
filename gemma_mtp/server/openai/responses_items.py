"""The items that an answer of `POST /v1/responses` is made of: thoughts, messages, and calls."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gemma_mtp.api import End, TextDelta, ToolCallDelta

_ARGUMENTS = "response.function_call_arguments"


@dataclass(frozen=True)
class Form:
    """How a text is written.

    Its item holds it in the field `holder`, as a part of type `part`. What events are called begins
    with `parts` where they are about the part, and with `texts` where about its text; `index` is
    their field that says which part it is. `more` is what a part has besides, `said` what events
    about text have.
    """

    holder: str
    part: str
    parts: str
    texts: str
    index: str
    more: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)


ANSWER = Form(
    holder="content",
    part="output_text",
    parts="response.content_part",
    texts="response.output_text",
    index="content_index",
    more={"annotations": [], "logprobs": []},
    said={"logprobs": []},
)
THOUGHT = Form(
    holder="content",
    part="reasoning_text",
    parts="response.content_part",
    texts="response.reasoning_text",
    index="content_index",
)
SUMMARY = Form(
    holder="summary",
    part="summary_text",
    parts="response.reasoning_summary_part",
    texts="response.reasoning_summary_text",
    index="summary_index",
)

Said = tuple[str, dict[str, Any]]
"""An event about an item: its type, and what it says besides where the item stands."""


@dataclass
class Written:
    """A thought or a message; `text` grows."""

    form: Form
    text: str = ""
    id: str = field(init=False)

    def __post_init__(self) -> None:
        prefix = "msg" if self.form is ANSWER else "rs"
        self.id = f"{prefix}_{secrets.token_hex(12)}"

    def goes_on_with(self, event: TextDelta | ToolCallDelta, thought: Form) -> bool:
        """Whether the event is a piece of this item; thoughts have the form `thought`."""
        return isinstance(event, TextDelta) and self.form is (thought if event.thought else ANSWER)

    def begun(self) -> Iterator[Said]:
        """The events with which its part begins."""
        yield f"{self.form.parts}.added", {self.form.index: 0, "part": self._part}

    def grown(self, event: TextDelta | ToolCallDelta) -> Iterator[Said]:
        """Take a piece of it, and say so."""
        assert isinstance(event, TextDelta)
        self.text += event.text
        yield self._of_text("delta", delta=event.text)

    def done(self) -> Iterator[Said]:
        """The events with which it ends."""
        yield self._of_text("done", text=self.text)
        yield f"{self.form.parts}.done", {self.form.index: 0, "part": self._part}

    def _of_text(self, what: str, **fields: Any) -> Said:
        return f"{self.form.texts}.{what}", {self.form.index: 0, **fields, **self.form.said}

    @property
    def _part(self) -> dict[str, Any]:
        """The part that holds the text."""
        return {"type": self.form.part, "text": self.text, **self.form.more}

    def shown(self, status: str, begun: bool = True) -> dict[str, Any]:
        """As JSON; with no part yet, where that has not begun."""
        held = {self.form.holder: [self._part] if begun else []}
        if self.form is ANSWER:
            role = {"role": "assistant"}
            return {"id": self.id, "type": "message", "status": status, **role, **held}
        empty: dict[str, Any] = {"summary": [], "content": [], "encrypted_content": None}
        return {"id": self.id, "type": "reasoning", "status": status, **empty, **held}


@dataclass
class Called:
    """The call that is number `index` of the reply; `arguments` grow."""

    index: int
    call_id: str
    name: str
    arguments: str = ""
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = f"fc_{secrets.token_hex(12)}"

    def goes_on_with(self, event: TextDelta | ToolCallDelta, thought: Form) -> bool:
        """Whether the event is a piece of this call."""
        return isinstance(event, ToolCallDelta) and event.index == self.index

    def begun(self) -> Iterator[Said]:
        """A call has no parts."""
        return iter(())

    def grown(self, event: TextDelta | ToolCallDelta) -> Iterator[Said]:
        """Take a piece of it, and say so."""
        assert isinstance(event, ToolCallDelta)
        self.arguments += event.arguments
        if event.arguments:
            yield f"{_ARGUMENTS}.delta", {"delta": event.arguments}

    def done(self) -> Iterator[Said]:
        """The event with which its arguments end."""
        yield f"{_ARGUMENTS}.done", {"name": self.name, "arguments": self.arguments}

    def shown(self, status: str, begun: bool = True) -> dict[str, Any]:
        """As JSON."""
        called = {"call_id": self.call_id, "name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function_call", "status": status, **called}


Item = Written | Called


def item_of(event: TextDelta | ToolCallDelta, thought: Form) -> Item:
    """The item that begins with an event; thoughts have the form `thought`."""
    if isinstance(event, ToolCallDelta):
        return Called(event.index, event.id, event.name)
    return Written(thought if event.thought else ANSWER)


def items_of(end: End, thought: Form) -> Iterator[Item]:
    """All items of a reply that has ended."""
    if end.thought:
        yield Written(thought, end.thought)
    if end.message.content:
        yield Written(ANSWER, end.message.content)
    for number, call in enumerate(end.message.calls):
        yield Called(number, call.id, call.name, call.arguments)
