"""The round on scripted models: what is committed, what the cache holds, what invariance means."""

import numpy as np
import pytest

from gemma_mtp.events import Sampling
from gemma_mtp.sampling import Sampler
from gemma_mtp.speculative import Speculator

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

    def decode(self, tokens, position, outputs):
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


class ScriptedDrafter:
    """Knows the target's logits, blurred by `noise`; 0 is perfect, large is random."""

    def __init__(self, target, noise):
        self.target, self.noise = target, noise
        self.tokens = []

    def begin(self, hidden, position):
        assert hidden[0] == position, "the hidden state must be that of the token before"
        self.tokens = list(self.target.cache)

    def step(self, token):
        self.tokens.append(token)
        row = self.target.row_after(self.tokens)
        blur = np.random.default_rng(len(self.tokens)).normal(size=VOCABULARY)
        return (row + self.noise * blur).astype(np.float32)


def write(k, noise=0.0, temperature=1.0, length=120, seed=4, min_width=2, end=()):
    prompt = [1, 2, 3]
    target = ScriptedTarget(prompt)
    speculator = Speculator(
        target,
        ScriptedDrafter(target, noise),
        Sampler(Sampling(temperature), seed),
        list(prompt),
        np.array([len(prompt) - 1], np.float32),
        end,
        min_width,
    )
    rounds = []
    while len(speculator.history) < length and speculator.history[-1] not in end:
        rounds.append(speculator.round(k))
        assert target.cache == speculator.history[:-1], "the cache holds all but the last token"
    return speculator.history, rounds, target


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("noise", [0.0, 2.0, 1e3])
def test_the_text_is_the_same_for_every_draft_length_and_drafter(temperature, noise):
    plain, _, _ = write(0, temperature=temperature)
    for k in range(1, 9):
        assert write(k, noise, temperature)[0][:120] == plain[:120]


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
    speculator = Speculator(target, None, Sampler(Sampling(), 4), list(prompt), None, ())
    assert speculator.time_plain_step() > 0
    assert speculator.history == prompt
    assert target.cache == prompt[:-1]


def test_repeat_penalty_does_not_depend_on_drafting():
    def run(k):
        prompt = [1, 2, 3]
        target = ScriptedTarget(prompt)
        sampler = Sampler(Sampling(repeat_penalty=1.8, repeat_last_n=8), 4)
        s = Speculator(
            target, ScriptedDrafter(target, 0), sampler, list(prompt), np.array([2.0]), (), 2
        )
        while len(s.history) < 60:
            s.round(k)
        return s.history[:60]

    assert run(0) == run(3) == run(7)
