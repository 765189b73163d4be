"""What happens while a reply is written. Sent by the engine, shown and recorded by clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gemma_mtp.api.messages import Message
from gemma_mtp.api.stats import FinishReason, Stats


@dataclass(frozen=True)
class Waiting:
    """Others are answered first: `ahead` requests, the one in progress included."""

    type: ClassVar = "waiting"
    ahead: int


@dataclass(frozen=True)
class Loading:
    """The pair is loaded before the reply; `fraction` of it is done, from 0 to 1. From 1 to 2 it
    is loaded, and what is fastest on its GPU is tried, which is done once."""

    type: ClassVar = "loading"
    fraction: float


@dataclass(frozen=True)
class Prefill:
    """`done` of `total` prompt tokens are in the cache; `cached` of them were there before."""

    type: ClassVar = "prefill"
    done: int
    total: int
    cached: int


@dataclass(frozen=True)
class TextDelta:
    """A piece of the reply, whole characters only; concatenated, the answer pieces are the answer.

    `drafted`: the token that completed it was proposed, by the drafter or as found in the text.
    `thought`: it belongs to the thought channel, not to the answer.
    """

    type: ClassVar = "text_delta"
    text: str
    drafted: bool = False
    thought: bool = False


@dataclass(frozen=True)
class ToolCallDelta:
    """A piece of the call that is number `index` of the reply, from 0.

    The first piece has `id` and `name`, later ones more of the `arguments`, which concatenated are
    the text of a JSON object.
    """

    type: ClassVar = "tool_call_delta"
    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True)
class Progress:
    """After each round: a snapshot of the counters, for a live status line."""

    type: ClassVar = "progress"
    stats: Stats


@dataclass(frozen=True)
class End:
    """Always the last event, also when the reply was stopped.

    `message` is the answer as it belongs into the history: its text and the tools that are called,
    and before these the thought that led to them; other thoughts are left out. `token_ids` are all
    generated ids, end-of-generation token included. `warning` is a sentence about something that
    failed and did not end the reply; it comes once, and "" means that nothing did. `stopped_at` is
    the stop string that ended it, "" where none did. `thought_tokens` of the generated ones belong
    to the thought, the marks around it included. `thought_cut`: it reached its budget, where it was
    ended.
    """

    type: ClassVar = "end"
    reason: FinishReason
    message: Message
    thought: str
    token_ids: tuple[int, ...]
    seed: int
    stats: Stats
    warning: str = ""
    stopped_at: str = ""
    thought_tokens: int = 0
    thought_cut: bool = False


Event = Waiting | Loading | Prefill | TextDelta | ToolCallDelta | Progress | End
