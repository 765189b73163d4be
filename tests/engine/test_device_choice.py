"""What is fastest on a device is looked for once, within its time, and leaves no trace but that.

The processor stands in for a GPU; what counts as one is not asked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from support.pairs import TINY

from gemma_mtp.api import (
    CPU_PIECE,
    GPU_PIECE,
    ON_CPU,
    ON_CPU_OPTIONS,
    DeviceChoice,
    DeviceOptions,
    LoadOptions,
    Message,
    Request,
)
from gemma_mtp.engine import device_choice
from gemma_mtp.engine.device_choice import OnDevice, chooses_attention, settle
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.errors import Cancelled, DoesNotFit
from gemma_mtp.llama import LoadedPair, load_pair, loaded_pair
from gemma_mtp.models.saved_costs import CostMemory

OPTIONS = LoadOptions(context=1024, threads=1)
LONG = DeviceOptions(256, flash_attention=True)
REQUEST = Request(
    (Message.text("user", "Tell me a long story about a dog and a cat. " * 20),),
    seed=3,
    draft=3,
    max_tokens=60,
    ignore_end=True,
    exact=True,
)


@pytest.fixture
def pair() -> Iterator[LoadedPair]:
    loaded = load_pair(TINY, OPTIONS)
    yield loaded
    loaded.close()


@pytest.fixture(autouse=True)
def short_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_choice, "PROMPTS", (256, 128))
    monkeypatch.setattr(device_choice, "ENOUGH", 0.0)


def timed_as(seconds: dict[DeviceOptions, float], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Real evaluations, each of which is said to take so long for each token."""
    used: list[DeviceOptions] = []
    real = device_choice._Stopwatch.time

    def told(watch: device_choice._Stopwatch, options: DeviceOptions) -> object:
        used.append(options)
        return real(watch, options) and device_choice.Timing(seconds[options], seconds[options])

    monkeypatch.setattr(device_choice._Stopwatch, "time", told)
    return used


def text(engine: Engine) -> tuple[int, ...]:
    *_, end = engine.reply(REQUEST)
    return end.token_ids


