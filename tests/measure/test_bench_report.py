"""`bench --report`: figures to share, within a limit of time, and nothing private among them."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
import socket
from pathlib import Path
from threading import Event

import pytest
from support.bench_engine import TINY, CurveEngine
from support.fakes import invoke

from gemma_mtp import paths
from gemma_mtp.api import DeviceChoice, DeviceOptions, Duel, to_json
from gemma_mtp.cli.environment import Environment
from gemma_mtp.measure.bench.limit import Limit
from gemma_mtp.measure.bench.report_page import about_machine, as_json, page
from gemma_mtp.measure.bench.report_runs import PLAN, Measured, measure_pair
from gemma_mtp.measure.bench.results import Results
from gemma_mtp.models.machine import Device, Machine

LONGER = DeviceOptions(2048)
CHOICE = DeviceChoice(LONGER, (Duel(LONGER, DeviceOptions(), 1.5, 1.0, won=True),))
ABOUT = {"model": "e2b", "random_weights": False, "weights": "Q4_0", "parameters": 5 * 10**9,
         "gpu_layers": 36, "cpu_experts": 0, "device_choice": to_json(CHOICE)}  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_limit_is_over_when_its_time_is_or_when_it_is_stopped() -> None:
    clock, stop = Clock(), Event()
    limit = Limit(10, stop, clock)
    first = limit.share(2)
    assert (limit.left, first.left) == (10, 5)
    clock.now = 5
    assert first.is_set()
    assert not limit.is_set()
    stop.set()
    assert limit.is_set()


def measured(engine: CurveEngine, limit: Limit) -> Measured:
    found = Measured(dict(ABOUT))
    measure_pair(engine, found, PLAN, (0.5, 0.9, None), limit)  # type: ignore[arg-type]
    return found


def test_each_chance_has_its_column_and_the_drafters_own_drafts_theirs() -> None:
    found = measured(CurveEngine(0.75), Limit(1000, clock=Clock()))
    assert found.skipped == []
    own, often = found.by_acceptance[None], found.by_acceptance[0.9]
    assert own["3"].speedup == pytest.approx(2.734 / 2.2, rel=1e-3)
    assert often["3"].speedup == pytest.approx(3.439 / 2.2, rel=1e-3)
    shown = page(about_machine(Machine(None, None, 8), ("0.3.36", "abc")), [found])
    assert "| draft | accepted 0.5 | accepted 0.9 | own drafts |" in shown
    assert "| 3 | 17.0 (0.85) | 31.3 (1.56) | 24.9 (1.24) |" in shown
    assert "| auto / best fixed |" in shown
    assert "**e2b, Q4_0**, 36 layers on the GPU" in shown
    assert f"\nFastest there: {CHOICE.in_words}.\n" in shown
    assert "the machine was busy" not in shown
    text = shown.partition("```json\n")[2].removesuffix("\n```")
    assert [at["acceptance"] for at in json.loads(text)["pairs"][0]["at"]] == [0.5, 0.9, None]


def test_that_the_machine_was_busy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Results, "noise", 0.42)
    found = measured(CurveEngine(0.75), Limit(1000, clock=Clock()))
    shown = page(about_machine(Machine(None, None, 8), ("0.3.36", "abc")), [found])
    said = "Rounds of one length differed by 42 % in time: the machine was busy; measure again when"
    assert f"\n{said}" in shown


def test_what_there_was_no_time_for_is_said() -> None:
    clock = Clock()

    def a_second(number: int) -> None:
        clock.now += 1

    found = measured(CurveEngine(on_reply=a_second), Limit(20, clock=clock))
    assert clock.now < 24  # a reply that has begun is seen to its end here
    assert "Of accepted 0.5, 6 of 18 runs were measured." in found.skipped
    assert found.by_acceptance[0.5].drafts == list(PLAN.drafts)
    shown = page(about_machine(Machine(None, None, 8), ("0.3.36", "abc")), [found])
    assert "6 of 18" in shown


def test_an_interrupted_one_shows_what_there_is() -> None:
    stop = Event()
    engine = CurveEngine(on_reply=lambda number: stop.set() if number == 6 else None)
    found = measured(engine, Limit(1000, stop, Clock()))
    assert len(found.skipped) == 3
    assert as_json({}, [found])["pairs"][0]["at"][0]["runs"]


def test_a_device_of_another_machine_goes_without_its_address() -> None:
    device = Device("RPC0[10.1.2.3:50052]", "10.1.2.3:50052", 8, 8)
    assert "10.1.2.3" not in json.dumps(about_machine(Machine(None, None, 8, (device,)), ("", "")))


def test_nothing_private_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "users" / "mata-hari"
    (home / "secret-model").mkdir(parents=True)
    monkeypatch.setenv(paths.HOME_VARIABLE, str(home))
    for name in ("USER", "LOGNAME", "HOSTNAME"):
        monkeypatch.setenv(name, "mata-hari")
    monkeypatch.setattr(platform, "node", lambda: "hari-desktop")
    monkeypatch.setattr(socket, "gethostname", lambda: "hari-desktop")
    assert getpass.getuser() == "mata-hari"
    assert TINY.drafter is not None
    target, drafter = home / "secret-model" / "novel.gguf", home / "secret-model" / "mtp-novel.gguf"
    shutil.copy(TINY.target, target)
    shutil.copy(TINY.drafter, drafter)
    options = ("--tokens", "16", "--repeat", "1", "--draft", "off,1", "--threads", "1")
    outcome = invoke(
        "bench", str(target), "--drafter", str(drafter), "--report", *options, env=Environment()
    )
    assert outcome.status == 0, outcome.stderr
    assert "Read it, and share it" in outcome.stderr
    for secret in ("mata", "hari", "secret", "novel", str(tmp_path), "fox", "/"):
        shown = outcome.stdout.lower().replace("auto / best fixed", "").replace("tok/s", "")
        assert secret not in shown, secret
    found = json.loads(outcome.stdout.partition("```json\n")[2].removesuffix("\n```\n"))
    assert found["pairs"][0]["model"] == ""
    assert found["pairs"][0]["weights"] == "Q4_0"
    assert "**a Gemma 4 of 15 million parameters" in outcome.stdout


def test_a_target_without_a_drafter_is_measured_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path))
    target = tmp_path / "alone.gguf"
    shutil.copy(TINY.target, target)
    options = ("--tokens", "16", "--repeat", "1", "--threads", "1")
    outcome = invoke("bench", str(target), "--report", *options, env=Environment())
    assert outcome.status == 0, outcome.stderr
    assert "There was no drafter that can be used." in outcome.stdout
    assert "| off | " in outcome.stdout
    assert "alone" not in outcome.stdout


@pytest.mark.parametrize("option", [("--temperature", "0"), ("--costs",)])
def test_what_would_make_reports_differ_is_refused(option: tuple[str, ...]) -> None:
    outcome = invoke("bench", "e2b", "--report", *option)
    assert outcome.status == 2
    assert "means nothing beside --report" in outcome.stderr
