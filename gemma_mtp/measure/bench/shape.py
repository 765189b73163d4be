"""What drafting costs and can bring with a pair of a real model's shape and random weights.

Costs are measured. Whether drafts are right is left to chance, at rates that others published for
real drafters: once at that of code, once at that of prose. `bench --shape` calls it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from threading import Event as Flag
from typing import TYPE_CHECKING, Any

from gemma_mtp.decoding.costs import Costs
from gemma_mtp.measure.bench.break_even import break_even, expected, round_cost
from gemma_mtp.measure.bench.published import RATES, Rate
from gemma_mtp.measure.bench.results import Results
from gemma_mtp.measure.bench.runs import Plan, Run, affordable, measure, warm_up
from gemma_mtp.models.shape import Shape

if TYPE_CHECKING:
    from gemma_mtp.engine.engine import Engine

LONGEST = 8  # drafts of a round whose cost is measured
Q4_0_BYTES = 18 / 32  # of one weight, with the scale of its block


@dataclass
class AtRate:
    """What was measured at one rate of acceptance."""

    rate: Rate
    plan: Plan
    runs: list[Run] = field(default_factory=list)

    @property
    def results(self) -> Results:
        return Results(self.plan.drafts, self.runs)


@dataclass
class ShapeBench:
    """All that was measured of a size, whole or up to an interruption."""

    size: str
    shape: Shape
    plan: Plan
    costs: Costs | None = None
    rates: list[AtRate] = field(default_factory=list)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def weights_read(self) -> float:
        """Bytes of weights that a plain step reads."""
        return self.shape.active_parameters * Q4_0_BYTES

    @property
    def pays_from(self) -> tuple[float, int] | None:
        """The lowest chance of acceptance at which drafting pays here, and with how many drafts a
        round; None where no length ever does."""
        assert self.costs is not None
        costs = [(k, round_cost(self.costs, k)) for k in range(1, LONGEST + 1)]
        found = [(break_even(cost, k), k) for k, cost in costs if cost is not None]
        return min(((chance, k) for chance, k in found if chance is not None), default=None)


def best_length(costs: Costs, chance: float) -> int:
    """The draft length, at least 1, that should be fastest at these costs."""
    lengths = range(1, LONGEST + 1)
    return max(lengths, key=lambda k: expected(k, chance) / (round_cost(costs, k) or float("inf")))


def run(engine: Engine, bench: ShapeBench, cancel: Flag) -> Iterator[tuple[int, int]]:
    """Measure at every rate, into `bench`; yields after each run how many of how many are done.

    `bench.costs` are known. A plan without draft lengths gets off, the best one and auto.
    """
    assert bench.costs is not None
    total = 0
    for rate in RATES:
        plan = replace(bench.plan, synthetic_acceptance=rate.chance)
        if not plan.drafts:
            plan = replace(plan, drafts=("off", str(best_length(bench.costs, rate.chance)), "auto"))
        plain = warm_up(engine, plan, cancel)
        if plain is None:
            return
        total = len(RATES) * len(plan.order())
        if not plan.tokens:
            tokens = affordable(plain.tokens_per_second, total, engine.info.context_size)
            plan = replace(plan, tokens=tokens)
            bench.plan = replace(bench.plan, tokens=tokens)
        found = AtRate(rate, plan)
        bench.rates.append(found)
        for made in measure(engine, plan, cancel):
            found.runs.append(made)
            yield sum(len(known.runs) for known in bench.rates), total
