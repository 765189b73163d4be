"""The round on scripted models: what is committed, what the cache holds, what invariance means."""

import numpy as np
import pytest

from gemma_mtp.api import Sampling
from gemma_mtp.decoding.acceptance import Prior
from gemma_mtp.decoding.draft_length import AutoDraft
from gemma_mtp.decoding.draft_policy import Choice, FixedDraft
from gemma_mtp.decoding.drafters import MtpDrafter
from gemma_mtp.decoding.lookup import Lookup
from gemma_mtp.decoding.outcome import Proposal
from gemma_mtp.decoding.proposer import DraftTemperature, Proposer
from gemma_mtp.decoding.round import Speculator, agree, synthetic
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.decoding.transcript import of_tokens

VOCABULARY = 16
END = 15


class ScriptedTarget:
    """Logits are a hash of the tokens before; the cache is checked at every call."""

    def __init__(self, prompt, sharpness=3.0):
        self.cache = list(prompt[:-1])
        self.sharpness = sharpness
        self.widths = []
        self.rows = []

    def row_after(self, tokens):
        rng = np.random.default_rng([len(tokens), *tokens[-3:]])
        return (self.sharpness * rng.normal(size=VOCABULARY)).astype(np.float32)

    def decode(self, tokens, position, outputs, short=False):
        assert position == len(self.cache), "evaluated behind a hole or over live positions"
        self.widths.append(len(tokens))
        self.rows = []
        for token in tokens:
            self.cache.append(token)
            self.rows.append(list(self.cache))
        return np.array([self.row_after(r) for r in self.rows[-outputs:]])

    def hidden(self, row):
        return np.array([len(self.rows[row])], np.float32)

    def keep(self, length):
        assert length <= len(self.cache)
        del self.cache[length:]


class Repeating(ScriptedTarget):
    """Goes on after a token as it did before."""

    def row_after(self, tokens):
        rng = np.random.default_rng(tokens[-1])
        return (20 * rng.normal(size=VOCABULARY)).astype(np.float32)


class ScriptedDrafter:
    """Knows the target's logits, blurred by `noise`; 0 is perfect, large is random."""

    def __init__(self, target, noise):
        self.target, self.noise = target, noise
        self.tokens = []

    def begin(self, hidden, position):
        assert hidden[0] == position, "the hidden state must be that of the token before"
        self.tokens = list(self.target.cache)

    def step(self, token, short=False):
        self.tokens.append(token)
        row = self.target.row_after(self.tokens)
        blur = np.random.default_rng(len(self.tokens)).normal(size=VOCABULARY)
        return (row + self.noise * blur).astype(np.float32)


class Whim(FixedDraft):
    """Drafts, verifies and pads as the dice fall; whatever it does, the text must not show."""

    def __init__(self, seed):
        super().__init__(8)
        self.random = np.random.default_rng(seed)
        self.outcomes = []

    def begin(self, sources, limit, min_width=1, position=0):
        assert [source.name for source in sources] == ["mtp", "lookup"]
        self.limit, self.min_width = limit, min_width
        return int(self.random.integers(0, min(limit, 8) + 1))

    def take(self, offers):
        (offer,) = offers
        assert all(0 < c < 1 for c in offer.confidences)
        room = min(len(offer.tokens), self.limit)
        kept = int(self.random.integers(0, room + 1)) if self.random.random() < 0.5 else 0
        return Choice(offer.source, kept, max(kept + 1, self.min_width)) if kept else None

    def go_on(self, confidences):
        assert all(0 < c <= 1 for c in confidences)
        return self.random.random() < 0.8

    def verify(self, confidences):
        kept = int(self.random.integers(0, len(confidences) + 1))
        least = max(kept + 1, self.min_width)
        return kept, int(self.random.integers(least, max(self.limit + 1, least) + 1))

    def record(self, outcome):
        self.outcomes.append(outcome)


def write(
    k,
    noise=0.0,
    temperature=1.0,
    length=120,
    seed=4,
    min_width=2,
    end=(),
    policy=None,
    judge=agree,
    kind=ScriptedTarget,
):
    prompt = [1, 2, 3]
    target = kind(prompt)
    transcript = of_tokens(prompt)
    sampler = Sampler(Sampling(temperature), seed)
    speculator = Speculator(
        target,
        [mtp(target, noise, sampler), Lookup()],
        sampler,
        transcript,
        np.array([len(prompt) - 1], np.float32),
        end,
        min_width,
        judge,
    )
    policy = policy or FixedDraft(k)
    rounds = []
    while transcript.end < length and transcript.ids[-1] not in end:
        rounds.append(speculator.round(policy, 8))
        assert target.cache == transcript.ids[:-1], "the cache holds all but the last token"
        assert transcript.cached == transcript.end - 1
    return transcript.ids, rounds, target


