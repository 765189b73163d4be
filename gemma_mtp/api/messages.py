"""Messages, and the turns of a conversation that they make. Made by whoever asks for a reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gemma_mtp.api.stats import FinishReason, Stats


@dataclass(frozen=True)
class Message:
    """One turn. `tokens` are the ids the engine generated for exactly `content`, if it did.

    Keeping them lets a later prompt reuse the cache even where tokenizing the text again would
    split it differently.
    """

    role: Literal["system", "user", "assistant"]
    content: str
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Turn:
    """A message of the user and the reply to it.

    `reply` is None while there is none. `seed` and `exact` let the reply be written again;
    `reason` says how it ended, None when that is not known: the program was killed meanwhile.
    """

    user: Message
    reply: Message | None = None
    thought: str = ""
    seed: int | None = None
    exact: bool = False
    reason: FinishReason | None = None
    stats: Stats | None = None
