"""One exchange of a conversation as plain data. Knows neither disk nor terminal nor engine."""

from __future__ import annotations

from dataclasses import dataclass

from gemma_mtp.api import FinishReason, Message, Stats


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
