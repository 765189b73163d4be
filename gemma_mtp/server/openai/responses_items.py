"""The items that an answer of `POST /v1/responses` is made of: thoughts, and messages."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Form:
    """How a text is written.

    An item of type `item` holds it in its field `holder`, as a part of type `part`. What events are
    called begins with `parts` where they are about the part, and with `texts` where about its text;
    `index` is their field that says which part it is. `more` is what a part has besides, `said`
    what events about text have.
    """

    item: str
    holder: str
    part: str
    parts: str
    texts: str
    index: str
    more: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)


ANSWER = Form(
    item="message",
    holder="content",
    part="output_text",
    parts="response.content_part",
    texts="response.output_text",
    index="content_index",
    more={"annotations": [], "logprobs": []},
    said={"logprobs": []},
)
THOUGHT = Form(
    item="reasoning",
    holder="content",
    part="reasoning_text",
    parts="response.content_part",
    texts="response.reasoning_text",
    index="content_index",
)
SUMMARY = Form(
    item="reasoning",
    holder="summary",
    part="summary_text",
    parts="response.reasoning_summary_part",
    texts="response.reasoning_summary_text",
    index="summary_index",
)

_PREFIX = {"message": "msg", "reasoning": "rs"}


@dataclass
class Item:
    """One item; `text` grows."""

    form: Form
    text: str = ""
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = f"{_PREFIX[self.form.item]}_{secrets.token_hex(12)}"

    @property
    def part(self) -> dict[str, Any]:
        """The part that holds the text."""
        return {"type": self.form.part, "text": self.text, **self.form.more}

    def shown(self, status: str, begun: bool = True) -> dict[str, Any]:
        """As JSON; with no part yet, where that has not begun."""
        held = {self.form.holder: [self.part] if begun else []}
        if self.form.item == "message":
            role = {"role": "assistant"}
            return {"id": self.id, "type": "message", "status": status, **role, **held}
        empty: dict[str, Any] = {"summary": [], "content": [], "encrypted_content": None}
        return {"id": self.id, "type": "reasoning", "status": status, **empty, **held}
