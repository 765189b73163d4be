"""What is written in the places that a chat template has, and how long that may make a prompt.

`chat_template` fills one out for each time that it runs a template. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gemma_mtp.api import Message, Tool
from gemma_mtp.engine.tool_declarations import declaration, declared
from gemma_mtp.engine.tool_prompt import (
    Piece,
    grouped,
    harmless,
    harmless_text,
    is_models,
    names_of_calls,
    said,
)

# Bounds in characters. Between two messages a template writes a hundred. llama.cpp's tokenizer
# takes time that grows with the square of the control tokens in a text, so what a template writes
# in one piece is bounded more closely than the whole prompt.
LONGEST_WORDS = 1 << 16
WORDS_PER_MESSAGE = 1 << 10
TIMES = 4  # that the text of all messages may appear in the prompt


class Sheet:
    """What is written in the places that a template has: turns, and descriptions of tools.

    `own` tools are declared in the first turn, in that of the system where there may be one;
    `tools` are declared by the template.
    """

    def __init__(
        self, turns: list[Message], own: Sequence[Tool], tools: Sequence[Tool], has_system: bool
    ) -> None:
        self._groups = grouped(turns)
        if own and has_system and self._groups[0][0].role != "system":
            self._groups.insert(0, [Message("system", ())])
        self._names = names_of_calls(turns)
        self._tools, self._own = tools, own
        self._last_user = max(
            (n for n, group in enumerate(self._groups) if group[0].role == "user"), default=-1
        )
        places = range(len(self._groups))
        spoken = [harmless_text(self.pieces(n, True, True, known=False)) for n in places]
        described = [harmless(tool.description) for tool in tools]
        self.texts = spoken + described
        declared_size = len(json.dumps(declared(tools, described)))
        self.longest_words = LONGEST_WORDS + TIMES * declared_size
        self.longest = (
            LONGEST_WORDS
            + WORDS_PER_MESSAGE * len(self.texts)
            + TIMES * (sum(map(len, spoken)) + declared_size)
        )

    def pieces(self, number: int, left: bool, right: bool, known: bool = True) -> list[Piece]:
        """What belongs in a place; white space at its `left` and `right` end stays or goes.
        `known`: as the tokens that it was generated as."""
        if number >= len(self._groups):
            text = self._tools[number - len(self._groups)].description
            return [Piece(text, Message.text("system", text))]
        group, over = self._groups[number], number < self._last_user
        if not known:
            group = [message.without_tokens() for message in group]
        if number or not self._own:
            return said(group, self._names, over, left, right)
        declarations = [piece for tool in self._own for piece in declaration(tool, group[0])]
        if group[0].role == "system":
            return [*said(group, self._names, over, False, False), *declarations]
        return [*declarations, *said(group, self._names, over, left, right)]

    def messages(self, contents: Sequence[str]) -> list[dict[str, str]]:
        """The turns as templates take them, with `contents` for what is in them."""
        return [
            {"role": "assistant" if is_models(group) else group[0].role, "content": content}
            for group, content in zip(self._groups, contents, strict=False)
        ]

    def declared(self, contents: Sequence[str]) -> list[dict[str, Any]]:
        """The tools as templates take them."""
        return declared(self._tools, contents[len(self._groups) :])
