"""What is run in which order, the arithmetic on it, and the sentence under it."""

from __future__ import annotations

from dataclasses import replace
from threading import Event

import pytest
from support.bench_engine import GROUPS, STEEP, CurveEngine, runs

from gemma_mtp.api import DeviceChoice, DeviceOptions, DeviceShare, Duel, Placement, to_json
from gemma_mtp.decoding.costs import Costs
from gemma_mtp.errors import BadPair, DoesNotFit
from gemma_mtp.measure.bench.break_even import break_even, round_cost
from gemma_mtp.measure.bench.conclusion import conclusion
from gemma_mtp.measure.bench.report import Bench, loaded, notes
from gemma_mtp.measure.bench.results import Results
from gemma_mtp.measure.bench.runs import TEXTS, Plan, affordable, measure, warm_up

DRAFTS = ("off", "1", "3", "auto")


def plan(drafts=DRAFTS, repeat=2, **settings):
    return Plan(drafts, TEXTS, 64, repeat, **settings)


def results(engine, drafts=DRAFTS, repeat=3):
    return Results(drafts, runs(engine, drafts, repeat))


def test_settings_run_forwards_and_backwards_in_turn_on_the_same_text():
    engine = CurveEngine()
    found = list(measure(engine, plan(), Event()))
    forwards = [0, 1, 3, "auto"]
    assert [request.draft for request in engine.requests] == forwards + forwards[::-1]
    assert [run.text for run in found] == ["story"] * 4 + ["code"] * 4
    assert [run.draft for run in found][:4] == list(DRAFTS)


def test_every_run_has_the_same_length_and_starts_from_an_empty_cache():
    engine = CurveEngine()
    list(measure(engine, plan(temperature=0.7), Event()))
    assert {(r.max_tokens, r.ignore_end, r.exact) for r in engine.requests} == {(64, True, False)}
    assert {r.sampling.temperature for r in engine.requests} == {0.7}
    assert engine.emptied == list(range(len(engine.requests)))
    by_text = {}
    for request in engine.requests:
        by_text.setdefault(request.messages, set()).add(request.seed)
    assert all(len(seeds) == 1 for seeds in by_text.values())


def test_synthetic_acceptance_is_handed_on_and_makes_sampling_greedy():
    engine = CurveEngine()
    list(measure(engine, plan(synthetic_acceptance=0.6, temperature=1.0), Event()))
    found = {(r.synthetic_acceptance, r.sampling.temperature) for r in engine.requests}
    assert found == {(0.6, 0.0)}


def test_plain_decoding_and_auto_warm_up_first():
    engine = CurveEngine()
    assert warm_up(engine, plan(), Event()).tokens_per_second == pytest.approx(20)
    assert [request.draft for request in engine.requests] == [0, "auto"]
    engine = CurveEngine()
    warm_up(engine, plan(("off", "3")), Event())
    assert [request.draft for request in engine.requests] == [0]


def test_what_was_measured_before_an_interruption_is_kept():
    cancel = Event()
    engine = CurveEngine(on_reply=lambda number: cancel.set() if number == 5 else None)
    found = list(measure(engine, plan(), cancel))
    assert [run.draft for run in found] == [*DRAFTS, "auto"]
    assert Results(DRAFTS, found)["auto"].speedup == pytest.approx(Results(DRAFTS, found).speedup)


def test_a_drafter_that_fails_is_an_error_and_no_measurement_of_plain_decoding():
    class Failing(CurveEngine):
        def reply(self, request, cancel=None):
            for end in super().reply(request, cancel):
                yield replace(end, warning="The drafter broke.")

    with pytest.raises(BadPair, match="Drafting cannot be measured here: The drafter broke"):
        list(measure(Failing(), plan(), Event()))


def test_a_run_that_does_not_fit_the_context_is_an_error():
    class Full(CurveEngine):
        def reply(self, request, cancel=None):
            for end in super().reply(request, cancel):
                object.__setattr__(end, "reason", "context")
                yield end

    with pytest.raises(DoesNotFit, match="64 tokens"):
        list(measure(Full(), plan(), Event()))