def mtp(target, noise, sampler):
    return MtpDrafter(ScriptedDrafter(target, noise), Proposer(sampler, DraftTemperature()))


def of(done, source):
    """What this source proposed in a round; an empty proposal if it was not asked."""
    return next((p for p in done.proposals if p.source == source), Proposal(source, [], []))


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("noise", [0.0, 2.0, 1e3])
def test_the_text_is_the_same_for_every_draft_length_and_drafter(temperature, noise):
    plain, _, _ = write(0, temperature=temperature)
    for k in range(1, 9):
        assert write(k, noise, temperature)[0][:120] == plain[:120]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("noise", [0.0, 2.0, 1e3])
@pytest.mark.parametrize("kind", [ScriptedTarget, Repeating])
def test_the_text_is_the_same_whatever_a_controller_does(temperature, noise, kind):
    plain, _, _ = write(0, temperature=temperature, kind=kind)
    for seed in range(5):
        whim = write(0, noise, temperature, policy=Whim(seed), kind=kind)[0]
        assert whim[:120] == plain[:120]


def test_tokens_found_in_the_text_are_verified_like_drafts_and_cost_no_drafting():
    _, rounds, _ = write(0, 1e3, 0.0, policy=Whim(2), length=400, kind=Repeating)
    copied = [r for r in rounds if r.source == "lookup"]
    assert all(r.drafted == 0 and of(r, "mtp").tokens == [] for r in copied)
    assert np.mean([r.accepted == r.kept for r in copied]) > 0.9
    assert max(r.accepted for r in copied) == 8


def test_what_was_found_but_not_used_is_judged_all_the_same():
    _, rounds, _ = write(3, 0.0, temperature=0.0, length=400, kind=Repeating)
    late = rounds[-20:]
    assert {r.source for r in rounds} == {"mtp"}
    assert {(len(r.tokens), of(r, "lookup").matched) for r in late} == {(4, 4)}


def test_drafts_that_are_not_verified_are_judged_by_the_next_token():
    whim = Whim(3)
    _, rounds, _ = write(0, 1.0, policy=whim, length=400)
    assert whim.outcomes == rounds
    beyond = [r for r in rounds if r.drafted > r.kept == r.accepted]
    assert {of(r, "mtp").matched - r.kept for r in beyond} == {0, 1}
    drafted = [r for r in rounds if r.source != "lookup"]
    assert all(r.accepted <= r.kept <= r.drafted for r in drafted)
    assert all(len(p.tokens) == len(p.confidences) for r in rounds for p in r.proposals)
    assert all(len(r.tokens) == r.accepted + 1 for r in rounds)


def test_synthetic_acceptance_is_what_was_asked_for_whatever_the_drafter_says():
    for noise in (0.0, 1e3):
        _, rounds, _ = write(3, noise, length=6000, judge=synthetic(0.6, seed=1))
        first = [r.accepted > 0 for r in rounds if r.kept]
        second = [r.accepted > 1 for r in rounds if r.kept and r.accepted]
        assert np.mean(first) == pytest.approx(0.6, abs=0.04)
        assert np.mean(second) == pytest.approx(0.6, abs=0.05)


def test_synthetic_luck_is_the_same_for_every_draft_length():
    """A place that cannot be foreseen stops every draft that reaches it."""
    judge, other = synthetic(0.6, seed=1), synthetic(0.6, seed=2)
    luck = [judge(5, 9, position) == 9 for position in range(200)]
    assert luck == [judge(0, 3, position) == 3 for position in range(200)]
    assert luck != [other(5, 9, position) == 9 for position in range(200)]
    assert all(judge(0, 0, position) in (0, 1) for position in range(200))


def test_a_perfect_drafter_is_always_right_and_commits_the_bonus_token():
    _, rounds, target = write(3, temperature=0.0)
    assert {(r.drafted, r.accepted, len(r.tokens)) for r in rounds} == {(3, 3, 4)}
    assert set(target.widths) == {4}


def test_a_wrong_drafter_costs_tokens_but_never_text():
    history, rounds, _ = write(3, noise=1e3)
    assert sum(r.accepted for r in rounds) < sum(r.drafted for r in rounds) / 2
    assert all(len(r.tokens) == r.accepted + 1 for r in rounds)
    assert history[:120] == write(0)[0][:120]


