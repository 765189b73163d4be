"""What `bench --shape` prints: costs, what they bring at published rates, and others' figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gemma_mtp.measure.bench import report
from gemma_mtp.measure.bench.conclusion import AS_FAST, range_in_words
from gemma_mtp.measure.bench.published import Figure, of_size
from gemma_mtp.measure.bench.shape import AtRate, ShapeBench
from gemma_mtp.terminal.tables import Block, facts
from gemma_mtp.text import byte_size, counted, percent


def as_json(bench: ShapeBench) -> dict[str, Any]:
    """The object of `bench --shape --json`. Ratios that cannot be formed are null."""
    pays = bench.pays_from if bench.costs else None
    return {
        "shape": bench.size,
        "costs": report.costs_json(bench.costs) if bench.costs else None,
        "bytes_per_plain_step": round(bench.weights_read),
        "pays_from": pays and {"acceptance": round(pays[0], 4), "drafts": pays[1]},
        "rates": [_rate_json(found) for found in bench.rates],
        "published": [_figure_json(figure) for figure in of_size(bench.size)],
        "advice": conclusion(bench),
        "interrupted": bench.interrupted,
        **bench.conditions,
    }


def _rate_json(found: AtRate) -> dict[str, Any]:
    rate = found.rate
    about = {"text": rate.text, "accepted_of_three": rate.accepted, "source": rate.source}
    return {**about, "chance": round(rate.chance, 4), **report.results_json(found.results)}


def _figure_json(figure: Figure) -> dict[str, str]:
    keys = ("hardware", "model", "rates", "factor", "source", "link")
    return {key: getattr(figure, key) for key in keys}


def blocks(bench: ShapeBench) -> list[Block]:
    """Conditions, costs, a table for each rate, others' figures, the conclusion, and notes."""
    found: list[Block] = [*_conditions(bench), ""]
    if bench.costs is not None and bench.costs.verify:
        found += [*report.costs(bench.costs), *_costs_in_words(bench), ""]
    for at in bench.rates:
        if at.runs:
            found += [_title(at), report.table(at.results), ""]
    if any(at.runs for at in bench.rates):
        found += [report.LEGEND, ""]
    if others := of_size(bench.size):
        found += ["published by others, with real drafters, times plain decoding"]
        found += [facts((figure.factor, _words(figure)) for figure in others), ""]
    return [*found, conclusion(bench), *_notes(bench)]


def _conditions(bench: ShapeBench) -> list[str]:
    first, plan = report.loaded(bench.conditions), bench.plan
    second = f"{plan.repeat} x {plan.tokens} tokens at each draft length"
    return [*first, second] if any(at.runs for at in bench.rates) else first


def _costs_in_words(bench: ShapeBench) -> list[str]:
    assert bench.costs is not None
    step = report.plain_step(bench.costs)
    read, pace = byte_size(round(bench.weights_read)), byte_size(round(bench.weights_read / step))
    pays = bench.pays_from
    if pays is None:
        gain = "Drafting would not pay here even if every draft were accepted."
    else:
        chance, drafts = pays
        each = f"with {counted(drafts, 'draft')} a round"
        gain = f"Drafting pays here from {percent(chance)} accepted, {each}."
    return [f"A plain step reads {read} of weights, {pace} a second.", gain]


def _title(at: AtRate) -> str:
    rate = at.rate
    share = f"{percent(rate.accepted)} of three drafts, as in {rate.source}"
    return f"{rate.text}: each draft is right with a chance of {percent(rate.chance)} ({share})"


def _words(figure: Figure) -> str:
    return f"{figure.hardware}, {figure.model} ({figure.source})"


def conclusion(bench: ShapeBench) -> str:
    """One sentence about what drafting can bring here, and what comes next."""
    found = [at for at in bench.rates if at.results.speedup is not None]
    if not found:
        timed = bench.costs is not None and bench.costs.verify
        return "Nothing but costs was measured." if timed else "Nothing was measured."
    best = max(found, key=lambda at: at.results.speedup or 0.0)
    results, auto = best.results, "--draft auto, the default, drafts only where that pays"
    pull = f"gemma-mtp pull {bench.size} fetches the real model with its drafter."
    if not results.gains:
        said = f"At these rates drafting gains nothing on this machine as it was just now; {auto}."
    elif results.doubtful:
        said = "Whether drafting gains on this machine cannot be told from this."
    else:
        said = (
            f"With drafts right as often as others saw in {best.rate.text}, this machine writes "
            f"{results.speedup:.2f} times as fast as without; {auto}."
        )
    return f"{said}{_behind(found)}{range_in_words(results)} {pull}"


def _behind(found: Sequence[AtRate]) -> str:
    """In which texts `auto` was slower than plain decoding, as a sentence; "" where in none."""
    losses = []
    for at in found:
        speedup = at.results[at.results.auto].speedup if at.results.auto else None
        if speedup is not None and speedup < AS_FAST:
            losses.append(f"{at.rate.text} ({speedup:.2f})")
    return f" Here it fell behind in {' and '.join(losses)}." if losses else ""


def _notes(bench: ShapeBench) -> list[str]:
    notes = ["Weights were random and drafts accepted by chance: costs are real, the text is not."]
    noises = [at.results.noise for at in bench.rates if at.results.noise is not None]
    if noises:
        notes.append(report.noise(max(noises)))
    if bench.interrupted:
        notes.append("Stopped before all was measured.")
    return notes