@pytest.mark.parametrize(
    ("rate", "runs", "context", "tokens"),
    [(20, 15, 8192, 80), (2, 15, 8192, 64), (3000, 15, 8192, 256), (3000, 15, 256, 128)],
)
def test_runs_are_as_long_as_a_minute_allows(rate, runs, context, tokens):
    assert affordable(rate, runs, context) == tokens


def test_speedups_are_tokens_per_round_over_the_cost_of_a_round():
    found = results(CurveEngine(accepts=0.5))
    tokens = 1 + 0.5 + 0.25 + 0.125
    assert found["3"].speedup == pytest.approx(tokens / (1.9 + 0.3), rel=1e-3)
    assert found["3"].share_of_limit == pytest.approx(1 / 2.2, rel=1e-3)
    assert found["off"].speedup == 1.0


def test_a_machine_that_slows_down_between_repeats_does_not_change_ratios():
    steady = results(CurveEngine())
    slowing = results(CurveEngine(slowness=lambda number: 1.0 + number // len(DRAFTS)))
    for draft in DRAFTS:
        assert slowing[draft].speedup == pytest.approx(steady[draft].speedup)
    assert slowing.auto_vs_best == pytest.approx(steady.auto_vs_best)
    assert slowing["off"].spread == pytest.approx((20 - 20 / 3) / 10, rel=1e-3)
    assert slowing.busy
    assert not steady.busy


def test_stalls_on_either_side_do_not_change_the_ratio():
    stalled = results(CurveEngine(slowness=lambda number: 9.0 if number in (2, 4) else 1.0))
    assert stalled["3"].speedup == pytest.approx(results(CurveEngine())["3"].speedup)


def test_the_best_fixed_setting_may_be_off_and_a_loss_is_called_one():
    found = results(CurveEngine(accepts=0.3, chosen=0))
    assert found.best_fixed == "off"
    assert found.best_drafting in ("3", "auto")
    losing = results(CurveEngine(accepts=0.3), ("off", "1", "3"))
    assert losing.speedup == pytest.approx(1.417 / 2.2, rel=1e-3)
    assert losing.auto_vs_best is None


def test_auto_is_set_against_the_best_fixed_length():
    found = results(CurveEngine(accepts=0.9, chosen=1))
    assert found.best_fixed == "3"
    assert found.auto_vs_best == pytest.approx((1.9 / 2.1) / (3.439 / 2.2), rel=1e-3)


def test_without_plain_decoding_there_is_no_speedup():
    found = results(CurveEngine(), ("1", "3"))
    assert (found.speedup, found["3"].speedup, found["3"].share_of_limit) == (None, None, None)
    assert found.best_fixed == "3"


def test_a_round_takes_the_cheapest_width_that_holds_it():
    costs = Costs({w: c * 0.05 for w, c in enumerate(GROUPS, 1)}, 0.005, 0.0, 300)
    assert round_cost(costs, 1) == pytest.approx(1.9 + 0.1)
    assert round_cost(costs, 3) == pytest.approx(1.9 + 0.3)
    assert round_cost(costs, 9) is None


@pytest.mark.parametrize(("cost", "drafts", "chance"), [(1.75, 2, 0.5), (1.0, 3, 0.0)])
def test_the_chance_that_repays_a_round(cost, drafts, chance):
    assert break_even(cost, drafts) == pytest.approx(chance, abs=1e-6)
    assert break_even(drafts + 1.0, drafts) is None


def test_the_sentence_where_auto_is_as_fast_as_any():
    sentence = conclusion(results(CurveEngine()))
    assert sentence == "--draft auto was as fast here as any: 1.24 times plain decoding."


def test_the_sentence_where_auto_alone_gains():
    sentence = conclusion(results(CurveEngine(), ("off", "1", "auto")))
    assert sentence == "--draft auto was as fast here as any: 1.24 times plain decoding."


def test_the_sentence_where_a_fixed_length_is_faster_than_auto():
    sentence = conclusion(results(CurveEngine(accepts=0.9, chosen=1)))
    expected = "--draft 3 was fastest here: 1.56 times plain decoding, of which auto reached 0.58."
    assert sentence == expected
    sentence = conclusion(results(CurveEngine(accepts=0.9), ("off", "1", "3")))
    assert sentence == "--draft 3 was fastest here: 1.56 times plain decoding."


def test_the_sentence_where_drafting_does_not_pay_says_by_how_much():
    sentence = conclusion(results(CurveEngine(0.7, verify=STEEP), ("off", "1", "3")))
    assert sentence == (
        "Drafting does not pay here: the fastest setting with drafts, --draft 3, reached 0.74 of "
        "the speed of plain decoding; use --draft off."
    )


def test_a_drafter_of_another_model_that_does_not_pay_is_named():
    found = results(CurveEngine(0.7, verify=STEEP), ("off", "1", "3"))
    whose = "The drafter is that of e4b, not one made for this model."
    assert conclusion(found, "e4b") == f"{conclusion(found)} {whose}"
    pays = results(CurveEngine())
    assert conclusion(pays, "e4b") == conclusion(pays)


def test_the_sentence_where_auto_stops_drafting_by_itself():
    sentence = conclusion(results(CurveEngine(0.2, chosen=0)))
    assert sentence == (
        "Drafting does not pay here, and --draft auto leaves it: it was as fast as plain decoding "
        "(1.00)."
    )


def test_a_setting_that_drafted_nothing_has_no_gain_however_fast_it_was():
    lucky = CurveEngine(0.2, chosen=0, slowness=lambda number: 1.2 if number % 2 == 0 else 1.0)
    found = results(lucky, ("off", "auto"), repeat=2)
    assert found.speedup > 1.1
    assert conclusion(found).startswith("Drafting does not pay here")


def test_the_sentence_says_so_where_the_repeats_differ_more_than_they_gain():
    engine = CurveEngine(slowness=lambda number: (1.0, 1.0, 1.0, 1.6, 1.0, 1.0)[number % 6])
    sentence = conclusion(results(engine, ("off", "3")))
    assert sentence == (
        "--draft 3 was fastest here: 1.24 times plain decoding. The repeats of --draft 3 range "
        "from 0.78 to 1.24, more than it gains or loses: the texts differ, or the machine was busy."
    )
    assert "range" not in conclusion(results(CurveEngine(), ("off", "3")))
    losing = CurveEngine(0.7, STEEP, slowness=lambda number: 2.0 if number == 3 else 1.0)
    assert "range" not in conclusion(results(losing, ("off", "3")))
    assert "measured once only" in conclusion(results(CurveEngine(), ("off", "3"), repeat=1))


def test_the_sentence_on_half_a_measurement():
    assert conclusion(Results(DRAFTS, [])) == "Nothing was measured."
    assert "name draft lengths" in conclusion(results(CurveEngine(), ("off",)))
    alone = conclusion(results(CurveEngine(), ("1", "3")))
    assert alone == "--draft 3 was fastest here: measure off as well to see what drafting brings."


@pytest.mark.parametrize(
    ("gain", "words"), [(1.07, "less than drafts bring"), (1.5, "more than drafts bring")]
)
def test_whether_the_drafter_is_worth_the_layers_whose_place_it_takes(gain, words):
    alone = Placement(39, 49, (DeviceShare("A", 39, 5 * 10**9, 6 * 10**9),)), gain
    found = Bench(plan(), results(CurveEngine()), None, {}, alone=alone)
    assert notes(found)[-1] == (
        "Without the drafter there would be room for 39 of 49 layers on the GPU, 5.0 of 6.0 GB: "
        f"by estimate {gain:.2f} times the speed of plain decoding, {words}."
    )


def test_what_was_chosen_by_measurement_on_a_gpu_is_said():
    longer = DeviceOptions(1024)
    choice = DeviceChoice(longer, (Duel(longer, DeviceOptions(), 1.5, 1.0, True),))
    settings = {"threads": 2, "gpu_layers": 49, "placement": "all 49 layers on the GPU"}
    conditions = {"model": "12b", "files": [{"weights": "Q4_0"}]}
    for chosen, words in (
        (choice, ["fastest there: 1024 tokens of a prompt at once instead of 512"
                  " (reads 1.50 times as fast)"]),
        (DeviceChoice(DeviceOptions()), []),
    ):  # fmt: skip
        about = {**conditions, "settings": {**settings, "device_choice": to_json(chosen)}}
        assert loaded(about) == ["12b (Q4_0), 2 threads, all 49 layers on the GPU", *words]
