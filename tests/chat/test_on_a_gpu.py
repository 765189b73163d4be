"""What a chat says of a pair of which a part is on a GPU; the pair is a made-up one."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from support.fakes import FakeEngine
from support.talk import Talk

from gemma_mtp.api import DeviceChoice, DeviceOptions, DeviceShare, Duel, PairInfo, Placement
from gemma_mtp.chat.loading import INEXACT, loaded
from gemma_mtp.models.larger_context import larger_context
from gemma_mtp.models.machine import Device, Machine
from gemma_mtp.terminal.render import Printer
from gemma_mtp.terminal.screen import Screen

CARD = DeviceShare("CUDA0", 34, 7_600_000_000, 8_000_000_000)
PARTED = Placement(34, 49, (CARD,), drafter="CUDA0")
LINE = "34 of 49 layers and the drafter on the GPU, 7.6 of 8.0 GB."


@pytest.mark.parametrize("is_new", [True, False])
def test_what_is_where_is_said_when_it_was_loaded_and_not_again(is_new: bool) -> None:
    output, errors = io.StringIO(), io.StringIO()

    def begin(progress: Callable[[float], bool]) -> FakeEngine:
        assert progress(1.0 if is_new else 0.0)
        engine = FakeEngine()
        engine.placement = PARTED
        return engine

    loaded(begin, Printer(Screen(output, errors)))
    assert (LINE in errors.getvalue()) == is_new
    assert not output.getvalue()


@pytest.mark.parametrize("tried", [True, False])
def test_what_is_fastest_is_said_when_it_was_tried(tried: bool) -> None:
    errors = io.StringIO()
    longer, plain = DeviceOptions(2048), DeviceOptions(2048, flash_attention=False)
    duels = (
        Duel(longer, DeviceOptions(), 1.84, 1.01, True),
        Duel(plain, longer, 0.95, 1.2, True),
    )

    def begin(progress: Callable[[float], bool]) -> FakeEngine:
        assert progress(1.0)
        assert progress(1.5 if tried else 1.0)
        engine = FakeEngine()
        engine.placement, engine.device_choice = PARTED, DeviceChoice(plain, duels)
        return engine

    loaded(begin, Printer(Screen(io.StringIO(), errors)))
    said = (
        "Fastest there: 2048 tokens of a prompt at once instead of 512 (reads 1.84 times as fast), "
        "no flash attention (reads 0.95 times as fast and writes 1.20 times as fast)."
    )
    assert (said in errors.getvalue()) == tried


def test_where_nothing_is_faster_that_is_said_and_where_nothing_was_tried_nothing_is() -> None:
    lost = Duel(DeviceOptions(1024), DeviceOptions(), 1.0, 1.0, False)
    words = DeviceChoice(DeviceOptions(), (lost,)).in_words
    assert words == "512 tokens of a prompt at once, nothing that was tried is faster"
    assert DeviceChoice(DeviceOptions()).in_words == ""


@pytest.mark.parametrize("holds", [True, False])
def test_a_seed_says_where_exact_mode_does_not_hold(holds: bool) -> None:
    talk = Talk()
    talk.engine.exact_holds = holds
    for line in ("/seed 7", "/set parameter exact true"):
        said = talk.run(line)
        assert (INEXACT in said) != holds
        assert ("The same seed gives the same text." in said) == holds


def test_what_makes_room_for_a_longer_context_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk()
    talk.engine.placement = PARTED

    def fewer(context: int) -> None:
        talk.engine.context = context
        if context > 20_000:
            talk.engine.placement = Placement(30, 49, (CARD,), drafter="CUDA0")

    monkeypatch.setattr(talk.engine, "enlarge", fewer)
    assert "To make room" not in talk.run("/set parameter ctx 16384")
    said = talk.run("/set parameter ctx 32768")
    assert "The context holds 32768 tokens now." in said
    assert "To make room: 30 of 49 layers and the drafter on the GPU, 7.6 of 8.0 GB." in said


@pytest.mark.parametrize(("shares", "most"), [(True, 16384), (False, 32768)])
def test_a_longer_context_may_take_what_is_free_beside_the_gpu(shares: bool, most: int) -> None:
    size = 1 << 30
    gpu = Device("A", "a card", size, size, shares_memory=shares)
    here = Machine(size, size, 4, (gpu,))
    sizes = (size // 2, 0, 10**7, 10**6)
    info = PairInfo("a", 8192, 2, 8, *sizes, context_limit=10**6, placement=PARTED)
    found = larger_context(lambda: here, info, 200_000)
    assert isinstance(found, str)
    tokens = int(found.split(" tokens")[0].split()[-1])
    assert most < tokens < most * 2
