"""Our controller and the rules it is compared with, on recorded and invented traces."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean

import controllers.replay
import pytest
from controllers.curves import BUILT_IN, CURVES, LOSING, Curve
from controllers.replay import (
    SOURCES,
    Machine,
    best_fixed,
    fixed_rate,
    oracle_rate,
    played,
    replay,
    replies,
)
from controllers.rivals import Climb, Heuristic, LlamaCpp
from controllers.traces import (
    CODE,
    HARD,
    INFORMED,
    MISLEADING,
    PROSE,
    UNINFORMED,
    Trace,
    edited,
    invented,
    recorded_traces,
    with_lookup,
)

from gemma_mtp.decoding.costs import IN_CACHE, CostBook, Costs
from gemma_mtp.decoding.draft_length import AutoDraft
from gemma_mtp.decoding.draft_policy import FixedDraft
from gemma_mtp.models import gguf

BY_NAME = {curve.name: curve for curve in CURVES}
GROUPS_OF_FOUR, GPU = BY_NAME["CPU Q4_0"], BY_NAME["GPU dense"]
HOPELESS = Curve("hopeless", tuple(1 + 0.9 * i for i in range(8)))
RECORDED = {t.name: t for t in recorded_traces(Path(__file__).parents[1] / "traces")}
SOME = ("built-in T=1", "weaker T=0.7", "weak T=0")


def knowing(curve):
    """Our controller with costs measured before."""
    book = CostBook()
    book.learn(Costs(dict(enumerate(curve.verify, 1)), curve.draft_step, 0.0, 0))
    return AutoDraft(book)


def twice(trace):
    """The recorded text and then again, since a thousand tokens are few to learn from."""
    return Trace(trace.name, trace.matched * 2, trace.confidences * 2)


def against_best_fixed(make, trace, curve):
    """On a machine with noise and stalls."""
    return replay(make(), trace, Machine(curve)).rate / best_fixed(trace, curve)[1]


@pytest.mark.parametrize("name", SOME)
def test_known_costs_and_a_recorded_text(name):
    trace = twice(RECORDED[name])
    ratios = [against_best_fixed(lambda c=c: knowing(c), trace, c) for c in CURVES]
    assert mean(ratios) > 0.97
    assert min(ratios) > 0.92


@pytest.mark.parametrize("confidence", [INFORMED, UNINFORMED, MISLEADING])
def test_confidence_may_be_worthless_or_misleading(confidence):
    trace = invented((0.75,), confidence)
    ratios = [against_best_fixed(lambda c=c: knowing(c), trace, c) for c in CURVES]
    assert mean(ratios) > 0.97
    assert min(ratios) > 0.95


def test_learning_the_costs_on_the_way_takes_little_of_a_text():
    cases = [(twice(RECORDED[name]), curve) for name in SOME for curve in CURVES]
    ratios = [against_best_fixed(AutoDraft, trace, curve) for trace, curve in cases]
    assert mean(ratios) > 0.97
    assert min(ratios) > 0.9


def test_mixed_text_is_faster_than_with_any_fixed_length():
    trace = invented((CODE, PROSE, HARD), tokens=6000)
    for curve in (GROUPS_OF_FOUR, GPU):
        assert against_best_fixed(lambda c=curve: knowing(c), trace, curve) > 1.02


def test_where_nothing_pays_it_is_hardly_slower_than_plain_decoding():
    trace = invented((HARD,), tokens=2000)
    assert replay(knowing(HOPELESS), trace, Machine(HOPELESS)).rate > 0.98
    assert replay(AutoDraft(), trace, Machine(HOPELESS)).rate > 0.94


def test_it_finds_width_four_where_the_climbing_rule_stays_at_plain_decoding():
    trace = invented((0.85,), UNINFORMED)
    ours = replay(AutoDraft(), trace, Machine(GROUPS_OF_FOUR))
    climb = replay(Climb(), trace, Machine(GROUPS_OF_FOUR))
    assert mean(r.width == 4 for r in ours.rounds[-100:]) > 0.8
    assert mean(r.width == 1 for r in climb.rounds[-100:]) > 0.8


def test_a_text_that_turns_from_hard_to_easy():
    hard, easy = invented((0.1,), tokens=1000), invented((0.95,), tokens=1000)
    trace = Trace("", hard.matched + easy.matched, hard.confidences + easy.confidences)
    run = replay(knowing(GROUPS_OF_FOUR), trace, Machine(GROUPS_OF_FOUR))
    assert mean(r.kept >= 3 for r in run.rounds[-100:]) > 0.9


@pytest.mark.parametrize("stalled", range(0, 12, 2))
def test_no_single_stall_while_learning_spoils_the_rest(stalled):
    """The first timings of a width are all that is known of it."""

    class StallsOnce(Machine):
        calls = 0

        def shown(self, cost):
            self.calls += 1
            return cost * (6 if self.calls == 2 * stalled + 2 else 1)

    trace = invented((0.9,), UNINFORMED)
    run = replay(AutoDraft(), trace, StallsOnce(GPU))
    assert run.rate > 0.95 * best_fixed(trace, GPU)[1]


def with_and_without_lookup(trace, curve):
    bare = replace(trace, found=[], found_matched=[])
    return [replay(knowing(curve), t, Machine(curve)).rate for t in (trace, bare)]


@pytest.mark.parametrize("curve", [GROUPS_OF_FOUR, GPU], ids=lambda curve: curve.name)
def test_first_drafts_that_are_slow_spoil_neither_this_session_nor_the_next(curve, monkeypatch):
    """As when the drafter's file is read for the first time."""
    drafts = 0
    usual = controllers.replay._round

    def slow_at_first(*args):
        nonlocal drafts
        done, cost = usual(*args)
        drafts += bool(done.drafted)
        slow = done.drafted and drafts <= 2
        return (replace(done, draft_seconds=2.0) if slow else done), cost

    monkeypatch.setattr(controllers.replay, "_round", slow_at_first)
    trace, machine = invented((0.9,), tokens=1000), Machine(curve, seed=1)
    best = best_fixed(trace, curve)[1]
    policy = AutoDraft()
    assert replay(policy, trace, machine).rate > 0.8 * best
    short = AutoDraft()
    drafts = 0
    replay(short, invented((0.9,), tokens=20), machine)
    saved = AutoDraft(CostBook.from_dict(short.book.as_dict()))
    assert replay(saved, trace, machine).rate > 0.8 * best


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.name)
def test_editing_a_text_is_faster_when_it_is_looked_up(curve):
    source = Path(gguf.__file__).read_text()
    trace = with_lookup(invented((CODE,)), source, edited(source))
    looked_up, bare = with_and_without_lookup(trace, curve)
    assert looked_up > 1.08 * bare


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.name)
def test_looking_up_costs_next_to_nothing_where_nothing_is_copied(curve):
    pages = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
    trace = with_lookup(invented((PROSE,)), "", "\n".join(page.read_text() for page in pages))
    looked_up, bare = with_and_without_lookup(trace, curve)
    assert looked_up > 0.97 * bare