def test_plain_rounds_have_width_one_unless_padded():
    assert set(write(0, min_width=1)[2].widths) == {1}
    assert set(write(0, min_width=2)[2].widths) == {2}


def test_nothing_is_committed_after_the_end_even_inside_a_draft():
    seen = set()
    for seed in range(12):
        plain = write(0, seed=seed, end={END})[0]
        history, rounds, target = write(4, seed=seed, end={END})
        assert history == plain
        assert target.cache == history[:-1]
        seen.add(rounds[-1].accepted == len(rounds[-1].tokens))
    assert seen == {True, False}, "the end came both as an accepted draft and as a bonus token"


def test_a_drafted_end_stops_the_draft_but_not_the_width():
    _, rounds, target = write(8, end={END}, seed=1, length=400)
    assert any(r.drafted < 8 for r in rounds)
    assert set(target.widths) == {9}


def test_timing_a_plain_step_leaves_no_trace():
    prompt = [1, 2, 3]
    target = ScriptedTarget(prompt)
    transcript = of_tokens(prompt)
    transcript.cached = 2
    speculator = Speculator(target, [], Sampler(Sampling(), 4), transcript, None, ())
    assert speculator.time_plain_step() > 0
    assert (transcript.ids, transcript.cached) == (prompt, 2)
    assert target.cache == prompt[:-1]


def test_repeat_penalty_does_not_depend_on_drafting():
    def run(k):
        prompt = [1, 2, 3]
        target = ScriptedTarget(prompt)
        sampler = Sampler(Sampling(repeat_penalty=1.8, repeat_last_n=8), 4)
        transcript, drafters = of_tokens(prompt), [mtp(target, 0, sampler)]
        s = Speculator(target, drafters, sampler, transcript, np.array([2.0]), (), 2)
        while transcript.end < 60:
            s.round(FixedDraft(k), 8)
        return transcript.ids[:60]

    assert run(0) == run(3) == run(7)


def test_without_a_drafter_the_text_itself_is_a_source_of_drafts():
    def run(drafters):
        target = Repeating([1, 2, 3])
        transcript = of_tokens([1, 2, 3])
        speculator = Speculator(
            target, drafters, Sampler(Sampling(0.0), 4), transcript, None, (), min_width=2
        )
        policy, rounds = knowing_widths(), []
        while transcript.end < 300:
            rounds.append(speculator.round(policy, 8))
        return transcript.ids[:300], rounds

    plain, _ = run([])
    text, rounds = run([Lookup()])
    assert text == plain
    assert {r.source for r in rounds} <= {"", "lookup"}
    assert sum(r.accepted for r in rounds) > 150


def knowing_widths():
    """A controller for which a wide round takes hardly longer, and deciding nothing."""
    policy = AutoDraft()
    for width in (1, 2, 4, 8):
        for _ in range(4):
            policy.curve.verified(width, 1.0 + width / 100, changed=False)
    return policy


class Forced:
    """A later kind of drafter: it knows for certain what follows, at no cost."""

    name, free, prior = "forced", True, Prior((0.999,), by_position=0.999, memory=0.99, bounds=())

    def __init__(self, target):
        self.target, self.judged = target, 0

    def propose(self, transcript, hidden, limit):
        tokens = list(transcript.ids)
        for _ in range(limit):
            tokens.append(int(self.target.row_after(tokens).argmax()))
            yield tokens[-1], 1.0

    def judge(self, tokens):
        self.judged += len(tokens)


def test_another_kind_of_drafter_is_listed_valued_and_recorded_like_the_others():
    target, sampler = ScriptedTarget([1, 2, 3]), Sampler(Sampling(0.0), 4)
    transcript, forced = of_tokens([1, 2, 3]), Forced(target)
    drafters = [mtp(target, 1e3, sampler), Lookup(), forced]
    speculator = Speculator(target, drafters, sampler, transcript, np.array([2.0]), ())
    policy, rounds = knowing_widths(), []
    while transcript.end < 300:
        rounds.append(speculator.round(policy, 8))
    assert transcript.ids[:120] == write(0, temperature=0.0)[0][:120]
    assert set(policy.acceptance) == {"mtp", "lookup", "forced"}
    assert sum(r.accepted for r in rounds if r.source == "forced") > 150
    assert forced.judged == sum(len(r.tokens) for r in rounds)
