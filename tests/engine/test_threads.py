"""Another number of threads while the real engine writes: same bits, same text, true counts."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.pairs import TINY
from test_engine import STORY, endless, finish

from gemma_mtp.api import CPU_PIECE, LoadOptions, Sampling
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.engine.threads import EqualRows
from gemma_mtp.llama import threads
from gemma_mtp.llama.threads import FreeProcessors

PLAIN = LoadOptions(context=2048, threads=2, flash_attn="off")
WAYS = {
    "plain": PLAIN,
    "flash attention": replace(PLAIN, flash_attn="on"),
    "q8_0": replace(PLAIN, flash_attn="on", kv_type="q8_0"),
}


class Changing:
    """Another number of threads at every evaluation."""

    most = 2

    def __init__(self):
        self._counts = itertools.cycle((1, 2, 2, 1))
        self.widths = []

    @property
    def count(self):
        return next(self._counts)

    def begin(self):
        pass

    def record(self, width, seconds, processor_seconds):
        assert 0 < processor_seconds <= 2 * seconds + 0.05
        self.widths.append(width)


@pytest.fixture
def engine(request):
    engine = load(TINY, getattr(request, "param", PLAIN))
    yield engine
    engine.close()


def changing(engine: Engine) -> Changing:
    engine.threads.reading = engine.threads.writing = policy = Changing()
    return policy


@pytest.mark.parametrize("engine", WAYS.values(), ids=WAYS, indirect=True)
@pytest.mark.parametrize("draft", [0, 3])
def test_in_exact_mode_the_number_of_threads_does_not_change_the_text(engine, draft):
    request = endless(text=STORY * 20, sampling=Sampling(1.0), seed=4, draft=draft, max_tokens=40)
    still = finish(engine, request)
    assert still.stats.threads == (0, 0, still.stats.rounds)
    policy = changing(engine)
    changed = finish(engine, request)
    assert changed.token_ids == still.token_ids
    assert [rounds > 0 for rounds in changed.stats.threads] == [False, True, True]
    assert sum(changed.stats.threads) == changed.stats.rounds
    assert {max(draft + 1, 2), CPU_PIECE} <= set(policy.widths)


def test_where_rows_differ_exact_mode_stays_with_all_threads(engine, monkeypatch):
    changing(engine)
    decode, pair = engine.pair.target.decode, engine.pair

    def inexact(tokens, position, outputs, *more):
        rows = decode(tokens, position, outputs, *more)
        rows[:outputs] += np.float32(1e-3 if pair.threads == 1 else 0)
        return rows

    monkeypatch.setattr(engine.pair.target, "decode", inexact)
    end = finish(engine, endless(seed=4, draft=3, max_tokens=30))
    assert end.stats.threads == (0, 0, end.stats.rounds)
    other = finish(engine, endless(exact=False, draft=3, max_tokens=30))
    assert [rounds > 0 for rounds in other.stats.threads] == [False, True, True]


def test_rows_are_compared_once_and_leave_the_cache_as_it_was(engine):
    finish(engine, endless(seed=4, max_tokens=10))
    target, tokens = engine.pair.target, engine.cache.tokens
    position = len(tokens)
    equal = EqualRows(engine.pair)
    assert equal.between(2, 1, tokens[:9], position) is True
    assert equal.between(1, 2, [], position) is True, "nothing to evaluate, it is known"
    assert target.can_rewind(position)
    assert finish(engine, endless(seed=4, max_tokens=10), fresh=False).stats.prompt_tokens


def test_where_there_is_no_room_to_compare_it_is_tried_later(engine):
    equal = EqualRows(engine.pair)
    assert equal.between(2, 1, [5], 0) is None
    assert equal.between(2, 1, [5, 6], 0) is True


def test_the_cells_stay_in_order_where_rows_are_compared_at_the_end_of_the_ring(engine):
    """All that is evaluated to be compared is forgotten again, on both sides of the end."""
    target, ring = engine.pair.target, engine.pair.target.ring_size
    for position in (ring - 3, ring - 2, ring - 1, ring):
        target.rewind(0)
        for at in range(0, position, CPU_PIECE):
            target.decode([5] * min(CPU_PIECE, position - at), at, 0)
        EqualRows(engine.pair).between(2, 1, [5, 6, 7, 8], position)
        assert target.in_order, f"{ring - position} cells before the end"


def clock(readings):
    """Seconds that all processors have been there, and idle, one reading a call."""
    left = iter(readings)
    return lambda: next(left)


def test_free_is_what_others_leave(monkeypatch):
    monkeypatch.setattr(threads, "_allowed_cpus", lambda: {0, 1})
    monkeypatch.setattr(threads, "process_time", iter([0.0, 0.1, 0.1, 0.6]).__next__)
    free = FreeProcessors(clock([(100, 50), (100.1, 50.05), (102, 51), (104, 51)]))
    assert free() is None, "too soon to say"
    assert free() == pytest.approx(2 * (1 + 0.1) / 2)
    assert free() == pytest.approx(2 * 0.5 / 2)


def test_where_the_system_says_nothing_nothing_is_known():
    assert FreeProcessors(lambda: None)() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_busy_program_is_seen():
    """It is made to run where this process may run, and nothing waits for a clock."""
    free = FreeProcessors()
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        found = None
        while found is None:
            found = free()
        assert 0 <= found <= len(os.sched_getaffinity(0)) - 0.2
    finally:
        program.kill()
        program.wait()
