"""What `bench` prints: the results as one JSON object, or as tables, bars and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemma_mtp.api import DeviceChoice, Placement, Stats, from_json
from gemma_mtp.decoding.costs import Costs
from gemma_mtp.measure.bench.break_even import break_even, round_cost
from gemma_mtp.measure.bench.conclusion import conclusion
from gemma_mtp.measure.bench.results import BUSY, Results, Summary
from gemma_mtp.measure.bench.runs import Plan
from gemma_mtp.terminal.tables import Block, Table, bars
from gemma_mtp.text import counted, number, percent

HEADS = ("draft", "tok/s", "from-to", "speedup", "accepted", "per round", "first token")
FOLDED = ("first token", "from-to", "per round", "accepted", "speedup")
"""Columns that go below their row first where the window is too narrow for all of them."""
COST_HEADS = ("drafts", "ms", "plain steps", "pays from")
LEGEND = (
    "draft: how many tokens are drafted in a round; off is plain decoding, auto chooses while it "
    "writes. speedup: against off. accepted: the share of drafts that were right. per round: "
    "tokens written, the model's own included."
)
COST_LEGEND = (
    "drafts: how many are checked at once; none is a plain step, which writes one token. "
    "pays from: the chance that each has to be right."
)
TOY = (
    "The built-in pair says little about real models: it is a toy that lies in the processor's "
    "cache, where checking four tokens takes nearly as long as writing them. Real ones have to be "
    "read from memory, once for all tokens that are checked. gemma-mtp bench --shape e2b measures "
    "such a pair here, without a download."
)


@dataclass(frozen=True)
class Bench:
    """A finished or interrupted measurement and the conditions it was made under."""

    plan: Plan
    results: Results
    costs: Costs | None
    conditions: Mapping[str, Any]
    interrupted: bool = False
    toy: bool = False  # the built-in pair
    drafter_of: str = ""  # the model that the drafter was made for, if that is another one
    alone: tuple[Placement, float] | None = None
    """Where the target would be without its drafter, and how many times as fast plain decoding
    would be there by estimate; None where that changes nothing."""


def as_json(bench: Bench) -> dict[str, Any]:
    """The object of `bench --json`. Ratios that cannot be formed are null."""
    return {
        **results_json(bench.results),
        "costs": None if bench.costs is None else costs_json(bench.costs),
        "advice": conclusion(bench.results, bench.drafter_of),
        "valid_text": bench.plan.synthetic_acceptance is None,
        "interrupted": bench.interrupted,
        "plain_without_drafter": bench.alone and round(bench.alone[1], 3),
        **bench.conditions,
    }


def results_json(results: Results) -> dict[str, Any]:
    """What follows from the runs alone."""
    return {
        "runs": [_run_json(results, summary) for summary in results.summaries],
        "speedup": _rounded(results.speedup),
        "best_fixed": results.best_fixed,
        "auto_vs_best": _rounded(results.auto_vs_best),
        "noise": _rounded(results.noise),
        "busy": results.busy,
    }


def _run_json(results: Results, summary: Summary) -> dict[str, Any]:
    total = summary.total
    return {
        "draft": summary.draft,
        "tokens_per_second": _rounded(summary.tokens_per_second),
        "spread": _rounded(summary.spread),
        "acceptance_rate": _rounded(total.acceptance_rate),
        "copied": _rounded(_copied(total)),
        "mean_accepted_length": _rounded(total.mean_accepted_length),
        "rounds": total.rounds,
        "ttft_seconds": _rounded(summary.ttft_seconds),
        "speedup": _rounded(summary.speedup),
        "share_of_limit": _rounded(summary.share_of_limit),
        "tokens": total.decoded,
        "drafted": total.drafted,
        "accepted": total.accepted,
        "accepted_histogram": total.accepted_histogram,
        "decode_seconds": _rounded(total.decode_seconds),
        "draft_seconds": _rounded(total.draft_seconds),
        "verify_seconds": _rounded(total.verify_seconds),
        "sampling_seconds": _rounded(total.sampling_seconds),
        "repeats": [
            {
                "repeat": run.repeat,
                "text": run.text,
                "tokens_per_second": _rounded(run.stats.tokens_per_second),
                "acceptance_rate": _rounded(run.stats.acceptance_rate),
                "rounds": run.stats.rounds,
                "ttft_seconds": _rounded(run.stats.ttft_seconds),
            }
            for run in results.runs
            if run.draft == summary.draft
        ],
    }


def costs_json(costs: Costs) -> dict[str, Any]:
    """Seconds, and plain steps, by width."""
    plain = plain_step(costs)
    return {
        "position": costs.position,
        "verify_seconds": {str(w): round(s, 7) for w, s in sorted(costs.verify.items())},
        "draft_step_seconds": round(costs.draft_step, 7),
        "overhead_seconds": round(costs.overhead, 7),
        "plain_steps": {str(w): _rounded(s / plain) for w, s in sorted(costs.verify.items())},
        "draft_step_plain_steps": _rounded(costs.draft_step / plain),
    }


def blocks(bench: Bench) -> list[Block]:
    """Conditions, table, bars, costs, the conclusion in one sentence, and notes."""
    found: list[Block] = [*_conditions(bench), ""]
    if bench.results.summaries:
        found += [table(bench.results), *legend(bench.results), "", *_picture(bench.results), ""]
    if bench.costs is not None and bench.costs.verify:
        found += [*costs(bench.costs), ""]
    return [*found, conclusion(bench.results, bench.drafter_of), *notes(bench)]


def _conditions(bench: Bench) -> list[str]:
    plan = bench.plan
    texts = ", ".join(dict.fromkeys(run.text for run in bench.results.runs))
    second = f"{plan.repeat} x {plan.tokens} tokens, temperature {plan.temperature:g}: {texts}"
    first = loaded(bench.conditions)
    return [*first, second] if texts else first


def loaded(conditions: Mapping[str, Any]) -> list[str]:
    """The pair, its weights and where it computes; and what was chosen by measurement there."""
    weights, settings = conditions["files"][0]["weights"], conditions["settings"]
    threads = counted(settings["threads"], "thread")
    found = f"{Path(conditions['model']).name} ({weights}), {threads}"
    if not settings["gpu_layers"]:
        return [found]
    lines = [f"{found}, {settings['placement']}"]
    choice: DeviceChoice = from_json(DeviceChoice, settings["device_choice"])
    return [*lines, f"fastest there: {choice.in_words}"] if choice.in_words else lines


def table(results: Results) -> Table:
    """A row for each draft length."""
    rows = [_row(summary) for summary in results.summaries]
    return Table(HEADS, rows, right=HEADS[1:], below=FOLDED)


def legend(results: Results) -> list[Block]:
    """What the columns mean, where there are drafts."""
    return [LEGEND] if results.best_drafting else []


def _row(summary: Summary) -> tuple[str, ...]:
    total, length = summary.total, summary.total.mean_accepted_length
    return (
        summary.draft,
        number(summary.tokens_per_second),
        f"{number(min(summary.rates))}-{number(max(summary.rates))}",
        "-" if summary.speedup is None else f"{summary.speedup:.2f}",
        "-" if total.acceptance_rate is None else percent(total.acceptance_rate),
        f"{length:.2f}" if length and total.drafted else "-",
        _seconds(summary.ttft_seconds),
    )


def _picture(results: Results) -> list[Block]:
    rows = [(s.draft, s.tokens_per_second, number(s.tokens_per_second)) for s in results.summaries]
    return ["tokens per second", bars(rows)]


def costs(costs: Costs) -> list[Block]:
    """What checking drafts takes by their number, and making one."""
    plain, rows = plain_step(costs), []
    for verified, seconds in sorted(costs.verify.items()):
        steps = f"{seconds / plain:.2f}"
        drafts = str(verified - 1) if verified > 1 else "none"
        rows.append((drafts, f"{seconds * 1e3:.2f}", steps, _pays(costs, verified - 1)))
    draft, overhead = costs.draft_step / plain, costs.overhead / plain
    return [
        f"cost of checking drafts, with {costs.position} tokens in the context",
        Table(COST_HEADS, rows, right=COST_HEADS, below=COST_HEADS[1:2]),
        f"Making a draft costs {draft:.2f} plain steps, all else in a round {overhead:.2f}.",
        COST_LEGEND,
    ]


def _pays(costs: Costs, drafts: int) -> str:
    """The chance of acceptance from which this many drafts pay, in words."""
    cost = round_cost(costs, drafts)
    if drafts == 0 or cost is None:
        return "-"
    chance = break_even(cost, drafts)
    return "never" if chance is None else percent(chance)


def notes(bench: Bench) -> list[str]:
    """What to keep in mind when reading the figures."""
    found = []
    results = bench.results
    if bench.plan.synthetic_acceptance is not None:
        chance = percent(bench.plan.synthetic_acceptance)
        found.append(f"Drafts were accepted with a chance of {chance} each: costs, not valid text.")
    if results.auto is not None and (copied := _copied(results[results.auto].total)):
        share = "under 1 %" if copied < 0.005 else percent(copied)
        found.append(f"Of what auto got accepted, {share} was copied from the text itself.")
    if results.noise is not None:
        found.append(noise(results.noise))
    if bench.alone is not None and results.speedup is not None:
        found.append(_alone(*bench.alone, results.speedup))
    if bench.toy and results.runs:
        found.append(TOY)
    if bench.interrupted and results.runs:
        found.append(f"Stopped after {len(results.runs)} of {len(bench.plan.order())} runs.")
    return found


def _alone(placement: Placement, gain: float, speedup: float) -> str:
    """Whether the drafter is worth the layers whose place it takes."""
    more = "more than drafts bring" if gain > max(speedup, 1.0) else "less than drafts bring"
    return (
        f"Without the drafter there would be room for {placement.in_words(False)}: by estimate "
        f"{gain:.2f} times the speed of plain decoding, {more}."
    )


def noise(spread: float) -> str:
    """How far the figures can be relied on."""
    found = f"Rounds of one length differed by {percent(spread)} in time"
    if spread > BUSY:
        return f"{found}: the machine was busy; measure again when it is quiet."
    return f"{found}."


def _copied(stats: Stats) -> float | None:
    """The share of accepted drafts that were found in the text and not made by the drafter."""
    return stats.copied / stats.accepted if stats.accepted else None


def plain_step(costs: Costs) -> float:
    """Seconds of verifying one token: a plain step, the unit of all other costs."""
    return costs.verify.get(1) or min(costs.verify.values(), default=1.0)


def _seconds(value: float) -> str:
    return f"{value * 1e3:.0f} ms" if value < 0.1 else f"{value:.2f} s"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
