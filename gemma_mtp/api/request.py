"""A request: one reply to be written, and how. Made by clients, read by the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gemma_mtp.api.messages import Message

DraftSetting = int | Literal["auto"]
"""Draft length k: "auto", or a fixed number of drafted tokens per round (0 is plain decoding)."""

MAX_DRAFT = 16


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen from logits; defaults are those recommended for Gemma 4."""

    temperature: float = 1.0
    top_k: int = 64
    top_p: float = 0.95
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64


@dataclass(frozen=True)
class Request:
    """One reply to be written.

    `seed` None lets the engine pick one (reported in `End`). `exact` makes the text a function of
    model, prompt, sampling, seed and of what of the prompt was cached before, whatever is drafted;
    None means: if a seed is given. A last message of the assistant's is continued.

    For measuring: `ignore_end` goes on to `max_tokens` whatever the model says, and
    `synthetic_acceptance` accepts each draft with this chance, if those before it were, whatever
    the tokens are: the text is worthless, the cost is real.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    seed: int | None = None
    exact: bool | None = None
    draft: DraftSetting = "auto"
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    think: bool = False
    ignore_end: bool = False
    synthetic_acceptance: float | None = None

    @property
    def is_exact(self) -> bool:
        """`exact`, with None resolved."""
        return self.seed is not None if self.exact is None else self.exact
