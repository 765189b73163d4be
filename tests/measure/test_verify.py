"""The receipt: rows by width, where replies part and why, the verdict, the exit status."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from support.fakes import FakeEngine, FakeEnvironment, invoke
from support.pairs import TINY

from gemma_mtp.api import LoadOptions, Message, Request, Sampling
from gemma_mtp.cli.environment import Environment
from gemma_mtp.decoding.row_probe import ROWS, probe_rows, row_after, same_rows, smooth_start
from gemma_mtp.decoding.sampler import Sampler, filtered, gumbel
from gemma_mtp.engine import reply
from gemma_mtp.engine.loading import load
from gemma_mtp.errors import BadPair, Cancelled
from gemma_mtp.measure.verify.comparison import Comparison, Plan, Probe, compare, probe
from gemma_mtp.measure.verify.difference import Difference, first_difference, judge
from gemma_mtp.measure.verify.report import Receipt, as_json, blocks, verdict
from gemma_mtp.measure.verify.texts import QUESTION, STORY, texts
from gemma_mtp.terminal.tables import plain_lines

SIZE = 50
GREEDY = Sampling(temperature=0.0)


class FakeTarget:
    """Logits are a function of the tokens so far; a batch of some widths adds an error."""

    def __init__(self, errors=None, end=10**6):
        self.errors, self.end = errors or {}, end
        self.tokens = []
        self.widths = []

    def decode(self, tokens, position, outputs):
        assert position == len(self.tokens), "batches must follow each other"
        self.widths.append(len(tokens))
        rows = []
        for token in tokens:
            self.tokens.append(token)
            seed = int(hashlib.sha256(str(self.tokens).encode()).hexdigest()[:8], 16)
            rows.append(np.random.default_rng(seed).normal(size=SIZE).astype(np.float32))
        error = np.float32(self.errors.get(len(tokens), 0.0))
        return np.stack(rows)[-outputs:] + error

    def keep(self, length):
        del self.tokens[length:]

    def widest(self, position):
        return min(17, self.end - position) if position < self.end else 17


def test_rows_are_compared_with_those_of_width_two():
    target = FakeTarget(errors={1: 0.25, 5: 0.5})
    target.tokens = [1, 2, 3]
    found = probe_rows(target, list(range(ROWS + 9)), 3)
    assert {w: round(d, 4) for w, d in found.items() if d} == {1: 0.25, 5: 0.5}
    assert list(found) == list(range(1, 10))
    assert target.tokens == [1, 2, 3]


@pytest.mark.parametrize(("wrong", "same"), [(None, True), (2, False), (8, False), (17, False)])
def test_a_quick_look_finds_a_width_that_rounds_another_way(wrong, same):
    target = FakeTarget(errors={wrong: 0.25, 1: 0.5})
    target.tokens = [1, 2, 3]
    assert same_rows(target, list(range(17)), 3) == same
    assert target.tokens == [1, 2, 3]
    assert max(target.widths) == (17 if same or wrong == 17 else 8 if wrong == 8 else 3)


def test_an_engine_that_does_not_repeat_itself_is_noticed():
    class Drifting(FakeTarget):
        def decode(self, tokens, position, outputs):
            return super().decode(tokens, position, outputs) + np.float32(len(self.widths) / 100)

    target = Drifting()
    assert probe_rows(target, list(range(ROWS + 9)), 0)[2] > 0


def test_the_probe_keeps_away_from_the_end_of_the_ring():
    assert smooth_start(FakeTarget(), 100) == 100
    start = smooth_start(FakeTarget(end=110), 100)
    assert start + ROWS + 9 + 9 <= 111


@pytest.mark.parametrize(("width", "widths"), [(1, [1] * 5), (2, [2, 2, 2]), (4, [4, 2])])
def test_the_row_after_some_tokens_is_the_same_in_batches_of_any_width(width, widths):
    target = FakeTarget()
    target.tokens = [7]
    row = row_after(target, [1, 2, 3, 4, 5], 1, width)
    assert target.widths == widths
    assert target.tokens == [7]
    expected = FakeTarget().decode([7, 1, 2, 3, 4, 5], 0, 1)[0]
    assert np.array_equal(row, expected)


@pytest.mark.parametrize(
    ("one", "other", "at"),
    [([1, 2], [1, 2], None), ([1, 2], [1, 3], 1), ([1], [1, 2], 1), ([], [], None)],
)
def test_the_first_difference(one, other, at):
    assert first_difference(one, other) == at


def rows_of(*values):
    return [np.array(v, np.float32) for v in values]


def test_two_ways_that_choose_differently_by_rounding_are_a_near_tie():
    rows = rows_of([1.0, 1.01, 0.0], [1.02, 1.01, 0.0])
    found = judge(rows, GREEDY, seed=1, position=5, token=3, plain=1, other=0)
    assert found.near_tie
    assert found.repeated
    assert found.gap == pytest.approx(0.01, abs=1e-5)
    assert found.rounding == pytest.approx(0.02, abs=1e-5)


def test_a_choice_that_no_rounding_explains_is_an_error():
    rows = rows_of([1.0, 3.0, 0.0], [1.02, 3.0, 0.0])
    found = judge(rows, GREEDY, seed=1, position=5, token=3, plain=1, other=0)
    assert not found.near_tie
    assert found.gap == pytest.approx(2.0)


def test_a_gap_that_rounding_could_bridge_is_a_near_tie_even_if_it_was_not_repeated():
    rows = rows_of([1.0, 1.03, 0.0], [1.02, 1.03, 0.0])
    assert judge(rows, GREEDY, 1, 5, 3, plain=1, other=0).near_tie


def test_above_temperature_0_the_noise_counts():
    row = np.zeros(SIZE, np.float32)
    sampling = Sampling(temperature=0.5, top_p=1.0)
    noise = gumbel(1, 5, np.arange(SIZE))
    best, second = np.argsort(-noise)[:2]
    assert Sampler(sampling, 1).sample(row.copy(), 5) == best
    found = judge([row, row], sampling, 1, 5, 3, plain=int(best), other=int(second))
    assert found.gap == pytest.approx(noise[best] - noise[second])
    assert not found.near_tie


def at_an_edge(sampling):
    """Two hundred equal tokens by rank, and the noise of seed 1 at position 5 on them."""
    row = np.linspace(2.0, 0.0, 200).astype(np.float32)
    ids, _ = filtered(row, sampling)
    return row, len(ids), row / sampling.temperature + gumbel(1, 5, np.arange(200))


@pytest.mark.parametrize(
    "sampling",
    [Sampling(top_k=60, top_p=1.0), Sampling(top_k=0), Sampling(top_k=0, top_p=1.0, min_p=0.5)],
)
def test_a_token_that_rounding_moves_out_of_the_candidates_is_a_near_tie(sampling):
    row, kept, scores = at_an_edge(sampling)
    moved = row + np.float32(0.02) * np.sin(np.arange(200)).astype(np.float32)
    last, far = kept - 1, kept - 30
    behind = int(scores[: kept - 40].argmin())  # a sure candidate, far behind either in score
    assert min(scores[last], scores[far]) - scores[behind] > 0.1
    found = judge([row, moved], sampling, 1, 5, 3, plain=last, other=behind)
    assert not found.gap <= 2 * found.rounding
    assert found.near_tie
    assert not judge([row, moved], sampling, 1, 5, 3, plain=far, other=behind).near_tie


@pytest.mark.parametrize("sampling", [Sampling(top_k=60, top_p=1.0), Sampling(top_k=0)])
def test_a_token_that_rounding_cannot_make_a_candidate_is_an_error_at_any_gap(sampling):
    row, kept, scores = at_an_edge(sampling)
    outside = np.arange(kept + 20, 200)
    other = int(outside[scores[outside].argmax()])
    plain = int(np.abs(scores[: kept - 20] - scores[other]).argmin())
    row[plain] += scores[other] - scores[plain] + 0.001  # as good as equal in score
    found = judge([row, row], sampling, 1, 5, 3, plain=plain, other=other)
    assert not replace(found, rounding=0.01).near_tie
    assert replace(found, rounding=0.01, possible=True).near_tie


def test_rounding_is_that_of_tokens_that_could_be_chosen():
    row = np.linspace(9.0, 0.0, 500).astype(np.float32)
    moved = row.copy()
    moved[7] += 0.02
    moved[400:] += 0.5
    for sampling in (GREEDY, Sampling()):
        found = judge([row, moved], sampling, 1, 5, 3, plain=0, other=1)
        assert found.rounding == pytest.approx(0.02, abs=1e-5)


EQUAL = Comparison("story", 1.0, "3", True, 64, 90, 50, None)
IDLE = replace(EQUAL, drafted=0, accepted=0)
NEAR = replace(EQUAL, exact=False, difference=Difference(20, 0.01, 0.02, True))
WRONG = replace(EQUAL, exact=False, difference=Difference(20, 4.0, 0.02, False))
EVEN, UNEVEN = {1: 0.01, 2: 0.0, 4: 0.0}, {1: 0.01, 2: 0.0, 4: 0.03}
CONDITIONS = {
    "model": "tiny",
    "files": [{"name": "a.gguf", "weights": "Q4_0", "sha256": "0" * 64}],
    "settings": {"threads": 1, "kv_type": "f16"},
    "versions": {"gemma_mtp": "1", "llama_cpp": "2", "llama_cpp_python": "0.3.36"},
}


def receipt(*comparisons, differences=EVEN):
    return Receipt([Probe(100, differences)], comparisons, CONDITIONS)


@pytest.mark.parametrize(
    ("found", "ok", "exact", "words"),
    [
        (receipt(EQUAL, NEAR), True, True, "Exact mode holds here: 1 of 1 replies are the same"),
        (receipt(EQUAL, NEAR), True, True, "outside it 1 of 1 part at a near-tie (gap 0.01)"),
        (receipt(EQUAL, replace(EQUAL, exact=False)), True, True, "outside it 1 of 1 are, too"),
        (receipt(EQUAL, differences=UNEVEN), True, False, "is not assured here"),
        (
            receipt(replace(NEAR, exact=True), NEAR, differences=UNEVEN),
            True,
            False,
            "Exact mode does not hold here, logits depend",
        ),
        (receipt(EQUAL, WRONG), False, True, "by more than rounding: outside exact mode"),
        (receipt(IDLE), True, False, "Nothing was drafted here"),
        (receipt(IDLE, replace(IDLE, exact=False)), True, False, "Nothing was drafted here"),
        (
            receipt(EQUAL, IDLE),
            True,
            True,
            "2 of 2 replies are the same with drafts (1 of them had",
        ),
        (receipt(EQUAL, replace(IDLE, exact=False)), True, True, "outside it nothing was drafted"),
        (
            receipt(replace(EQUAL, accepted=0)),
            True,
            False,
            "not proved here, no draft was accepted in exact mode",
        ),
        (receipt(replace(NEAR, exact=True)), False, False, "but logits are equal at all widths"),
    ],
)
def test_the_verdict(found, ok, exact, words):
    assert words in verdict(found)
    assert (found.ok, found.exact_holds) == (ok, exact)
    assert as_json(found)["ok"] is ok


def test_a_reply_that_goes_on_where_the_other_ended_has_no_gap():
    ended = replace(WRONG, difference=Difference(20, float("inf"), 0.0, False))
    found = as_json(receipt(EQUAL, ended))
    assert found["comparisons"][1]["first_difference"]["gap"] is None
    assert "one reply ends at token 20" in found["verdict"]
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("columns", [40, 80])
def test_no_line_is_wider_than_the_terminal(columns):
    drawn = blocks(receipt(EQUAL, NEAR, WRONG))
    found = [line for block in drawn for line in plain_lines(block, columns)]
    assert max(map(len, found)) <= columns
    assert any("near-tie at 20 (0.01)" in line or "DIFFERS at 20" in line for line in found)


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_all_that_was_found_is_shown_however_narrow_the_window(columns):
    both = EQUAL, replace(EQUAL, exact=False)
    lines = [x for block in blocks(receipt(*both)) for x in plain_lines(block, columns)]
    shown = " ".join(" ".join(lines).split())
    for head in ("text", "temperature", "draft", "tokens", "accepted", "exact", "not exact"):
        assert head in shown
    assert shown.count("same") == 3  # both modes, and the verdict
    assert "llama-cpp-python 0.3.36" in shown


@pytest.fixture(scope="module")
def tiny():
    engine = load(TINY, LoadOptions(context=2048, threads=1))
    yield engine
    engine.close()


def test_rows_of_the_built_in_pair_are_equal_at_all_widths_of_exact_mode(tiny):
    found = probe(tiny, 9, Event())
    assert [p.position > 300 for p in found] == [False, True]
    assert all(p.equal for p in found)
    assert tiny.cache.tokens == []


PLAN = Plan(("3",), (STORY,), tokens=40, temperatures=(0.0, 1.0))


def test_its_replies_are_the_same_with_drafts(tiny):
    found = list(compare(tiny, PLAN, Event()))
    assert len(found) == 4
    assert all(c.difference is None for c in found if c.exact)
    assert all(c.accepted > 0 and c.tokens == 40 for c in found)


@pytest.mark.parametrize("size", [None, 2048, 512])
def test_a_reply_to_one_text_crosses_the_end_of_the_ring(machine, size):
    engine = load(TINY, LoadOptions(context=size, threads=1))
    try:
        long = next(text for text in texts(engine, 64) if text.name == "ring")
        end = next(iter(compare(engine, Plan(("3",), (long,), 64, (1.0,)), Event())))
        ring = engine.pair.target.ring_size
        length = len(engine.prompt(Request((Message.text("user", long.prompt),))))
    finally:
        engine.close()
    assert end.tokens == 64
    assert length // ring < (length + 32) // ring == (length + 64) // ring


def test_no_reply_crosses_the_end_of_a_ring_that_holds_the_context():
    engine = load(TINY, LoadOptions(context=256, threads=1))
    try:
        story, long, _ = texts(engine, 64)
        found = list(compare(engine, Plan(("3",), (story, long), 64, (0.0,)), Event()))
    finally:
        engine.close()
    assert long.name == "log"
    assert {c.tokens for c in found} == {64}


def test_a_reply_ends_inside_a_draft(tiny):
    found = list(compare(tiny, Plan(("3", "8"), (QUESTION,), 64), Event()))
    assert all(1 < c.tokens < 64 and c.accepted > 0 for c in found)
    assert all(c.difference is None for c in found if c.exact)


@pytest.mark.parametrize(
    ("drafts", "widest"), [(("3",), 9), (("auto",), 9), (("3", "16"), 17), (("12", "auto"), 13)]
)
def test_the_probe_goes_up_to_the_widest_round(tiny, drafts, widest):
    plan = Plan(drafts, (STORY,), 8)
    assert plan.widest == widest
    assert all(max(p.differences) == widest for p in probe(tiny, plan.widest, Event()))


def test_drafts_accepted_by_mistake_are_found_and_are_no_near_tie(tiny, monkeypatch):
    monkeypatch.setattr(reply, "agree", lambda sample, draft, position: draft)
    found = list(compare(tiny, PLAN, Event()))
    assert any(c.difference is not None and not c.difference.near_tie for c in found)
    assert not receipt(*found).ok


def test_a_drafter_that_fails_gives_no_verdict():
    engine = load(TINY, LoadOptions(context=2048, threads=1))
    step = engine.pair.drafter.step
    engine.pair.drafter.step = lambda token, short: np.full_like(step(token), np.nan)
    with pytest.raises(
        BadPair, match="cannot be measured here: The drafter computed no usable numbers"
    ):
        list(compare(engine, Plan(("3",), (QUESTION,), 8), Event()))
    engine.close()


def test_a_cancelled_comparison_gives_no_verdict(tiny):
    cancel = Event()
    cancel.set()
    with pytest.raises(Cancelled):
        list(compare(tiny, PLAN, cancel))


def verify(*arguments, env=None):
    words = ["--tokens", "16", "--threads", "1", "--ctx", "1024", "--draft", "3"]
    return invoke("verify", "tiny", *words, *arguments, env=env or Environment())


def test_the_command_prints_a_receipt_and_ends_well(machine):
    outcome = verify("--json")
    assert outcome.status == 0, outcome.stderr
    found = json.loads(outcome.stdout)
    assert found["ok"]
    assert found["exact_holds"]
    sums = {file["role"]: file["sha256"] for file in found["files"]}
    assert sums["target"] == hashlib.sha256(TINY.target.read_bytes()).hexdigest()
    assert {(c["temperature"], c["exact"]) for c in found["comparisons"]} == {
        (t, e) for t in (0.0, 1.0) for e in (True, False)
    }
    assert found["settings"]["draft"] == ["3"]
    assert "Exact mode holds here" in verify().stdout


def test_the_command_ends_with_status_1_when_drafting_changes_the_text(machine, monkeypatch):
    monkeypatch.setattr(reply, "agree", lambda sample, draft, position: draft)
    outcome = verify()
    assert outcome.status == 1
    assert "Drafting changes the text here" in outcome.stdout


def test_what_drafts_nothing_is_refused():
    for drafts in ("off", "0", "off,0"):
        outcome = invoke("verify", "tiny", "--draft", drafts, env=FakeEnvironment())
        assert outcome.status == 2
        assert f"--draft {drafts} drafts nothing" in outcome.stderr


def test_plain_decoding_is_not_compared_with_itself(machine):
    found = json.loads(verify("--json", "--draft", "off,2").stdout)
    assert {c["draft"] for c in found["comparisons"]} == {"2"}
    assert {c["text"] for c in found["comparisons"]} == {"story", "ring", "question"}


def test_the_smallest_context_is_large_enough(machine):
    outcome = verify("--ctx", "256", "--tokens", "64")
    assert outcome.status == 0, outcome.stderr
    assert "Exact mode holds here: 6 of 6 replies" in outcome.stdout


def test_without_a_drafter_there_is_nothing_to_verify():
    env = FakeEnvironment(FakeEngine(plain_reason="it has no drafter"))
    outcome = verify(env=env)
    assert outcome.status == 6
    assert "it has no drafter" in outcome.stderr


def test_mistakes():
    assert invoke("verify", "tiny", "--tokens", "0", env=FakeEnvironment()).status == 2
    assert invoke("verify", "tiny", "--draft", "x", env=FakeEnvironment()).status == 2
