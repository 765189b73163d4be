"""`bench` as a person or a script meets it: options, JSON, table, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal

import pytest
from support.bench_engine import STEEP, TINY, CurveEngine
from support.fakes import FakeEnvironment, invoke

from gemma_mtp.api import PairFiles, Preset
from gemma_mtp.cli.environment import Environment
from gemma_mtp.measure.bench import report
from gemma_mtp.terminal import tables

RUN = {
    *("draft", "tokens_per_second", "acceptance_rate", "mean_accepted_length", "rounds"),
    *("ttft_seconds", "speedup", "share_of_limit", "spread", "repeats"),
}


class BenchEnvironment(FakeEnvironment):
    """A fake environment with real files behind the scripted engine."""

    def __init__(self, engine=None):
        super().__init__(engine or CurveEngine())

    def resolve(self, model, drafter=None):
        return PairFiles(model or "tiny", TINY.target, drafter or TINY.drafter)


def bench(*arguments, engine=None):
    return invoke("bench", "e2b", *arguments, env=BenchEnvironment(engine))


def as_json(*arguments, engine=None):
    outcome = bench("--json", *arguments, engine=engine)
    assert outcome.status == 0, outcome.stderr
    return json.loads(outcome.stdout)


def test_json_has_a_run_for_each_draft_as_it_was_given():
    found = as_json("--draft", "off, 1,3,auto", "--tokens", "64")
    assert [run["draft"] for run in found["runs"]] == ["off", "1", "3", "auto"]
    assert all(set(run) >= RUN for run in found["runs"])
    assert [run["draft"] for run in as_json("--draft", "0,03")["runs"]] == ["0", "03"]


def test_a_preset_is_measured_under_its_own_name(monkeypatch):
    preset = Preset("pirate")
    files = PairFiles("tiny", TINY.target, TINY.drafter, preset=preset)
    monkeypatch.setattr(BenchEnvironment, "resolve", lambda *asked: files)
    assert as_json("--tokens", "16")["model"] == "pirate"
    assert bench("--tokens", "16").stdout.startswith("pirate (Q4_0)")


@pytest.mark.parametrize("command", ["bench", "verify"])
def test_what_is_measured_is_loaded_as_config_says(command):
    env = BenchEnvironment()
    env.configured = {"gpu_memory": 6 * 10**9, "cpu_experts": 3, "temperature": 0.1}
    invoke(command, "e2b", "--cpu-experts", "4", "--tokens", "16", env=env)
    ((_, loading),) = env.loaded
    assert (loading.gpu_memory, loading.cpu_experts) == (6 * 10**9, 4)


def test_json_ratios_and_conditions():
    found = as_json("--draft", "off,1,3,auto", "--repeat", "2", "--tokens", "64")
    by_draft = {run["draft"]: run for run in found["runs"]}
    assert by_draft["3"]["speedup"] == pytest.approx(2.734 / 2.2, rel=1e-3)
    assert found["speedup"] == by_draft["3"]["speedup"]
    assert (found["best_fixed"], found["auto_vs_best"], found["costs"]) == ("3", 1.0, None)
    assert by_draft["off"]["acceptance_rate"] is None
    assert [repeat["text"] for repeat in by_draft["3"]["repeats"]] == ["story", "code"]
    assert found["model"] == "e2b"
    assert [file["weights"] for file in found["files"]] == ["Q4_0", "Q4_0"]
    assert found["settings"]["tokens"] == 64
    assert found["settings"]["threads"] == 2
    assert found["versions"]["llama_cpp"] == "0c1e570"
    assert (found["valid_text"], found["interrupted"], found["busy"]) == (True, False, False)


def test_costs_are_measured_when_asked_for():
    found = as_json("--costs")["costs"]
    assert found["plain_steps"]["4"] == pytest.approx(1.9)
    assert found["verify_seconds"]["1"] == pytest.approx(0.05)
    assert found["draft_step_plain_steps"] == pytest.approx(0.1)
    assert set(found["plain_steps"]) == {str(width) for width in range(1, 10)}


def test_synthetic_acceptance_is_called_no_valid_text():
    engine = CurveEngine(0.1)
    found = as_json("--synthetic-acceptance", "0.9", "--draft", "off,3", engine=engine)
    assert found["valid_text"] is False
    assert found["settings"]["temperature"] == 0
    assert found["runs"][1]["mean_accepted_length"] == pytest.approx(3.439)
    assert "not valid text" in bench("--synthetic-acceptance", "0.9").stdout


def test_the_table_and_the_bars(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = bench("--draft", "off,3", "--tokens", "64", "--costs").stdout.splitlines()
    assert lines[0] == "e2b (Q4_0), 2 threads"
    assert lines[1] == "3 x 64 tokens, temperature 1: story, code, list"
    heads, off, three = (line.split() for line in lines[3:6])
    assert heads[:2] == ["draft", "tok/s"]
    assert off == ["off", "20.0", "20.0-20.0", "1.00", "-", "-", "0.20", "s"]
    assert three == ["3", "24.9", "24.9-24.9", "1.24", "58", "%", "2.73", "0.20", "s"]
    assert any(line.startswith("  off ███") for line in lines)
    assert ["3", "95.00", "1.90", "61", "%"] in [line.split() for line in lines]
    assert "--draft 3 was fastest here: 1.24 times plain decoding." in lines


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("engine", [CurveEngine(), CurveEngine(0.6, STEEP, chosen=0)])
def test_no_line_is_wider_than_the_terminal(monkeypatch, columns, engine):
    blocks = []
    monkeypatch.setattr(tables, "show", lambda *found, widest: blocks.extend(found))
    bench("--costs", engine=engine)
    lines = [line for block in blocks for line in tables.plain_lines(block, columns)]
    assert max(map(len, lines)) <= columns
    assert any(line.startswith("draft ") and "speedup" in line for line in lines)


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_all_that_was_measured_is_shown_however_narrow_the_window(monkeypatch, columns):
    blocks = []
    monkeypatch.setattr(tables, "show", lambda *found, widest: blocks.extend(found))
    bench("--costs", "--draft", "off,3")
    lines = [line for block in blocks for line in tables.plain_lines(block, columns)]
    shown = " ".join(" ".join(lines).split())
    for words in (*report.HEADS, *report.COST_HEADS, "24.9-24.9", "58 %", "2.73", "0.20 s"):
        assert words in shown


def test_the_built_in_pair_is_called_a_toy_and_no_other(monkeypatch):
    toy = invoke("bench", "tiny", env=BenchEnvironment(CurveEngine(0.7, STEEP))).stdout
    assert "it is a toy that lies in the processor's cache" in toy
    assert "gemma-mtp bench --shape e2b" in toy
    assert "toy" not in bench().stdout


def test_in_a_pipe_no_column_is_left_out(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = bench("--costs").stdout.splitlines()
    assert " ".join(report.HEADS) in (" ".join(line.split()) for line in lines)
    assert " ".join(report.COST_HEADS) in (" ".join(line.split()) for line in lines)


def test_a_busy_machine_is_called_busy():
    engine = CurveEngine(slowness=lambda number: 1.0 + number % 3 / 4)
    assert "the machine was busy" in bench(engine=engine).stdout
    assert "the machine was busy" not in bench().stdout


def test_ctrl_c_shows_what_was_measured():
    def press(number):
        if number == 5:  # the fourth counted run
            os.kill(os.getpid(), signal.SIGINT)

    outcome = bench("--json", "--draft", "off,1,3,auto", engine=CurveEngine(on_reply=press))
    assert outcome.status == 130
    found = json.loads(outcome.stdout)
    assert found["interrupted"] is True
    assert [run["draft"] for run in found["runs"]] == ["off", "1", "3"]
    outcome = bench("--costs", engine=CurveEngine(on_reply=press))
    assert outcome.status == 130
    assert "Stopped after 3 of 15 runs." in outcome.stdout


def press_twice():
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_ctrl_c_shows_what_was_measured_as_well():
    engine = CurveEngine(on_reply=lambda number: press_twice() if number == 5 else None)
    outcome = bench("--json", "--draft", "off,1,3,auto", engine=engine)
    assert outcome.status == 130
    found = json.loads(outcome.stdout)
    assert found["interrupted"] is True
    assert [run["draft"] for run in found["runs"]] == ["off", "1", "3"]


def test_ctrl_c_while_the_results_are_shown_costs_none(monkeypatch):
    whole = report.as_json

    def interrupted(found):
        press_twice()
        return whole(found)

    monkeypatch.setattr(report, "as_json", interrupted)
    outcome = bench("--json", "--draft", "off,1")
    assert [run["draft"] for run in json.loads(outcome.stdout)["runs"]] == ["off", "1"]
    assert outcome.status == 130


def test_ctrl_c_before_anything_was_measured():
    engine = CurveEngine(on_reply=lambda number: os.kill(os.getpid(), signal.SIGINT))
    outcome = bench(engine=engine)
    assert outcome.status == 130
    assert outcome.stdout == "e2b (Q4_0), 2 threads\n\nNothing was measured.\n"


def test_a_prompt_of_ones_own(tmp_path):
    file = tmp_path / "question.txt"
    file.write_text("Why is the sky blue?\n")
    engine = CurveEngine()
    found = as_json("--prompt-file", str(file), engine=engine)
    assert {r.messages[0].content for r in engine.requests} == {"Why is the sky blue?"}
    assert found["settings"]["texts"] == ["question.txt"]


def test_a_binary_prompt_file_is_refused(tmp_path):
    file = tmp_path / "picture.bin"
    file.write_bytes(b"\x89PNG\0\0")
    outcome = bench("--prompt-file", str(file))
    assert outcome.status == 2
    assert "is not text: it holds zero bytes" in outcome.stderr


def test_a_prompt_that_does_not_fit_gets_advice_that_helps_here(machine, tmp_path):
    file = tmp_path / "long.txt"
    file.write_text("a long story " * 300)
    words = ["--prompt-file", str(file), "--ctx", "256", "--threads", "1"]
    outcome = invoke("bench", "tiny", *words, env=Environment())
    assert outcome.status == 5
    assert "/clear" not in outcome.stderr
    assert "Ask something shorter, or use --ctx 2048." in outcome.stderr


def test_what_was_copied_from_the_text_is_told(machine):
    found = as_json("--draft", "off,3,auto", engine=CurveEngine(copied=0.25))
    assert [run["copied"] for run in found["runs"]] == [None, 0.0, pytest.approx(0.25, abs=1e-3)]
    told = "Of what auto got accepted, 25 % was copied from the text itself."
    assert told in bench("--draft", "off,3,auto", engine=CurveEngine(copied=0.25)).stdout
    assert "copied" not in bench("--draft", "off,3,auto").stdout


def test_a_target_without_a_drafter_is_measured_plainly():
    outcome = bench(engine=CurveEngine(plain_reason="it has no drafter"))
    assert outcome.status == 0
    assert "it has no drafter" in outcome.stderr
    assert "off" in outcome.stdout
    assert "auto" not in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--draft", "off,many"], '"many"'),
        (["--draft", ""], "--draft"),
        (["--tokens", "1"], "--tokens"),
        (["--repeat", "0"], "--repeat"),
        (["--synthetic-acceptance", "1.5"], "--synthetic-acceptance"),
        (["--threads", "0"], "--threads"),
        (["--temperature", "-1"], "--temperature"),
        (["--prompt-file", "no-such-file"], "cannot be read"),
    ],
)
def test_mistakes_cost_nothing(arguments, complaint):
    engine = CurveEngine()
    outcome = bench(*arguments, engine=engine)
    assert outcome.status == 2
    assert complaint in outcome.stderr
    assert engine.requests == []


def test_the_built_in_pair_from_end_to_end(machine):
    words = ["--draft", "off,3,auto", "--tokens", "24", "--repeat", "2", "--threads", "1"]
    outcome = invoke("bench", "tiny", "--json", *words, "--ctx", "1024", env=Environment())
    found = json.loads(outcome.stdout)
    assert [run["tokens"] for run in found["runs"]] == [46, 46, 46]
    by_draft = {run["draft"]: run for run in found["runs"]}
    assert by_draft["off"]["rounds"] == 46
    assert by_draft["3"]["rounds"] < 46
    assert by_draft["3"]["drafted"] >= 2 * by_draft["3"]["rounds"]
    assert found["speedup"] > 0


def test_synthetic_acceptance_on_the_built_in_pair(machine):
    words = ["--draft", "off,3", "--tokens", "200", "--repeat", "1", "--threads", "1"]
    outcome = invoke(
        "bench",
        "tiny",
        "--json",
        *words,
        "--synthetic-acceptance",
        "0.75",
        env=Environment(),
    )
    drafted = json.loads(outcome.stdout)["runs"][1]
    assert 2.2 < drafted["mean_accepted_length"] < 3.3  # 2.73 in the long run
