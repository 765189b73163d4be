"""`gemma-mtp pull` as a person and a script see it: words, JSON, plain lines, exit status."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from support.fakes import FakeEnvironment, Outcome, TerminalText, invoke
from support.hub_server import Hub, Stored
from support.pulls import catalogue_of, real_pair

from gemma_mtp import paths
from gemma_mtp.cli.app import main
from gemma_mtp.cli.environment import Environment
from gemma_mtp.cli.positionals import Words, read_words
from gemma_mtp.cli.pull_view import JsonView, PullView, Rate, ready_line
from gemma_mtp.models import check_cache
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.machine import Machine
from gemma_mtp.models.pull.events import PullNote, PullProgress, PullReady, PullSilence, PullWait
from gemma_mtp.terminal.render import Printer
from gemma_mtp.terminal.screen import Screen
from gemma_mtp.text import duration

BUILT_IN = """
[[model]]
name = "tiny"
title = "Built in"
parameters = "1M"
context_length = 4096
[[model.source]]
builtin = true
drafter = { file = "tiny-drafter.gguf", quantization = "Q8_0" }
targets = [{ tag = "default", file = "tiny-target.gguf", quantization = "Q4_0" }]
"""


@pytest.fixture
def env(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """The real world, with a catalogue of one pair that is on the hub of this test."""
    real = real_pair(tmp_path / "real")
    there = Environment()
    there.__dict__["catalogue"] = catalogue_of(hub, **real, more=BUILT_IN)
    return there


def pull(env: Environment, *arguments: str) -> Outcome:
    return invoke("pull", *arguments, env=env)


def test_plain_lines_where_nothing_can_move(env: Environment) -> None:
    outcome = pull(env, "12b")
    assert (outcome.status, outcome.stdout) == (0, "")
    assert outcome.stderr.splitlines()[-1] == "12b is ready: gemma-mtp chat 12b"
    assert (
        "fetching target.gguf, 0 MB" in outcome.stderr or "checking target.gguf" in outcome.stderr
    )
    assert "\x1b" not in outcome.stderr + outcome.stdout
    assert env.resolve(None, None).name == "12b"
    again = pull(env, "12b")
    assert (again.status, again.stderr) == (0, "12b is ready: gemma-mtp chat 12b\n")


def test_the_built_in_pair_needs_no_pull(env: Environment) -> None:
    outcome = pull(env, "tiny")
    assert outcome.stderr == "tiny is built in, nothing to pull: gemma-mtp chat tiny\n"


def test_a_folder_that_cannot_be_made_is_not_the_hubs_fault(
    env: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path / "file"))
    outcome = pull(env, "12b")
    assert outcome.status == 1
    assert str(tmp_path / "file") in outcome.stderr


def test_quiet_says_nothing(env: Environment) -> None:
    outcome = pull(env, "12b", "-q")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "", "")


def test_json_events_for_scripts(env: Environment) -> None:
    outcome = pull(env, "12b", "--json")
    events = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert outcome.status == 0
    assert outcome.stderr == ""
    assert {event["event"] for event in events} == {"progress", "ready"}
    assert events[-1]["event"] == "ready"
    assert Path(events[-1]["target"]).is_file()
    last = events[-2]
    assert last["done"] == last["total"]
    assert last["pair_done"] == last["pair_total"]
    assert {"file", "verifying", "bytes_per_second", "seconds_left"} <= last.keys()


def test_a_failure_is_an_event_too(env: Environment, hub: Hub) -> None:
    hub.faults.hub_always = 404
    outcome = pull(env, "12b", "--json")
    assert outcome.status == 7
    event = json.loads(outcome.stdout.splitlines()[-1])
    assert event["event"] == "error"
    assert event["status"] == 7
    assert outcome.stderr.startswith(f"gemma-mtp: {event['message']}\n  {event['hint']}")


def test_files_that_are_not_the_pinned_ones_need_a_word_of_the_user(
    env: Environment, hub: Hub
) -> None:
    hub.files["target.gguf"] = Stored.of(hub.files["target.gguf"].data + bytes(32))
    outcome = pull(env, "12b")
    assert outcome.status == 7
    assert "gemma-mtp: target.gguf is not the pinned file: " in outcome.stderr
    assert "add --allow-changed" in outcome.stderr
    outcome = pull(env, "12b", "--allow-changed")
    assert outcome.status == 0
    assert outcome.stderr.splitlines()[0].startswith("target.gguf is not the pinned file: ")
    assert pull(env, "12b").stderr == "12b is ready: gemma-mtp chat 12b\n"


def test_ctrl_c_says_that_nothing_is_lost(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(env, "pull", interrupt)
    outcome = pull(env, "12b")
    assert outcome.status == 130
    assert outcome.stderr == (
        "gemma-mtp: Stopped.\n  What has arrived is kept; the same command goes on.\n"
    )


def test_a_known_repository_is_the_pair_of_that_name(env: Environment) -> None:
    for name in ("hf:org/pair", "org/pair", "hf.co/org/pair:Q4_0"):
        assert pull(env, name).stderr.endswith("12b is ready: gemma-mtp chat 12b\n")
    assert pull(env, "google/12b").stderr == (
        "google/12b holds no GGUF files; 12b is taken instead, from org/pair.\n"
        "12b is ready: gemma-mtp chat 12b\n"
    )


@pytest.mark.parametrize("typed", ["hf:org/pair", "https://huggingface.co/org/pair/tree/main"])
def test_a_repository_by_name(env: Environment, typed: str) -> None:
    env.__dict__["catalogue"] = load_catalogue()
    outcome = pull(env, typed)
    assert outcome.status == 0
    assert "target.gguf: the target, the only one there." in outcome.stderr
    assert "hf:org/pair is ready: gemma-mtp chat hf:org/pair" in outcome.stderr
    for name in ("hf:org/pair", "org/pair", "HF.co/Org/Pair", typed):
        assert env.resolve(name, None).drafter is not None
        assert invoke("show", name, env=env).status == 0
        assert read_words([name, "hi"], env.catalogue) == Words(name, "hi")
    assert invoke("rm", "org/pair", env=env).stdout.startswith("hf:org/pair is removed")


def test_the_command_to_type_next_is_one_that_a_shell_takes() -> None:
    event = PullReady("/a b/it's.gguf", "/a b/it's.gguf", "d.gguf")
    assert shlex.split(ready_line(event, carried=False).partition(": ")[2])[-1] == event.name


def test_carrying(
    env: Environment, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = pull(env, "12b", "--to", str(tmp_path / "stick"))
    assert f"12b is in {tmp_path / 'stick' / '12b'}" in outcome.stderr
    hub.close()
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path / "other"))
    assert pull(env, "12b", "--offline").status == 7
    assert pull(env, "--from", str(tmp_path / "stick")).status == 0
    assert env.resolve("12b", None).target.is_file()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["e9b"], 4, 'There is no model called "e9b".'),
        (["hf:nonsense"], 2, "is not of the form hf:OWNER/REPO"),
        (["12b", "--reuse", "/no/such/place"], 2, "There is nothing at /no/such/place."),
        (["tiny", "--to", "stick"], 2, "tiny is part of gemma-mtp"),
        (["12b", "--offline"], 7, "mtp-target.gguf is not on this machine, and --offline"),
        (["hf:org/pair", "--offline"], 7, "--offline was given"),
        (["12b", "--from", "/no/such/place"], 4, "does not hold 12b"),
        (["12b", "--revision", "abc"], 7, "has no mtp-target.gguf at revision abc"),
    ],
)
def test_what_cannot_be(env: Environment, arguments: list[str], status: int, words: str) -> None:
    outcome = pull(env, *arguments)
    assert outcome.status == status
    assert words in outcome.stderr
    assert outcome.stdout == ""


# --- a model that does not fit -------------------------------------------------------------------

DOUBT = "12b does not fit in memory: needs 8.0 GB, 6.0 GB are free."


def ask(
    monkeypatch: pytest.MonkeyPatch, answer: str, *arguments: str
) -> tuple[FakeEnvironment, str]:
    """What `pull` says and does at a terminal of a machine with 6 GB where `answer` is typed."""
    env, notes = FakeEnvironment(), TerminalText()
    monkeypatch.setattr("sys.stdin", TerminalText(answer))
    monkeypatch.setattr("sys.stderr", notes)
    monkeypatch.setenv("TERM", "dumb")
    assert main(["pull", *arguments], env) == 0
    return env, notes.getvalue()


@pytest.mark.parametrize(
    ("answer", "pulled"), [("\n", []), ("", []), ("n\n", []), ("y\n", ["12b"])]
)
def test_a_model_that_does_not_fit_is_pulled_only_after_a_yes(
    machine: Path, monkeypatch: pytest.MonkeyPatch, answer: str, pulled: list[str]
) -> None:
    env, said = ask(monkeypatch, answer, "12b")
    assert env.pulled == pulled
    assert said.startswith(f"{DOUBT}\nPull it nevertheless? [y/N] ")
    assert said.count("does not fit") == 1


@pytest.mark.parametrize("arguments", [["e2b"], ["12b", "--to", "stick"]])
def test_nothing_is_asked_about_what_fits_or_goes_elsewhere(
    machine: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    env, said = ask(monkeypatch, "", *arguments)
    assert env.pulled == arguments[:1]
    assert "does not fit" not in said


def test_scripts_at_a_terminal_are_not_asked(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, said = ask(monkeypatch, "", "12b", "--json")
    assert (env.pulled, said) == (["12b"], "")


def test_without_a_terminal_a_warning_comes_first(machine: Path) -> None:
    env = FakeEnvironment()
    outcome = invoke("pull", "12b", env=env)
    assert (outcome.status, env.pulled) == (0, ["12b"])
    assert outcome.stderr.splitlines()[0] == DOUBT


def test_for_scripts_the_warning_is_an_event(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = invoke("pull", "12b", "--json")
    assert (outcome.status, outcome.stderr) == (0, "")
    assert json.loads(outcome.stdout.splitlines()[0]) == {"event": "note", "text": DOUBT}


def test_nothing_is_said_about_a_model_that_is_here(env: Environment) -> None:
    known = env.catalogue.entries[0]
    large = replace(known, shape=load_catalogue().entries[-1].shape)
    env.catalogue.entries[0] = env.catalogue._found["12b"] = large
    env.__dict__["machine"] = lambda: Machine(int(5e8), int(8e9), cores=4)
    assert "12b does not fit in memory" in pull(env, "12b").stderr
    assert pull(env, "12b").stderr == "12b is ready: gemma-mtp chat 12b\n"


def test_an_engine_that_cannot_be_loaded_does_not_stop_a_pull(machine: Path) -> None:
    class Broken(FakeEnvironment):
        def machine(self) -> Machine:
            raise ImportError("no llama.cpp")

    env = Broken()
    assert invoke("pull", "12b", env=env).status == 0
    assert env.pulled == ["12b"]


# --- the view alone ------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress(done: int, verifying: bool = False) -> PullProgress:
    return PullProgress("MTP/f.gguf", done, 60_000_000, verifying, done + 40_000_000, 100_000_000)


def test_rate_and_remaining_time() -> None:
    clock = Clock()
    rate = Rate(clock)
    assert rate.of(progress(0)) is None
    clock.now = 2
    assert rate.of(progress(20_000_000)) == 10e6
    clock.now = 100  # what is long ago does not count
    assert rate.of(progress(20_000_000)) is None
    assert rate.of(progress(20_000_000, verifying=True)) is None


def test_a_terminal_shows_the_file_the_pair_the_rate_and_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, stream = Clock(), TerminalText()
    monkeypatch.setenv("COLUMNS", "120")
    view = PullView(Printer(Screen(StringIO(), stream, {"TERM": "xterm"})), clock=clock)
    view(progress(0))
    clock.now = 2
    view(progress(20_000_000))
    words = "fetching f.gguf · 33 % · 20 of 60 MB · 10 MB/s · 4 s left · pair 60 %"
    assert words in stream.getvalue()
    bar = stream.getvalue().rpartition(words)[0].rpartition("\r")[2]
    assert "\x1b[32m━━━━━━╸\x1b[0m\x1b[2m" in bar  # a third of 20 columns, the rest is dim
    view(PullWait("HTTP 503", 4.0))
    assert "HTTP 503; trying again in 4 s" in stream.getvalue()
    view(PullSilence("cdn.example", 5.2))
    assert "hardly anything has come from cdn.example for 5 s" in stream.getvalue()
    view.end()


def test_plain_lines_come_now_and_then() -> None:
    clock, stream = Clock(), StringIO()
    view = PullView(Printer(Screen(StringIO(), stream, {})), clock=clock)
    for second in range(70):
        clock.now = second
        view(progress(second * 500_000))
    view(PullNote("A note."))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "fetching f.gguf, 60 MB"
    assert lines[1].startswith("fetching f.gguf · 25 % · 15 of 60 MB · 500 kB/s")
    assert len(lines) == 4
    assert lines[3] == "A note."


def test_waiting_is_said_where_nothing_can_move_but_not_too_often() -> None:
    clock, stream = Clock(), StringIO()
    view = PullView(Printer(Screen(StringIO(), stream, {})), clock=clock)
    for second in range(12):
        clock.now = second
        view(PullWait("HTTP 503", 0.4))
    view(PullWait("HTTP 429", 60))
    view(PullSilence("cdn.example", 5))
    assert stream.getvalue().splitlines() == [
        "HTTP 503; trying again now",
        "HTTP 503; trying again now",
        "HTTP 429; trying again in 60 s",
        "hardly anything has come from cdn.example for 5 s",
    ]


def test_json_is_not_a_flood() -> None:
    clock, stream = Clock(), StringIO()
    view = JsonView(stream, clock)
    for step in range(100):
        clock.now = step / 100
        view(progress(step))
    assert len(stream.getvalue().splitlines()) <= 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (duration(45), "45 s"),
        (duration(200), "3 min"),
        (duration(4800), "80 min"),
        (duration(6000), "1 h 40 min"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert text == words


def test_what_run_says_of_a_damaged_model_is_true(hub: Hub, env: Environment) -> None:
    pull(env, "12b")
    target = env.store.folder(env.store.require("12b")) / "target.gguf"
    for damage in (b"GGUF" + bytes(target.stat().st_size - 4), target.read_bytes()[:-9], b""):
        target.write_bytes(damage)
        outcome = invoke("run", "12b", "hi", env=env)
        assert outcome.status in (4, 6)
        assert outcome.stderr.endswith("\n  gemma-mtp pull 12b\n")
        hub.sent.clear()
        assert pull(env, "12b").status == 0
        assert list(hub.sent) == ["target.gguf"]
        assert env.resolve("12b", None).target.read_bytes() == hub.files["target.gguf"].data


@pytest.mark.parametrize(("byte", "words"), [(-1, ["--check"]), (0, ["--check"]), (0, [])])
def test_what_show_finds_is_mended_too(
    hub: Hub, env: Environment, byte: int, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A disk that fails leaves no trace in the times of a file.
    monkeypatch.setattr(check_cache, "state_of", lambda path: str(path.stat().st_size))
    pull(env, "12b")
    pull(env, "12b")  # from now on it is known that the headers are good
    target = env.store.folder(env.store.require("12b")) / "target.gguf"
    before, data = target.stat(), bytearray(target.read_bytes())
    data[byte] ^= 1
    target.write_bytes(data)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    hub.sent.clear()
    assert pull(env, "12b").status == 0
    assert not hub.sent
    outcome = invoke("show", "12b", *words, env=env)
    assert outcome.status == 6
    assert ("is damaged: its sha256" in outcome.stderr) == bool(words)
    assert outcome.stderr.endswith("\n  gemma-mtp pull 12b\n")
    assert pull(env, "12b").status == 0
    assert list(hub.sent) == ["target.gguf"]
    assert invoke("show", "12b", "--check", env=env).status == 0
