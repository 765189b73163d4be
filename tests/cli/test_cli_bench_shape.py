"""`bench --shape`: a pair with random weights is made, loaded, measured and removed."""

from __future__ import annotations

import errno
import json
import os
import signal
from dataclasses import replace

import pytest
from support.fakes import invoke

from gemma_mtp import paths
from gemma_mtp.cli.environment import Environment
from gemma_mtp.engine.engine import Engine
from gemma_mtp.files import disk
from gemma_mtp.measure.bench import published
from gemma_mtp.models import random_pair, temporary_pair
from gemma_mtp.models.machine import Machine

MINI = """
[[model]]
name = "mini"
title = "Mini"
context_length = 4096
[model.shape]
layers = 6
pattern = "SSF"
width = 64
heads = 2
kv_heads_sliding = 1
kv_heads_full = 1
head_sliding = 32
head_full = 64
feed_forward = 128
window = 512
per_layer = 32
shared = 3
vocabulary = 600
drafter = { width = 32, feed_forward = 64, heads = 2 }
[[model.source]]
repo = "somebody/mini-GGUF"
drafter = { file = "d.gguf", quantization = "Q4_0", bytes = 100_000, sha256 = "SUM" }
targets = [{ tag = "q", file = "t.gguf", quantization = "Q4_0", bytes = 900_000, sha256 = "SUM" }]
""".replace("SUM", "0" * 64)
QUICK = ("--tokens", "16", "--repeat", "2", "--threads", "1")


@pytest.fixture
def mini(machine):
    """A home whose list of models has a shape that is made within a moment."""
    file = paths.own_models()
    file.parent.mkdir(parents=True)
    file.write_text(MINI)
    return machine


def bench(*arguments, env=None):
    return invoke("bench", "--shape", *arguments, *QUICK, env=env or Environment())


def left():
    """What is in the folders of models, and what was learned of costs."""
    return [*paths.models_dir().rglob("*"), *(paths.cache_dir() / "costs").glob("*")]


def test_the_whole_command(mini):
    outcome = bench("mini")
    assert outcome.status == 0, outcome.stderr
    assert "removed afterwards" in outcome.stderr
    lines = outcome.stdout.splitlines()
    assert lines[0] == "mini, random weights (Q4_0), 1 thread"
    assert lines[1] == "2 x 16 tokens at each draft length"
    assert [line.split()[0] for line in lines[4:14]] == ["drafts", "none", *map(str, range(1, 9))]
    assert any(line.startswith("code: each draft is right with a chance of 87 %") for line in lines)
    assert any(line.startswith("prose:") and "gemmaclaw 133" in line for line in lines)
    assert any("gemma-mtp pull mini" in line for line in lines)
    assert left() == []


def test_json(mini):
    found = json.loads(bench("mini", "--json").stdout)
    assert found["shape"] == "mini"
    assert set(found["costs"]["plain_steps"]) == {str(width) for width in range(1, 10)}
    assert [rate["text"] for rate in found["rates"]] == ["code", "prose"]
    for rate in found["rates"]:
        drafts = [run["draft"] for run in rate["runs"]]
        assert (drafts[0], drafts[2]) == ("off", "auto")
        assert int(drafts[1]) >= 1
    assert found["files"][0]["weights"] == "Q4_0"
    assert found["published"] == []
    assert left() == []


def test_draft_lengths_of_ones_own(mini):
    found = json.loads(bench("mini", "--json", "--draft", "off,2").stdout)
    assert [[run["draft"] for run in rate["runs"]] for rate in found["rates"]] == [["off", "2"]] * 2


def test_a_known_size_shows_the_figures_of_others():
    assert [figure.hardware for figure in published.of_size("26b")] == ["2x RTX 5060 Ti, llama.cpp"]
    assert {size for figure in published.FIGURES for size in figure.sizes} == {
        *("e2b", "e4b", "12b", "26b", "31b")
    }


def test_the_rates_amount_to_what_was_published():
    for rate in published.RATES:
        reached = sum(rate.chance**i for i in (1, 2, 3))
        assert reached / 3 == pytest.approx(rate.accepted)


def stop_when(monkeypatch, presses):
    """Ctrl-C while the weights are written."""
    whole = random_pair.RandomFile._repeat

    def repeat(self, *arguments):
        for _ in range(presses):
            os.kill(os.getpid(), signal.SIGINT)
        whole(self, *arguments)

    monkeypatch.setattr(random_pair.RandomFile, "_repeat", repeat)


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_while_the_files_are_written(mini, monkeypatch, presses):
    stop_when(monkeypatch, presses)
    assert bench("mini").status == 130
    assert left() == []


def test_ctrl_c_while_it_is_measured_shows_what_there_is(mini, monkeypatch):
    from gemma_mtp.measure.bench import shape

    whole, count = shape.measure, 0

    def measure(engine, plan, cancel):
        nonlocal count
        for run in whole(engine, plan, cancel):
            yield run
            count += 1
            if count == 2:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(shape, "measure", measure)
    outcome = bench("mini", "--json")
    assert outcome.status == 130
    found = json.loads(outcome.stdout)
    assert found["interrupted"] is True
    assert next(run["draft"] for run in found["rates"][0]["runs"]) == "off"
    assert left() == []