def test_the_fastest_is_used_said_and_kept(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = DeviceOptions(CPU_PIECE, flash_attention=False)
    monkeypatch.setattr(device_choice, "ladders", lambda _: [[{"flash_attention": False}]])
    timed_as({ON_CPU_OPTIONS: 2.0, without: 1.0}, monkeypatch)
    kept: list[DeviceChoice] = []
    settle(pair, OnDevice(None, lambda options: True, kept.append), lambda share: True)
    assert pair.device == without
    assert kept == [pair.info.device_choice]
    (duel,) = kept[0].duels
    assert (duel.reading, duel.writing, duel.won) == (2.0, 2.0, True)
    again = OnDevice(kept[0], lambda options: True, lambda choice: pytest.fail("kept already"))
    monkeypatch.setattr(device_choice, "_Stopwatch", lambda *_: pytest.fail("it is known"))
    settle(pair, again, lambda share: True)
    assert pair.info.device_choice == kept[0]


def test_what_has_no_room_is_not_even_tried(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[DeviceOptions] = []
    used = timed_as({ON_CPU_OPTIONS: 1.0}, monkeypatch)
    settle(pair, OnDevice(None, lambda options: bool(asked.append(options))), lambda share: True)
    assert used == [ON_CPU_OPTIONS]
    assert {options.piece for options in asked} == {CPU_PIECE, 1024}


def test_a_context_that_cannot_be_made_is_out_and_the_one_before_stays(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loaded_pair.new_context

    def no_room(model: object, params: object, whose: str, shortlists: bool) -> object:
        if params.n_ubatch == 256:  # type: ignore[attr-defined]
            raise DoesNotFit("no memory")
        return real(model, params, whose, shortlists)

    monkeypatch.setattr(loaded_pair, "new_context", no_room)
    monkeypatch.setattr(device_choice, "ladders", lambda _: [[{"piece": 256}]])
    settle(pair, OnDevice(None, lambda options: True), lambda share: True)
    assert pair.device == ON_CPU_OPTIONS
    assert pair.info.device_choice.duels == ()
    assert pair.target.piece_size == CPU_PIECE


def test_ctrl_c_ends_it_between_two_evaluations(pair: LoadedPair) -> None:
    shares: list[float] = []

    def progress(share: float) -> bool:
        shares.append(share)
        return len(shares) < 8

    with pytest.raises(Cancelled):
        settle(pair, OnDevice(None, lambda options: True), progress)
    assert len(shares) == 8
    assert all(1 <= share <= 2 for share in shares)


def test_a_device_that_is_slow_is_not_tried_on_for_long(
    pair: LoadedPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an invented clock, on which each evaluation takes a second for each token."""
    now = 0.0
    real = pair.target.decode

    def decode(tokens: list[int], *more: int) -> object:
        nonlocal now
        now += len(tokens)
        return real(tokens, *more)

    monkeypatch.setattr(pair.target, "decode", decode)
    monkeypatch.setattr(device_choice, "perf_counter", lambda: now)
    settle(pair, OnDevice(None, lambda options: True), lambda share: True)
    assert pair.info.device_choice == DeviceChoice(ON_CPU_OPTIONS)
    assert now <= GPU_PIECE


def test_no_trace_is_left_in_what_is_written_next() -> None:
    texts = []
    for on_device in (None, OnDevice(None, lambda options: False)):
        engine = load(TINY, OPTIONS)
        if on_device is not None:
            settle(engine.pair, on_device, lambda share: True)
        texts.append(text(engine))
        engine.close()
    assert texts[0] == texts[1]


def test_a_choice_is_as_good_as_a_load_with_it() -> None:
    loaded = Engine(load_pair(TINY, OPTIONS, device=LONG))
    changed = load(TINY, OPTIONS)
    changed.pair.use(LONG)
    assert changed.pair.target.piece_size == loaded.pair.target.piece_size == 256
    assert text(changed) == text(loaded)
    loaded.close()
    changed.close()


def test_a_larger_context_without_room_for_a_longer_piece_has_the_usual_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Engine(load_pair(TINY, OPTIONS, device=LONG))
    text(engine)
    real = loaded_pair.new_context

    def no_room(model: object, params: object, whose: str, shortlists: bool) -> object:
        if params.n_ubatch == 256 and params.n_ctx > OPTIONS.context:  # type: ignore
            raise DoesNotFit("no memory")
        return real(model, params, whose, shortlists)

    monkeypatch.setattr(loaded_pair, "new_context", no_room)
    engine.enlarge(2048)
    assert engine.info.context_size == 2048
    assert engine.info.device_choice == DeviceChoice(ON_CPU_OPTIONS)
    fresh = load(TINY, LoadOptions(context=2048, threads=1))
    assert text(engine) == text(fresh)
    engine.close()
    fresh.close()


def test_costs_and_states_of_chats_are_those_of_the_options(tmp_path: Path) -> None:
    found = []
    for device in (None, LONG, DeviceOptions(256)):
        engine = Engine(load_pair(TINY, OPTIONS, device=device))
        costs = CostMemory(tmp_path, TINY, OPTIONS, "1")
        found.append((costs._path(engine.info), engine._kept_states()._layout))
        engine.close()
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in combinations(found, 2))


def test_on_the_cpu_alone_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_choice, "_Stopwatch", lambda *_: pytest.fail("measured"))
    on_device = OnDevice(None, lambda options: True, lambda choice: pytest.fail("kept"))
    for placement in (None, ON_CPU):
        engine = load(TINY, OPTIONS, placement=placement, on_device=on_device)
        assert engine.info.device_choice == DeviceChoice(ON_CPU_OPTIONS)
        engine.close()


def test_flash_attention_is_left_alone_where_it_was_set_or_is_needed() -> None:
    assert chooses_attention(LoadOptions())
    assert not chooses_attention(LoadOptions(flash_attn="on"))
    assert not chooses_attention(LoadOptions(kv_type="q8_0"))
    assert chooses_attention(LoadOptions(kv_type="bf16"))
