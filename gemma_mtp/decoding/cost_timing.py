"""Time each width and a draft step on the side: neither text nor cache change.

What `CostCurve` learns while working, all at once. Knows neither llama.cpp nor texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter

from gemma_mtp.decoding.costs import Costs
from gemma_mtp.decoding.drafters import DraftModel
from gemma_mtp.decoding.proposer import DraftTemperature, Proposer
from gemma_mtp.decoding.round import Target
from gemma_mtp.decoding.rows import Row
from gemma_mtp.decoding.sampler import Sampler

LONG_DRAFT = 4  # steps of a timed draft


def measure_costs(
    target: Target,
    drafter: DraftModel | None,
    sampler: Sampler,
    text: Sequence[int],
    position: int,
    hidden: Row,
    max_width: int,
    repeats: int,
    progress: Callable[[float], bool] = lambda fraction: True,
) -> Costs:
    """Evaluate tokens at `position`, behind all that is cached, in widths 1 to `max_width`.

    They are taken from `text`, at least `max_width` tokens: where each token has experts of its
    own, as many equal ones would cost too little.
    Widths are timed in turn, `repeats` times, so that a stall does not hit one of them alone.
    `progress` gets 0..1 and answers whether to go on; widths not timed by then are left out.
    """
    widths: dict[int, list[float]] = {}
    drafts: list[float] = []
    samples: list[float] = []
    total = repeats * max_width
    for number in range(total):
        width = number % max_width + 1
        if not progress(number / total):
            break
        batch, short = text[:width], sampler.takes_shortlists
        # The first evaluation after a change of width rebuilds llama.cpp's graph.
        target.decode(batch, position, width, short)
        target.keep(position)
        started = perf_counter()
        rows = target.decode(batch, position, width, short)
        seconds = perf_counter() - started
        widths.setdefault(width, []).append(seconds)
        started = perf_counter()
        sampler.sample(rows[0], position + 1, text)
        samples.append(perf_counter() - started)
        target.keep(position)
        if drafter is not None and width == 1:
            drafts.append(_draft_step(drafter, sampler, hidden, text[0], position))
    return Costs(
        {width: median(seconds) for width, seconds in widths.items()},
        median(drafts) if drafts else 0.0,
        median(samples) if samples else 0.0,
        position,
    )


def _draft_step(
    drafter: DraftModel, sampler: Sampler, hidden: Row, token: int, position: int
) -> float:
    """Seconds of drafting one token, the choice among its candidates included."""
    proposer = Proposer(sampler, DraftTemperature())
    drafter.begin(hidden, position)
    short = proposer.takes_shortlists
    drafter.step(token, short)
    started = perf_counter()
    for i in range(LONG_DRAFT):
        token, _ = proposer.propose(drafter.step(token, short), position + i)
    return (perf_counter() - started) / LONG_DRAFT