def test_every_rule_lies_between_nothing_and_the_oracle():
    for trace in (invented((CODE, PROSE, HARD)), RECORDED["weak T=1"]):
        for curve in CURVES:
            limit = oracle_rate(trace, curve)
            for policy in (AutoDraft(), LlamaCpp(), LlamaCpp(0.75), Climb(), Heuristic()):
                assert 0 < replay(policy, trace, Machine(curve)).rate <= limit


def test_a_replay_of_a_fixed_length_costs_what_the_formula_says():
    curve = Curve("free changes", GROUPS_OF_FOUR.verify, rebuild=0.0)
    for k in (0, 3, 7):
        run = replay(FixedDraft(k), RECORDED["weaker T=0"], Machine(curve))
        assert run.rate == pytest.approx(fixed_rate(RECORDED["weaker T=0"], curve, k), rel=1e-9)


def rounds(policy, *outcomes, cost=lambda k: 1 + 0.1 * k):
    """The lengths a rule chooses when so many drafts match each time."""
    lengths = []
    for matched in outcomes:
        k = policy.begin(SOURCES, 7)
        policy.record(played(k, k, min(matched, k), k + 1, matched + 1, [0.9] * k, 0.0, cost(k)))
        lengths.append(k)
    return lengths


def test_transformers_takes_two_more_after_a_full_draft_and_one_less_after_any_other():
    assert rounds(Heuristic(), 7, 7, 2, 0, 7, 0, 0) == [5, 7, 7, 6, 5, 7, 6]
    assert rounds(Heuristic(), *[0] * 8)[-1] == 1


