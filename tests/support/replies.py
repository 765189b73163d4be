"""Replies of an engine in this process, read to their end."""

from __future__ import annotations

from gemma_mtp.api import End, Message, Request
from gemma_mtp.engine.engine import Engine


def end_of(engine: Engine, request: Request) -> End:
    """The last event of a reply."""
    *_, end = engine.reply(request)
    assert isinstance(end, End)
    return end


def evaluated(end: End) -> int:
    """How many tokens of the prompt were not in the cache."""
    return end.stats.evaluated_tokens


class Conversation:
    """One conversation with an engine, in exact mode; others may use the engine as well."""

    def __init__(self, engine: Engine, begins: str, tokens: int) -> None:
        self.engine, self.tokens = engine, tokens
        self.messages = (Message.text("system", begins),)

    def ask(self, text: str, draft: int = 3) -> End:
        self.messages = (*self.messages, Message.text("user", text))
        end = end_of(
            self.engine,
            Request(
                self.messages,
                seed=3,
                draft=draft,
                max_tokens=self.tokens,
                ignore_end=True,
                exact=True,
            ),
        )
        self.messages = (*self.messages, end.message)
        return end