@pytest.mark.parametrize(
    ("press_at", "words"), [(0, "Nothing was measured."), (0.2, "Nothing but costs was measured.")]
)
def test_ctrl_c_while_costs_are_measured(mini, monkeypatch, press_at, words):
    whole = Engine.measure_costs

    def measure(self, progress):
        def interrupted(fraction):
            if fraction >= press_at:
                os.kill(os.getpid(), signal.SIGINT)
            return progress(fraction)

        return whole(self, progress=interrupted)

    monkeypatch.setattr(Engine, "measure_costs", measure)
    outcome = bench("mini")
    assert outcome.status == 130
    lines = outcome.stdout.splitlines()
    assert lines[0] == "mini, random weights (Q4_0), 1 thread"
    assert words in lines
    assert any("A plain step reads" in line for line in lines) == (press_at > 0)
    assert left() == []


def test_a_model_that_is_not_here_leads_to_its_shape(machine):
    outcome = invoke("bench", "12b:q8_0", env=Environment())
    assert outcome.status == 4
    assert "gemma-mtp pull 12b:q8_0" in outcome.stderr
    assert "gemma-mtp bench --shape 12b measures a made-up one" in outcome.stderr


def test_a_pair_that_cannot_be_loaded_is_removed_as_well(mini, monkeypatch):
    def load(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Environment, "load", load)
    assert bench("mini").status == 1
    assert left() == []


def test_what_a_killed_one_left_goes_with_prune_and_with_the_next(mini):
    folder = paths.models_dir() / f"{temporary_pair.PREFIX}e2b-1"
    for clear in (("prune", "--yes"), ("bench", "--shape", "mini", *QUICK)):
        folder.mkdir(parents=True)
        (folder / "target.gguf").write_bytes(bytes(5000))
        listed = json.loads(invoke("prune", "--json", env=Environment()).stdout)["leftovers"]
        assert [item["why"] for item in listed] == ["left by bench --shape"]
        assert invoke(*clear, env=Environment()).status == 0
        assert not folder.exists()


def test_one_that_is_being_measured_is_no_leftover(mini, monkeypatch):
    seen = []
    whole = Environment.load

    def load(self, *arguments):
        seen.append(invoke("prune", "--json", "--yes", env=Environment()).stdout)
        return whole(self, *arguments)

    monkeypatch.setattr(Environment, "load", load)
    assert bench("mini").status == 0
    assert json.loads(seen[0])["leftovers"] == []


class Small(Environment):
    """A machine with little memory."""

    def machine(self):
        return Machine(int(6e9), int(8e9), cores=4)


def test_too_little_memory_names_a_size_that_fits(machine):
    outcome = bench("12b", env=Small())
    assert outcome.status == 5
    assert "12b does not fit in memory" in outcome.stderr
    assert "bench --shape e4b fits" in outcome.stderr or "bench --shape e2b fits" in outcome.stderr
    assert left() == []


def test_too_little_room_on_the_disk(mini, monkeypatch):
    usage = disk.shutil.disk_usage("/")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda place: replace_free(usage, 70 << 20))
    monkeypatch.setattr(disk, "SPARE", 80 << 20)
    outcome = bench("mini")
    assert outcome.status == 1
    assert "A pair of the shape of mini needs" in outcome.stderr
    assert left() == []


def replace_free(usage, free):
    return type(usage)(usage.total, usage.used, free)


def test_a_disk_that_is_full_after_all(mini, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(random_pair.RandomFile, "_repeat", full)
    outcome = bench("mini")
    assert outcome.status == 1
    assert "is full." in outcome.stderr
    assert "Free some space and try again." in outcome.stderr
    assert left() == []


def test_a_shape_that_no_pair_can_have_is_refused_before_it_is_loaded(mini):
    paths.own_models().write_text(MINI.replace("shared = 3", "shared = 2"))
    outcome = bench("mini")
    assert outcome.status == 6
    assert "No pair can have the shape of mini" in outcome.stderr
    assert left() == []


@pytest.mark.parametrize("name", ["tiny", "llama3.2", "13b"])
def test_a_size_that_is_not_known(machine, name):
    outcome = bench(name)
    assert outcome.status == 4
    assert f'no shape of "{name}"' in outcome.stderr
    assert "e2b, e4b, 12b, 26b, 31b" in outcome.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("e2b",),
        ("--temperature", "1"),
        ("--synthetic-acceptance", "0.5"),
        ("--drafter", "d.gguf"),
        ("--prompt-file", "f.txt"),
    ],
)
def test_what_has_no_meaning_beside_it_is_refused(machine, words):
    outcome = bench("e2b", *words)
    assert outcome.status == 2
    assert "means nothing beside --shape" in outcome.stderr
    assert left() == []


def test_the_files_have_the_size_that_is_told_beforehand(mini, tmp_path):
    entry = Environment().catalogue.find("mini")
    for quantization in random_pair.BLOCKS:
        if quantization == "Q4_K":  # rows of 256 weights
            continue
        for file in random_pair.random_pair(entry, quantization, quantization):
            path = tmp_path / "file.gguf"
            file.write(path, lambda share: True)
            assert path.stat().st_size == file.size


@pytest.mark.parametrize("size", ["e2b", "e4b", "12b", "26b", "31b"])
def test_every_size_has_nearly_as_many_bytes_as_the_file_that_is_pulled(machine, size):
    entry = Environment().catalogue.find(size)
    small = replace(entry.shape, vocabulary=1000)
    whole = entry.shape.parameters - small.parameters
    target, _ = random_pair.random_pair(replace(entry, shape=small))
    assert target.size + whole * 18 // 32 == pytest.approx(entry.target.bytes, rel=0.03)