def test_llama_cpp_cuts_a_draft_before_the_first_unsure_token():
    cut = LlamaCpp(0.75)
    assert cut.begin(SOURCES, 7) == 3
    assert cut.go_on([0.8])
    assert not cut.go_on([0.8, 0.5])
    assert cut.verify([0.8, 0.5]) == (1, 2)
    assert LlamaCpp().verify([0.1, 0.2, 0.3]) == (3, 4)


def test_the_climbing_rule_goes_deeper_while_that_pays():
    lengths = rounds(Climb(), *[7] * 300)
    assert lengths[:2] == [0, 0]
    assert lengths[-1] == 7
    assert all(later - earlier <= 1 for earlier, later in pairwise(lengths))


def test_a_trace_survives_its_file(tmp_path):
    trace = invented((PROSE,), tokens=50)
    trace.save(tmp_path / "t.json.gz")
    again = Trace.load(tmp_path / "t.json.gz")
    assert again.matched == trace.matched
    assert again.confidences[7] == pytest.approx(trace.confidences[7], abs=1e-3)


def for_small_models():
    return AutoDraft(guess=IN_CACHE)


def lost(make, curve, text, length, count):
    """What a session of replies lost, and its first reply, as shares of plain decoding's time."""
    times = -(-length * count // len(text))
    session = Trace("", text.matched * times, text.confidences * times).part(0, length * count)
    runs = replies(make(), session, Machine(curve), length)
    seconds = [run.cost * length / run.tokens for run in runs]
    plain = length + curve.rebuild
    return sum(seconds) / (plain * count) - 1, seconds[0] / plain - 1


@pytest.mark.parametrize(("length", "count"), [(16, 40), (32, 20), (64, 10), (256, 8)])
@pytest.mark.parametrize("curve", LOSING, ids=lambda c: c.name)
def test_where_nothing_pays_a_session_that_knows_nothing_loses_at_most_two_per_cent(
    curve, length, count
):
    make = for_small_models if curve is BUILT_IN else AutoDraft
    texts = [invented((0.3,)), invented((0.5,)), RECORDED["weak T=1"]]
    losses = [lost(make, curve, text, length, count) for text in texts]
    assert mean(session for session, _ in losses) < 0.02


def test_the_first_reply_of_a_small_model_hardly_loses_by_what_is_tried():
    curve = replace(BUILT_IN, deciding=0.0)
    for text in (invented((0.3,)), RECORDED["built-in T=1"]):
        assert lost(for_small_models, curve, text, 60, 1)[1] < 0.02


@pytest.mark.parametrize("curve", [GROUPS_OF_FOUR, GPU], ids=lambda c: c.name)
def test_where_drafting_pays_the_first_reply_that_knows_nothing_is_faster(curve):
    """Of what the best length gains, most is reached within 200 tokens."""
    text = RECORDED["built-in T=1"].part(0, 200)
    rate = replay(AutoDraft(), text, Machine(curve)).rate
    best = best_fixed(text, curve)[1]
    assert rate - 1 > 0.7 * (best - 1)


def test_deciding_is_left_off_most_of_the_time_where_a_plain_step_takes_next_to_nothing():
    curve = replace(HOPELESS, deciding=0.12)
    text = invented((HARD,))
    assert replay(knowing(curve), text, Machine(curve)).rate > 0.98
