"""What `bench` prints: the results as one JSON object, or as tables, bars and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemma_mtp.api import Stats
from gemma_mtp.decoding.costs import Costs
from gemma_mtp.measure.bench.break_even import break_even, round_cost
from gemma_mtp.measure.bench.conclusion import conclusion
from gemma_mtp.measure.bench.results import Results, Summary
from gemma_mtp.measure.bench.runs import Plan
from gemma_mtp.terminal.tables import Block, Table, bars
from gemma_mtp.text import counted, number, percent

HEADS = ("draft", "tok/s", "from-to", "speedup", "accepted", "per round", "of limit", "first token")
DROPPED = ("first token", "from-to", "of limit", "per round", "accepted", "speedup")
"""Columns that go first where the window is too narrow for all of them."""
COST_HEADS = ("width", "drafts", "ms", "plain steps", "pays from")
COST_DROPPED = ("drafts", "ms", "pays from")


@dataclass(frozen=True)
class Bench:
    """A finished or interrupted measurement and the conditions it was made under."""

    plan: Plan
    results: Results
    costs: Costs | None
    conditions: Mapping[str, Any]
    interrupted: bool = False


def as_json(bench: Bench) -> dict[str, Any]:
    """The object of `bench --json`. Ratios that cannot be formed are null."""
    results, plan = bench.results, bench.plan
    return {
        "runs": [_run_json(bench, summary) for summary in results.summaries],
        "speedup": _rounded(results.speedup),
        "best_fixed": results.best_fixed,
        "auto_vs_best": _rounded(results.auto_vs_best),
        "costs": None if bench.costs is None else _costs_json(bench.costs),
        "advice": conclusion(bench.results),
        "noise": _rounded(results.noise),
        "busy": results.busy,
        "valid_text": plan.synthetic_acceptance is None,
        "interrupted": bench.interrupted,
        **bench.conditions,
    }


def _run_json(bench: Bench, summary: Summary) -> dict[str, Any]:
    total, results = summary.total, bench.results
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


def _costs_json(costs: Costs) -> dict[str, Any]:
    plain = _plain(costs)
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
        found += [_table(bench.results), "", *_picture(bench.results), ""]
    if bench.costs is not None and bench.costs.verify:
        found += [*_costs(bench.costs), ""]
    return [*found, conclusion(bench.results), *_notes(bench)]


def _conditions(bench: Bench) -> list[str]:
    plan, conditions = bench.plan, bench.conditions
    texts = ", ".join(dict.fromkeys(run.text for run in bench.results.runs))
    weights = conditions["files"][0]["weights"]
    loaded = conditions["settings"]
    first = f"{Path(conditions['model']).name} ({weights}), {counted(loaded['threads'], 'thread')}"
    if loaded["gpu_layers"]:
        first += f", {loaded['gpu_layers']} layers on the GPU"
    second = f"{plan.repeat} x {plan.tokens} tokens, temperature {plan.temperature:g}: {texts}"
    return [first, second] if texts else [first]


def _table(results: Results) -> Table:
    rows = [_row(summary) for summary in results.summaries]
    return Table(HEADS, rows, right=HEADS[1:], dropped=DROPPED)


def _row(summary: Summary) -> tuple[str, ...]:
    total, length = summary.total, summary.total.mean_accepted_length
    drafts = total.drafted > 0
    return (
        summary.draft,
        number(summary.tokens_per_second),
        f"{number(min(summary.rates))}-{number(max(summary.rates))}",
        _or_dash(summary.speedup, "{:.2f}"),
        "-" if total.acceptance_rate is None else percent(total.acceptance_rate),
        _or_dash(length if drafts else None, "{:.2f}"),
        "-" if summary.share_of_limit is None or not drafts else percent(summary.share_of_limit),
        _seconds(summary.ttft_seconds),
    )


def _picture(results: Results) -> list[Block]:
    rows = [(s.draft, s.tokens_per_second, number(s.tokens_per_second)) for s in results.summaries]
    return ["tokens per second", bars(rows)]


def _costs(costs: Costs) -> list[Block]:
    plain = _plain(costs)
    rows, picture = [], []
    for verified, seconds in sorted(costs.verify.items()):
        steps = f"{seconds / plain:.2f}"
        pays = _pays(costs, verified - 1)
        rows.append((str(verified), str(verified - 1), f"{seconds * 1e3:.2f}", steps, pays))
        picture.append((str(verified), seconds / plain, steps))
    draft, overhead = costs.draft_step / plain, costs.overhead / plain
    return [
        f"cost of verifying, with {costs.position} tokens in the context",
        Table(COST_HEADS, rows, right=COST_HEADS[1:], dropped=COST_DROPPED),
        f"a draft step costs {draft:.2f} plain steps, all else in a round {overhead:.2f}",
        "pays from: the chance of each draft to be accepted",
        "",
        "plain steps by width",
        bars(picture),
    ]


def _pays(costs: Costs, drafts: int) -> str:
    """The chance of acceptance from which this many drafts pay, in words."""
    cost = round_cost(costs, drafts)
    if drafts == 0 or cost is None:
        return "-"
    chance = break_even(cost, drafts)
    return "never" if chance is None else percent(chance)


def _notes(bench: Bench) -> list[str]:
    """What to keep in mind when reading the figures."""
    notes = []
    results = bench.results
    if bench.plan.synthetic_acceptance is not None:
        chance = percent(bench.plan.synthetic_acceptance)
        notes.append(f"Drafts were accepted with a chance of {chance} each: costs, not valid text.")
    if results.auto is not None and (copied := _copied(results[results.auto].total)):
        share = "under 1 %" if copied < 0.005 else percent(copied)
        notes.append(f"Of what auto got accepted, {share} was copied from the text itself.")
    if results.noise is not None:
        spread = f"Rounds of one length differed by {percent(results.noise)} in time"
        if results.busy:
            notes.append(f"{spread}: the machine was busy; measure again when it is quiet.")
        else:
            notes.append(f"{spread}.")
    if bench.interrupted and results.runs:
        notes.append(f"Stopped after {len(results.runs)} of {len(bench.plan.order())} runs.")
    return notes


def _copied(stats: Stats) -> float | None:
    """The share of accepted drafts that were found in the text and not made by the drafter."""
    return stats.copied / stats.accepted if stats.accepted else None


def _plain(costs: Costs) -> float:
    """Seconds of verifying one token: a plain step, the unit of all other costs."""
    return costs.verify.get(1) or min(costs.verify.values(), default=1.0)


def _seconds(value: float) -> str:
    return f"{value * 1e3:.0f} ms" if value < 0.1 else f"{value:.2f} s"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
