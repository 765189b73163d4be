"""On whatever GPU llama.cpp finds, real or made of software: the same texts as on the CPU, and the
memory that was estimated.

Skipped where there is none. `benchmarks/software_devices.py tests` and `benchmarks/real_card.py`
run them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import software_devices
from support.pairs import TINY

from gemma_mtp.api import ON_CPU, DeviceOptions, LoadOptions, Placement
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.models.machine import Device, this_machine
from gemma_mtp.resident import pairs

pytestmark = pytest.mark.device
OPTIONS = LoadOptions(context=software_devices.CONTEXT, threads=1, log_file=Path(os.devnull))
TOKENS = 24  # of each reply
LESS, MORE = 0.003, 32 << 20  # share of what is taken, and bytes, by which an estimate may differ
PLACEMENTS = ("all", "some", "one", "none", "drafter beside", "two devices")
WITH_SHORTLISTS = ("all", "some", "drafter beside", "two devices")


@pytest.fixture(scope="module")
def gpus() -> tuple[Device, ...]:
    found = this_machine().gpus
    if not found:
        pytest.skip("llama.cpp finds no GPU here")
    return found


@pytest.fixture(scope="module")
def cpu(gpus: tuple[Device, ...]) -> Iterator[Engine]:
    with closing(load(TINY, OPTIONS, placement=ON_CPU)) as engine:
        yield engine


@pytest.fixture(
    scope="module",
    params=[*((name, False) for name in PLACEMENTS), *((name, True) for name in WITH_SHORTLISTS)],
    ids=lambda param: param[0] + (" with shortlists" if param[1] else ""),
)
def placed(
    request: pytest.FixtureRequest, gpus: tuple[Device, ...]
) -> Iterator[tuple[Placement, Engine]]:
    """A placement as it was planned, and the pair that was loaded so."""
    name, shortlists = request.param
    placement = dict(software_devices.ways(TINY, gpus, shortlists=shortlists)).get(name)
    if placement is None:
        pytest.skip("one GPU alone is here")
    on_device = software_devices.forced(DeviceOptions(shortlist=shortlists))
    with closing(load(TINY, OPTIONS, placement=placement, on_device=on_device)) as engine:
        yield placement, engine


def test_texts_are_the_cpu_s_but_for_near_ties(
    cpu: Engine, placed: tuple[Placement, Engine]
) -> None:
    for asked in software_devices.requests(TOKENS):
        plain = software_devices.written(cpu, asked)
        assert len(plain.token_ids) == TOKENS
        assert "WRONG" not in software_devices.same(cpu, placed[1], asked, plain)


def test_no_more_memory_is_taken_than_was_estimated(placed: tuple[Placement, Engine]) -> None:
    planned, engine = placed
    for guess, real in zip(planned.gpus, engine.info.placement.gpus, strict=True):
        assert 0 < real.bytes < guess.free
        if guess.bytes:
            assert real.bytes * (1 - LESS) <= guess.bytes <= real.bytes + MORE


def test_exact_mode_is_said_to_hold_where_rows_of_all_widths_are_equal(
    placed: tuple[Placement, Engine],
) -> None:
    equal = software_devices.rows_by_width(placed[1]) == "same bits"
    assert placed[1].info.exact_holds == equal


def test_a_small_pair_goes_to_the_gpu_by_itself(gpus: tuple[Device, ...]) -> None:
    with closing(pairs.load(TINY, OPTIONS, lambda share: True, measuring=True)) as engine:
        assert engine.info.placement.is_whole
        assert engine.info.placement.drafter == engine.info.placement.gpus[0].name


def test_options_are_chosen_once_and_kept(
    gpus: tuple[Device, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path))
    choices = []
    for _ in range(2):
        with closing(pairs.load(TINY, OPTIONS, lambda share: True)) as engine:
            choices.append(engine.info.device_choice)
    assert choices[0].duels  # each has timings that no second try would give again
    assert choices[1] == choices[0]


def test_a_device_that_vanishes_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    if not os.environ.get("SOFTWARE_DEVICES"):
        pytest.skip("no device is made of software here")
    assert software_devices.vanish(Path(os.environ["LLAMA_CPP_LIB_PATH"])) == 0
    assert "The process that holds the model has ended" in capsys.readouterr().out
