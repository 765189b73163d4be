"""What was chosen for a device is there in the next run, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gemma_mtp.api import (
    DeviceChoice,
    DeviceOptions,
    DeviceShare,
    Duel,
    LoadOptions,
    PairFiles,
    Placement,
    to_json,
)
from gemma_mtp.models import device_choices, placed
from gemma_mtp.models.device_choices import DeviceChoices

HERE = Placement(20, 49, (DeviceShare("CUDA0", 20, 7, 8),), drafter="CUDA0")
PLAIN = LoadOptions()
BEST = DeviceOptions(2048, flash_attention=False)
CHOICE = DeviceChoice(BEST, (Duel(BEST, DeviceOptions(), 1.5, 1.25, True),))


@pytest.fixture
def files(tmp_path: Path) -> PairFiles:
    for name in ("target", "drafter"):
        (tmp_path / name).write_bytes(b"weights")
    return PairFiles("pair", tmp_path / "target", tmp_path / "drafter")


def memory(
    files: PairFiles,
    options: LoadOptions = PLAIN,
    context: int = 8192,
    machine: str = "llama.cpp 1, a card",
) -> DeviceChoices:
    return DeviceChoices(files.target.parent / "devices", files, options, context, machine)


def test_it_is_there_in_the_next_run(files: PairFiles) -> None:
    assert memory(files).recall(HERE) is None
    memory(files).keep(HERE, CHOICE)
    assert memory(files).recall(HERE) == CHOICE
    less_free = replace(HERE, gpus=(replace(HERE.gpus[0], free=3, bytes=2),))
    assert memory(files).recall(less_free) == CHOICE
    assert memory(files, context=5000).recall(HERE) == CHOICE, "the same class of sizes"


def test_what_takes_its_time_otherwise_is_measured_anew(files: PairFiles) -> None:
    memory(files).keep(HERE, CHOICE)
    assert memory(files).recall(replace(HERE, cpu_experts=3)) is None
    assert memory(files, context=8193).recall(HERE) is None
    assert memory(files, machine="llama.cpp 1, another card").recall(HERE) is None
    for options in (LoadOptions(kv_type="q8_0"), LoadOptions(flash_attn="on")):
        assert memory(files, options).recall(HERE) is None
    files.target.write_bytes(b"other weights")
    assert memory(files).recall(HERE) is None


def test_show_has_what_was_chosen_last_for_these_files(
    files: PairFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_choices, "folder", lambda: tmp_path / "devices")
    assert files.drafter is not None
    both = [files.drafter, files.target]
    assert device_choices.latest(both) is None
    memory(files).keep(HERE, DeviceChoice(DeviceOptions()))
    assert device_choices.latest(both) is None, "nothing was measured"
    memory(files).keep(replace(HERE, cpu_experts=3), CHOICE)
    assert device_choices.latest(both) == CHOICE
    assert device_choices.latest([files.target]) is None
    ((label, words),) = placed.facts({"device_choice": to_json(CHOICE)})
    assert (label, words) == ("fastest", f"{CHOICE.in_words}, when it was loaded there")
    for kept in (tmp_path / "devices").iterdir():
        kept.write_text('{"files": 7}')
    assert device_choices.latest(both) is None


def test_damage_means_another_try(files: PairFiles) -> None:
    memory(files).keep(HERE, CHOICE)
    (kept,) = (files.target.parent / "devices").iterdir()
    whole = kept.read_text()
    for damage in (
        "",
        "null",
        whole.replace("2048", "0"),
        whole.replace("2048", "123456789"),
        whole.replace('"tried"', '"trials"'),
        whole.replace("1.5", "NaN"),
        whole.replace('"options"', '"other"'),
    ):
        assert damage != whole
        kept.write_text(damage)
        assert memory(files).recall(HERE) is None
    kept.unlink()
    kept.mkdir()
    memory(files).keep(HERE, CHOICE)
    assert memory(files).recall(HERE) is None
