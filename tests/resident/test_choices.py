"""What a pair may use on its devices when it is loaded: what was chosen before, if it has room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.pairs import TINY

from gemma_mtp import paths
from gemma_mtp.api import ON_CPU, DeviceChoice, DeviceOptions, LoadOptions
from gemma_mtp.engine import loading
from gemma_mtp.errors import DoesNotFit
from gemma_mtp.models import machine
from gemma_mtp.models.machine import Device, Machine
from gemma_mtp.resident import pairs

OPTIONS = LoadOptions(context=8192)
CARD = Device("CUDA0", "a card", 8 << 30, 8 << 30)
LONGER = DeviceChoice(DeviceOptions(2048))


class Loads:
    """Stands in for `loading.load`: what it was asked for, one load after the other."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.fails: Callable[[Any], bool] = lambda on_device: False

    def __call__(self, *given: Any, on_device: Any = None, **more: Any) -> Any:
        self.asked.append(on_device)
        if self.fails(on_device):
            raise DoesNotFit("no memory")
        return SimpleNamespace(info=SimpleNamespace(placement=given[5] or ON_CPU, warnings=()))


@pytest.fixture
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loads:
    found = Loads()
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(loading, "load", found)
    return found


def load(monkeypatch: pytest.MonkeyPatch, *gpus: Device, **options: Any) -> None:
    here = Machine(16 << 30, 16 << 30, 8, gpus)
    monkeypatch.setattr(machine, "this_machine", lambda: here)
    pairs.load(TINY, replace(OPTIONS, **options), lambda share: True)


def test_what_was_chosen_is_there_at_the_next_load(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, CARD)
    assert loads.asked[0].known is None
    loads.asked[0].keep(LONGER)
    load(monkeypatch, CARD)
    assert loads.asked[1].known == LONGER
    load(monkeypatch, CARD, context=32_768)
    assert loads.asked[2].known is None


def test_what_has_no_room_now_is_not_used_and_nothing_else_is_tried(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, CARD, gpu_layers=-1)
    assert loads.asked[0].fits(DeviceOptions(2048))
    loads.asked[0].keep(LONGER)
    full = replace(CARD, free=(CARD.total // 24) + (60 << 20))
    load(monkeypatch, full, gpu_layers=-1)
    assert not loads.asked[1].fits(DeviceOptions(2048))
    assert loads.asked[1].known == DeviceChoice(DeviceOptions())


def test_a_context_that_fails_with_it_after_all_costs_no_layer(
    loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, CARD)
    loads.asked[0].keep(LONGER)
    loads.fails = lambda on_device: on_device.known == LONGER
    load(monkeypatch, CARD)
    assert [asked.known for asked in loads.asked] == [
        None, LONGER, DeviceChoice(DeviceOptions())
    ]  # fmt: skip


def test_on_the_cpu_there_is_nothing_to_try(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch)
    load(monkeypatch, CARD, gpu_layers=0)
    assert loads.asked == [None, None]
