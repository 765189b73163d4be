"""What was said so far, and which part of it the model gets to see.

Pure: every change is a new value, so that a reply that fails leaves the old one as it was. Knows
neither engine nor disk nor terminal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gemma_mtp.api import Message, Turn
from gemma_mtp.conversations.calls import in_prompt


@dataclass(frozen=True)
class Conversation:
    """A system prompt and turns; the model no longer gets the first `skipped` of them."""

    system: str = ""
    turns: tuple[Turn, ...] = ()
    skipped: int = 0

    @property
    def last(self) -> Turn | None:
        return self.turns[-1] if self.turns else None

    @property
    def sent(self) -> tuple[Turn, ...]:
        """The turns the model gets."""
        return self.turns[self.skipped :]

    def messages(self) -> tuple[Message, ...]:
        """The prompt; a last turn that has part of a reply is one to be gone on with."""
        found = [Message.text("system", self.system)] if self.system else []
        for turn in self.sent:
            found += in_prompt(turn)
        return tuple(found)

    def asking(self, user: Message) -> Conversation:
        """With one more message that has no reply yet."""
        return replace(self, turns=(*self.turns, Turn(user)))

    def with_last(self, turn: Turn) -> Conversation:
        """With `turn` in place of the last one."""
        return replace(self, turns=(*self.turns[:-1], turn))

    def without_last(self) -> Conversation:
        """Without the last turn; the one before it is sent again if it had been left out."""
        turns = self.turns[:-1]
        return replace(self, turns=turns, skipped=min(self.skipped, max(len(turns) - 1, 0)))

    def skipping(self, more: int) -> Conversation:
        """With `more` of the oldest turns left out of the prompt."""
        return replace(self, skipped=self.skipped + more)

    def without_tokens(self) -> Conversation:
        """For another model, to which the token ids of this one mean nothing."""
        return replace(self, turns=tuple(_plain(turn) for turn in self.turns))


def _plain(turn: Turn) -> Turn:
    return replace(turn, replies=tuple(reply.without_tokens() for reply in turn.replies))


def unanswered(turns: tuple[Turn, ...]) -> tuple[tuple[Turn, ...], Message | None]:
    """Turns of a chat that was killed: those with a reply, and the message that got no word."""
    if turns and not any(reply.content or reply.calls for reply in turns[-1].replies):
        return turns[:-1], turns[-1].user
    return turns, None
