"""Which replies `bench` has written, in which order: every draft length on the same texts, in turn,
so that a machine that is busy for a while slows all of them alike.

Knows neither terminal nor files nor llama.cpp; an engine is whatever writes replies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from gemma_mtp.api import Message, Request, Sampling, Stats
from gemma_mtp.errors import Cancelled, DoesNotFit
from gemma_mtp.measure.draft_lengths import draft_setting
from gemma_mtp.measure.replies import reply_from_empty_cache

if TYPE_CHECKING:
    from gemma_mtp.engine.engine import Engine

WARM_UP = 16  # tokens that are not counted: weights come from the disk, the CPU clock goes up
LEARN = 96  # tokens that are not counted: `auto` learns what widths cost, as in a first chat
FEWEST, MOST = 64, 256  # tokens of a run whose length was not given
AIM = 60.0  # seconds that all runs together should take where no length was given


@dataclass(frozen=True)
class Text:
    """What the model is asked to write."""

    name: str
    prompt: str


TEXTS = (
    Text("story", "Tell me a long story about a fox."),
    Text("code", "Write a Python class for a bank account, with docstrings and some tests."),
    Text("list", "List forty animals, one per line, and say where each of them lives."),
)


@dataclass(frozen=True)
class Plan:
    """What to measure: `drafts` are draft lengths as the user wrote them, `tokens` is the length of
    each reply. One repeat is one reply for each of the draft lengths, on the same text."""

    drafts: tuple[str, ...]
    texts: tuple[Text, ...]
    tokens: int
    repeat: int
    temperature: float = 1.0
    synthetic_acceptance: float | None = None

    def order(self) -> list[tuple[int, str]]:
        """(repeat, draft) of each run: forwards and backwards in turn, A B, B A, A B, ..."""
        return [
            (repeat, draft)
            for repeat in range(self.repeat)
            for draft in (self.drafts if repeat % 2 == 0 else self.drafts[::-1])
        ]

    def as_json(self) -> dict[str, Any]:
        """The plan as a part of what `bench --json` prints."""
        return {
            "draft": list(self.drafts),
            "tokens": self.tokens,
            "repeat": self.repeat,
            "temperature": self.temperature,
            "synthetic_acceptance": self.synthetic_acceptance,
            "texts": [text.name for text in self.texts],
        }

    def text(self, repeat: int) -> Text:
        """The text of a repeat, the same for all settings."""
        return self.texts[repeat % len(self.texts)]


@dataclass(frozen=True)
class Run:
    """One reply that was measured."""

    draft: str
    repeat: int
    text: str
    stats: Stats


def measure(engine: Engine, plan: Plan, cancel: Flag) -> Iterator[Run]:
    """All runs of the plan, each as soon as it is done; ends early after `cancel` was set."""
    for repeat, draft in plan.order():
        stats = _reply(engine, plan, draft, repeat, plan.tokens, cancel)
        if stats is None:
            return
        yield Run(draft, repeat, plan.text(repeat).name, stats)


def warm_up(engine: Engine, plan: Plan, cancel: Flag) -> Stats | None:
    """Write replies that are not counted. Returns the statistics of plain decoding, or None after
    `cancel` was set."""
    plain = _reply(engine, plan, "off", 0, WARM_UP, cancel)
    if plain is not None and any(draft_setting(draft) == "auto" for draft in plan.drafts):
        return plain if _reply(engine, plan, "auto", 0, LEARN, cancel) else None
    return plain


def affordable(rate: float, runs: int, context: int) -> int:
    """Tokens of each run so that all take about a minute at `rate` tokens per second."""
    tokens = max(FEWEST, min(MOST, int(AIM * rate / max(runs, 1))))
    return min(tokens, context // 2) // 16 * 16


def _reply(
    engine: Engine, plan: Plan, draft: str, repeat: int, tokens: int, cancel: Flag
) -> Stats | None:
    """The statistics of one reply; None when it was cancelled."""
    synthetic = plan.synthetic_acceptance
    request = Request(
        (Message.text("user", plan.text(repeat).prompt),),
        Sampling(temperature=plan.temperature if synthetic is None else 0.0),
        seed=repeat,
        exact=False,  # as in a chat without a seed
        draft=draft_setting(draft),
        max_tokens=tokens,
        ignore_end=True,
        synthetic_acceptance=synthetic,
    )
    try:
        end = reply_from_empty_cache(engine, request, cancel)
    except Cancelled:
        return None
    except DoesNotFit as error:
        raise DoesNotFit(
            str(error), _shorter(engine, error.tokens or 0, "Ask something shorter")
        ) from error
    if end.reason == "context":
        raise DoesNotFit(
            f"{tokens} tokens and their prompt do not fit a context of {end.stats.context_size}.",
            _shorter(engine, end.stats.context_size + 1, "Ask for fewer --tokens"),
        )
    return None if end.reason == "cancelled" else end.stats


def _shorter(engine: Engine, tokens: int, otherwise: str) -> str:
    """What to do about `tokens` that do not fit the context."""
    size = engine.info.larger_context(tokens)
    return f"{otherwise}." if size is None else f"{otherwise}, or use --ctx {size}."
