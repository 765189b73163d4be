"""The same replies with and without drafting, compared token by token, and rows by width.

In exact mode replies must be equal. Outside it plain rounds evaluate one token at a time and rounds
with drafts several, so replies may part at a near-tie. Knows the engine by its public face.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

import numpy as np

from gemma_mtp.api import End, Message, Request, Sampling
from gemma_mtp.decoding.draft_length import LONGEST
from gemma_mtp.decoding.row_probe import ROWS, probe_rows, row_after, smooth_start
from gemma_mtp.decoding.sampler import capped
from gemma_mtp.decoding.transcript import Transcript, of_tokens
from gemma_mtp.errors import Cancelled
from gemma_mtp.measure.draft_lengths import draft_setting
from gemma_mtp.measure.replies import reply_from_empty_cache
from gemma_mtp.measure.verify.difference import Difference, first_difference, judge
from gemma_mtp.measure.verify.texts import LONG, Text

if TYPE_CHECKING:
    from gemma_mtp.engine.engine import Engine

WIDEST = 9  # tokens; widths up to this one are probed in any case
PROBED_AT = (100, 700)  # tokens of context
WIDTHS = (2, 4)
"""Where two replies part, the text is evaluated again at these widths, the plain and the widest."""


@dataclass(frozen=True)
class Plan:
    """What is compared; every draft length, none of them 0, is set against plain decoding."""

    drafts: tuple[str, ...]
    texts: tuple[Text, ...]
    tokens: int
    temperatures: tuple[float, ...] = (0.0, 1.0)
    seed: int = 1

    def as_json(self) -> dict[str, Any]:
        """The plan as a part of what `verify --json` prints."""
        return {
            "draft": list(self.drafts),
            "tokens": self.tokens,
            "temperatures": list(self.temperatures),
            "seed": self.seed,
        }

    @property
    def replies(self) -> int:
        """How many will be written."""
        return 2 * len(self.texts) * len(self.temperatures) * (1 + len(self.drafts))

    @property
    def widest(self) -> int:
        """The most rows that one round may evaluate."""
        lengths = (draft_setting(draft) for draft in self.drafts)
        return max(WIDEST, *(1 + (LONGEST if k == "auto" else int(k)) for k in lengths))


@dataclass(frozen=True)
class Comparison:
    """One reply with drafts against the plain one."""

    text: str
    temperature: float
    draft: str
    exact: bool
    tokens: int
    drafted: int
    accepted: int
    difference: Difference | None


@dataclass(frozen=True)
class Probe:
    """Largest differences of rows by width, with `position` tokens in the context."""

    position: int
    differences: dict[int, float]

    @property
    def equal(self) -> bool:
        """All widths that exact mode uses give the same bits."""
        return not any(self.differences[width] for width in self.differences if width > 1)


def probe(engine: Engine, widest: int, cancel: Flag) -> list[Probe]:
    """Rows of a long text at widths up to `widest`, near its start and further on; the cache is
    empty afterwards."""
    target = engine.pair.target
    prompt = engine.prompt(Request((Message.text("user", LONG),)))
    last = min(len(prompt), engine.info.context_size) - ROWS - widest - 1
    found = []
    for wanted in sorted({min(position, last) for position in PROBED_AT}):
        position = smooth_start(target, wanted, widest)
        _prefill(engine, of_tokens(prompt[:position]))
        tokens = prompt[position : position + ROWS + widest]
        found.append(Probe(position, probe_rows(target, tokens, position, widest)))
        engine.cache.rewind(0)
        _check(cancel)
    return found


def compare(
    engine: Engine, plan: Plan, cancel: Flag, written: Callable[[], None] = lambda: None
) -> Iterator[Comparison]:
    """All comparisons of the plan; `written` is called after each reply. Raises Cancelled."""
    for text in plan.texts:
        for temperature in plan.temperatures:
            for exact in (True, False):
                plain = _write(engine, _request(text, plan, temperature, "off", exact), cancel)
                written()
                for draft in plan.drafts:
                    request = _request(text, plan, temperature, draft, exact)
                    drafted = _write(engine, request, cancel)
                    written()
                    difference = _explain(engine, request, plan.widest, plain, drafted)
                    yield Comparison(
                        text.name,
                        temperature,
                        draft,
                        exact,
                        len(plain.token_ids),
                        drafted.stats.drafted,
                        drafted.stats.accepted,
                        difference,
                    )


def _explain(
    engine: Engine, request: Request, widest: int, plain: End, drafted: End
) -> Difference | None:
    """The first difference, if there is one, and what rounding does at that token."""
    at = first_difference(plain.token_ids, drafted.token_ids)
    if at is None:
        return None
    if at >= min(len(plain.token_ids), len(drafted.token_ids)):
        return Difference(at, float("inf"), 0.0, False)  # one reply ended, the other went on
    prompt = engine.prompts.of(request)
    target, common = engine.pair.target, plain.token_ids[:at]
    rows = []
    widths = (*WIDTHS, widest)
    for width in widths if request.exact else (1, *widths):
        engine.cache.rewind(0)
        _prefill(engine, prompt, engine.prompts.lasting(request, prompt))
        row = engine.cache.last_row
        if common:
            row = row_after(target, common, prompt.end, width)
        if isinstance(row, np.ndarray):
            rows.append(capped(row, target.softcap))
    engine.cache.rewind(0)
    position, seed = prompt.end + at, plain.seed
    pair = plain.token_ids[at], drafted.token_ids[at]
    return judge(rows, request.sampling, seed, position, at, *pair)


def _request(text: Text, plan: Plan, temperature: float, draft: str, exact: bool) -> Request:
    return Request(
        (Message.text("user", text.prompt),),
        Sampling(temperature=temperature),
        seed=plan.seed,
        exact=exact,
        draft=draft_setting(draft),
        max_tokens=plan.tokens,
        ignore_end=not text.ends,  # else a model of few words would leave little to compare
    )


def _write(engine: Engine, request: Request, cancel: Flag) -> End:
    end = reply_from_empty_cache(engine, request, cancel)
    _check(cancel)
    return end


def _prefill(engine: Engine, prompt: Transcript, lasting: int | None = None) -> None:
    for _ in engine.cache.prefill(prompt, True, lasting):
        pass


def _check(cancel: Flag) -> None:
    if cancel.is_set():
        raise Cancelled("Stopped; there is no verdict.")
