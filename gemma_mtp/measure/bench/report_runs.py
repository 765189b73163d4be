"""What `bench --report` measures: a pair at fixed chances of acceptance, within a limit of time.

benchmarks/real_card.py measures several pairs with it. How the results are shown, and that nothing
private is among them, is `report_page`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gemma_mtp.decoding.costs import Costs
from gemma_mtp.measure.bench.limit import Limit
from gemma_mtp.measure.bench.results import Results
from gemma_mtp.measure.bench.runs import LEARN, TEXTS, WARM_UP, Plan, measure, warm_up

if TYPE_CHECKING:
    from gemma_mtp.engine.engine import Engine

ACCEPTANCES = (0.5, 0.75, 0.9)
DRAFTS = ("off", "1", "2", "3", "4", "auto")
REPEAT = 3
MINUTES = 5.0  # what a user who is asked for figures waits
PLAN = Plan(DRAFTS, TEXTS, 0, REPEAT)
SHORTEST, LONGEST = 16, 256  # tokens of a run whose length was not given
USED = 0.7  # the share of the time that runs are planned to take; drafts change what they do

WARMING = 0.25  # the share of it that may go into letting `auto` learn before anything counts

OnRun = Callable[[float], None]
"""Is told the share of the time that has passed."""


@dataclass
class Measured:
    """All that was measured of one pair, as far as the time sufficed.

    `by_acceptance` has the chance of each draft, or None where the drafter's own drafts counted.
    `skipped` are sentences about what is missing. `name` is for whoever measures several; it is in
    no report.
    """

    about: dict[str, object]
    name: str = ""
    costs: Costs | None = None
    by_acceptance: dict[float | None, Results] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @property
    def host_share(self) -> float | None:
        """What a round takes outside llama.cpp, as a share of a plain step."""
        step = self.costs.verify.get(1) if self.costs else None
        return self.costs.overhead / step if self.costs and step else None


def in_words(acceptance: float | None) -> str:
    return "own drafts" if acceptance is None else f"accepted {acceptance:g}"


def measure_pair(
    engine: Engine,
    measured: Measured,
    plan: Plan,
    acceptances: tuple[float | None, ...],
    limit: Limit,
    on_run: OnRun = lambda share: None,
) -> None:
    """Measure into `measured`, so that it has what there is when an interruption ends it."""
    begun = limit.left
    plain = warm_up(engine, replace(plan, drafts=("off",)), limit)
    if plain is None:
        measured.skipped.append("There was no time for anything.")
        return

    def progress(share: float) -> bool:
        on_run(1 - limit.left / begun)
        return not limit.is_set()

    measured.costs = engine.measure_costs(progress=progress)
    if limit.is_set():
        measured.skipped.append("Not all costs were measured.")
    for done, acceptance in enumerate(acceptances):
        share = limit.share(len(acceptances) - done)
        at = _planned(plan, acceptance, plain.tokens_per_second, share.left, engine)
        runs = []
        if (WARM_UP + LEARN) / plain.tokens_per_second < share.left * WARMING:
            warm_up(engine, at, share)
        for run in measure(engine, at, share):
            runs.append(run)
            progress(0.0)
        measured.by_acceptance[acceptance] = Results(at.drafts, runs)
        if len(runs) < (total := len(at.order())):
            measured.skipped.append(
                f"Of {in_words(acceptance)}, {len(runs)} of {total} runs were measured."
            )


def _planned(
    plan: Plan, acceptance: float | None, rate: float, seconds: float, engine: Engine
) -> Plan:
    """The plan at one chance of acceptance, its runs no longer than the time allows at `rate`
    tokens per second."""
    affordable = int(USED * seconds * rate / len(plan.order()))
    tokens = max(SHORTEST, min(LONGEST, affordable, engine.info.context_size // 2)) // 16 * 16
    return replace(plan, tokens=plan.tokens or tokens, synthetic_acceptance=acceptance)
