"""What follows from the measurements of a made-up pair, and the sentence below them."""

from __future__ import annotations

from threading import Event

import pytest
from support.bench_engine import GROUPS, STEEP, CurveEngine, runs

from gemma_mtp.measure.bench.published import RATES
from gemma_mtp.measure.bench.runs import TEXTS, Plan
from gemma_mtp.measure.bench.shape import AtRate, ShapeBench, best_length, run
from gemma_mtp.measure.bench.shape_report import blocks, conclusion
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.terminal.tables import plain_lines

DRAFTS = ("off", "3", "auto")
ABOUT = {
    "model": "e2b, random weights",
    "files": [{"weights": "Q4_0"}],
    "settings": {"threads": 2, "gpu_layers": 0},
}


def bench(engine=None, **settings):
    entry = load_catalogue().find("e2b")
    found = ShapeBench("e2b", entry.shape, Plan((), TEXTS, 64, 3, 0.0), conditions=ABOUT)
    engine = engine or CurveEngine(**settings)
    found.costs = engine.measure_costs()
    plan = Plan(DRAFTS, TEXTS, 64, 3, 0.0)
    found.rates = [AtRate(rate, plan, runs(engine, DRAFTS)) for rate in RATES]
    return found


def test_the_best_length_depends_on_costs_and_chance():
    cheap, dear = CurveEngine(verify=GROUPS), CurveEngine(verify=STEEP)
    assert best_length(cheap.measure_costs(), 0.95) == 7
    assert best_length(cheap.measure_costs(), 0.5) == 3
    assert best_length(dear.measure_costs(), 0.1) == 1


def test_every_rate_is_measured_with_off_the_best_length_and_auto():
    engine, found = CurveEngine(), bench()
    found.rates = []
    steps = list(run(engine, found, Event()))
    assert steps == [(done, 18) for done in range(1, 19)]
    assert [at.plan.drafts for at in found.rates] == [("off", "3", "auto")] * 2
    chances = {request.synthetic_acceptance for request in engine.requests}
    assert chances == {rate.chance for rate in RATES}


def test_from_when_on_drafting_pays():
    chance, drafts = bench().pays_from
    assert drafts == 3
    assert sum(chance**i for i in range(4)) == pytest.approx(1.9 + 0.3)
    assert bench(verify=tuple(float(n) for n in range(1, 10))).pays_from is None


def test_what_it_brings_is_said_with_what_comes_next():
    found = conclusion(bench(accepts=0.87))
    assert "as others saw in code, this machine writes 1.49 times as fast" in found
    assert found.endswith("gemma-mtp pull e2b fetches the real model with its drafter.")


def test_no_gain_is_called_none():
    assert "drafting gains nothing on this machine" in conclusion(bench(verify=STEEP))


def test_where_auto_falls_behind_it_is_said():
    """CurveEngine drafts whatever it is told to, which on a steep curve loses with auto, too."""
    found = conclusion(bench(verify=STEEP))
    assert "Here it fell behind in code (0." in found
    assert "and prose (0." in found
    assert "fell behind" not in conclusion(bench(accepts=0.87))


def test_a_gain_in_some_repeats_only_is_no_factor():
    found = conclusion(bench(slowness=lambda number: 1.6 if number % 9 == 4 else 1.0))
    assert found.startswith("Whether drafting gains on this machine cannot be told from this.")


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_all_is_shown_however_narrow_the_window(columns):
    lines = [x for block in blocks(bench()) for x in plain_lines(block, columns)]
    assert max(map(len, lines)) <= columns
    shown = " ".join(" ".join(lines).split())
    for words in ("per round", "first token", "pays from", "M4 Max", "1.1 to 1.29", "eliza 9256"):
        assert words in shown
    assert "A plain step reads 1.3 GB of weights, 25." in shown
