"""`doctor` and `pull` without a name: findings, verdicts, a recommendation, and never a crash."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support.fakes import FakeEnvironment, TerminalText, invoke
from support.machines import Machine
from support.terminal import Terminal as Window

from gemma_mtp import llama, paths
from gemma_mtp.api import Stats
from gemma_mtp.cli import findings as doctor
from gemma_mtp.cli.doctor import suggest
from gemma_mtp.cli.finding import Finding
from gemma_mtp.cli.unused_cards import unused_cards
from gemma_mtp.errors import HubError, UsageError
from gemma_mtp.llama import NEEDED_VERSION
from gemma_mtp.models import speeds
from gemma_mtp.models.build import installation
from gemma_mtp.models.build.system import System
from gemma_mtp.models.cards import cards
from gemma_mtp.models.catalogue import Catalogue
from gemma_mtp.models.machine import Device
from gemma_mtp.models.machine import Machine as Memory
from gemma_mtp.models.memory_speed import memory_speed
from gemma_mtp.models.pull import hub

pytestmark = pytest.mark.usefixtures("home")


def test_a_healthy_machine() -> None:
    outcome = invoke("doctor")
    assert (outcome.status, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    assert lines[0] == "hub  answers"
    assert lines[2] == "model  download    needs  context  pace            verdict"
    row = "e2b      3.7 GB   3.0 GB     128k  about 15 tok/s  runs well: 6.0 GB are free"
    assert lines[3] == row
    assert lines[7].startswith("31b     18.8 GB")
    assert "does not fit: needs 19.9 GB, 6.0 GB are free" in lines[7]
    assert lines[-2:] == ["  gemma-mtp pull e4b", "  gemma-mtp chat e4b --ctx 32768"]
    assert all(len(line) <= 100 for line in lines)


def test_what_is_wrong_is_said_with_what_to_do() -> None:
    env = FakeEnvironment()
    env.wrong = [Finding("disk", "1.0 GB free", "That is too little.", "Free some space.")]
    outcome = invoke("doctor", env=env)
    assert outcome.status == 1
    wrong = "disk  1.0 GB free\n      wrong: That is too little.\n      Free some space.\n"
    assert wrong in outcome.stdout


def test_for_scripts() -> None:
    found = json.loads(invoke("doctor", "--json", "--offline", "--ctx", "16384").stdout)
    assert found["findings"] == [{"name": "hub", "value": "not asked", "problem": "", "hint": ""}]
    assert found["recommended"] == {"name": "e4b", "context": 32768}
    assert [model["verdict"] for model in found["models"]][:3] == [
        "runs well", "runs well", "does not fit",
    ]  # fmt: skip


def test_what_config_says_of_loading_counts() -> None:
    env = FakeEnvironment()
    env.configured = {"ctx": 16384, "gpu_memory": 5 * 10**9}
    card = Device("CUDA0", "a card", 24 * 10**9, 24 * 10**9)
    with_card = Memory(60 * 10**9, 64 * 10**9, 8, (card,))
    env.__dict__["machine"] = lambda: with_card
    said = invoke("doctor", env=env).stdout
    assert re.search(r"12b .* runs well with \d\d of 49 layers on the GPU", said)
    assert "drafter and 16k tokens of context included; reading pictures up to 1.2 GB more" in said
    env.configured = {}
    assert "drafter and 8k tokens of context" in (said := invoke("doctor", env=env).stdout)
    assert re.search(r"12b .* runs well: all layers fit on the GPU", said)


def test_each_model_that_runs_has_a_pace_and_says_how_it_is_known() -> None:
    class Roomy(FakeEnvironment):
        def machine(self) -> Memory:
            return Memory(64 * 10**9, 64 * 10**9, cores=8)

    outcome = invoke("doctor", env=Roomy())
    rows = outcome.stdout.split("verdict\n")[1].split("\n\n")[0].splitlines()
    assert len(rows) == 5
    assert all(re.search(r"about \d+ tok/s|about 0\.\d tok/s", row) for row in rows)
    assert "from 20.0 GB a second of memory, measured now; exact after a first chat" in (
        outcome.stdout
    )
    speeds.remember("12b", Stats(decoded=100, decode_seconds=8.0))
    assert "256k  12.5 tok/s" in invoke("doctor", env=Roomy()).stdout
    models = json.loads(invoke("doctor", "--json", env=Roomy()).stdout)["models"]
    assert all(model["tokens_per_second"] > 0 for model in models)


def test_the_speed_of_memory_is_measured() -> None:
    assert 10**8 < memory_speed(2) < 10**13


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(installation, "way", lambda prefix, checkout: "pip")
    return made


def unused(machine: Machine, *backends: str, sees_one: bool = False) -> list[Finding]:
    system = System(machine.root)
    return list(unused_cards(sees_one, {"CPU", *backends}, "0.3.36", True, system))


def test_without_a_card_models_run_on_the_cpu(machine: Machine) -> None:
    machine.pci("0x1234")  # a virtual screen
    (said,) = unused(machine)
    assert said == Finding("GPU", "no graphics card is here; models run on the CPU")
    assert unused(machine, sees_one=True) == []


def test_a_card_that_this_build_cannot_use_is_named_with_the_command_that_mends_it(
    machine: Machine,
) -> None:
    machine.nvidia("NVIDIA GeForce RTX 4090, 8.9")
    machine.nvcc()
    machine.pci("0x8086", "0000:00:02.0")
    card, built_in = unused(machine)
    name = "NVIDIA GeForce RTX 4090"
    assert card.value == f"{name}, not used: this llama.cpp was not built for it"
    assert card.problem == f"This llama.cpp cannot use {name}."
    assert card.hint.startswith(f"Build it for {name} with CUDA 12.4 (minutes):\n  CMAKE_ARGS=")
    assert "-DCMAKE_CUDA_ARCHITECTURES=89-real" in card.hint
    assert built_in.value.startswith("Intel's graphics in the processor, not used")
    assert (built_in.problem, built_in.hint) == ("", "")  # said once, and no loss


def test_two_ways_out_where_there_is_no_compiler(machine: Machine) -> None:
    machine.radeon()
    (said,) = unused(machine)
    assert said.problem == "This llama.cpp cannot use AMD Radeon RX 7600."
    lines = said.hint.splitlines()
    assert lines[0] == "A build with Vulkan may be ready to install; its index was not asked:"
    assert "/whl/vulkan" in lines[1]
    assert lines[2] == "Or build it for the card, with Vulkan:"
    assert "Vulkan" in lines[3]
    assert 'CMAKE_ARGS="-DGGML_VULKAN=on"' in lines[4]


def test_a_card_beside_one_that_is_used(machine: Machine) -> None:
    machine.pci("0x8086", "0000:00:02.0")
    machine.pci("0x1002", "0000:03:00.0", memory=16 << 30)
    (said,) = unused(machine, "CUDA", sees_one=True)
    assert said.value.startswith("an AMD card, not used")
    assert unused(machine, "Vulkan", sees_one=True) == []
    machine.nvidia("NVIDIA GeForce RTX 4090, 8.9")
    (said,) = unused(machine, "CUDA", sees_one=True)
    built = "this llama.cpp was built for NVIDIA GeForce RTX 4090"
    assert said == Finding("GPU", f"an AMD card, not used: {built}")  # and no command to no end
    assert unused(machine, "ROCm", sees_one=True)[0].problem.endswith("GeForce RTX 4090.")


@pytest.mark.parametrize("maker", ["0x10de", "0x1002"])
def test_no_build_helps_a_card_without_its_driver(maker: str, machine: Machine) -> None:
    machine.pci(maker)
    machine.nvcc()
    machine.vulkan()
    (said,) = unused(machine)
    assert "driver does not answer" in said.hint
    assert "in a container" in said.hint
    assert "CMAKE_ARGS" not in said.hint


def test_a_card_whose_driver_is_down_needs_no_other_build(machine: Machine) -> None:
    machine.tool("nvidia-smi", status=9)
    (said,) = unused(machine, "CUDA")
    assert said.problem == "llama.cpp was built for an NVIDIA card and cannot use it."
    assert "driver" in said.hint
    assert "CMAKE_ARGS" not in said.hint


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may all")
def test_a_card_that_the_user_may_not_open(machine: Machine) -> None:
    machine.radeon()
    machine.file("dev/dri/renderD128").chmod(0)
    (said,) = unused(machine, "Vulkan")
    assert "sudo usermod -aG render,video" in said.hint


def test_what_llama_cpp_was_built_for_is_known() -> None:
    assert "CPU" in llama.backends()


def test_a_card_goes_by_the_name_that_its_driver_has(machine: Machine) -> None:
    file = "proc/driver/nvidia/gpus/0000:01:00.0/information"
    machine.file(file, "Model: \t NVIDIA GeForce RTX 4090\nIRQ: 1\n")
    assert cards(System(machine.root))[0].name == "NVIDIA GeForce RTX 4090"


@pytest.mark.parametrize("columns", [100, 60, 40])
def test_no_word_is_broken_on_a_narrow_window(
    columns: int, home: Path, open_terminal: Callable[..., Window]
) -> None:
    window = open_terminal("doctor", columns=columns, rows=60, script={"home": str(home)})
    window.until(lambda: any("gemma-mtp chat e4b" in line for line in window.lines))
    text = " ".join(" ".join(window.lines).split())
    for words in ("chats seldom need so much", "about 15 tok/s", "6.0 GB are free", "first chat"):
        assert words in text


def test_a_context_out_of_range() -> None:
    assert invoke("doctor", "--ctx", "0").status == 2


class Cramped(FakeEnvironment):
    def machine(self) -> Memory:
        return Memory(10**9, 2 * 10**9, 2)


class Unreadable(FakeEnvironment):
    """The user's list of models is broken."""

    @property
    def catalogue(self) -> Catalogue:
        raise UsageError("models.toml is no list of models.")


def test_a_broken_list_of_models_does_not_stop_the_doctor() -> None:
    env = Unreadable()
    env.wrong = [Finding("settings", "", "models.toml is no list of models.")]
    outcome = invoke("doctor", env=env)
    assert (outcome.status, outcome.stderr) == (1, "")
    assert "wrong: models.toml is no list of models." in outcome.stdout
    assert "Which models run here cannot be told." in outcome.stdout


def test_where_nothing_fits_the_toy_is_left() -> None:
    assert invoke("doctor", env=Cramped()).stdout.endswith("  gemma-mtp chat tiny\n")


# --- pull without a name ---------------------------------------------------------------------


def ask(monkeypatch: pytest.MonkeyPatch, answer: str) -> str | None:
    monkeypatch.setattr("sys.stdin", TerminalText(answer))
    monkeypatch.setattr("sys.stderr", TerminalText())
    return suggest(FakeEnvironment())


@pytest.mark.parametrize(
    ("answer", "name"), [("\n", "e4b"), ("y\n", "e4b"), ("12b\n", "12b"), ("n\n", None), ("", None)]
)
def test_on_a_terminal_it_is_asked(
    monkeypatch: pytest.MonkeyPatch, answer: str, name: str | None
) -> None:
    assert ask(monkeypatch, answer) == name


def test_elsewhere_the_command_is_named() -> None:
    env = FakeEnvironment()
    outcome = invoke("pull", env=env)
    assert (outcome.status, env.pulled) == (0, [])
    assert "Recommended: Gemma 4 E4B (QAT, Q4_0)\n" in outcome.stdout
    assert "  gemma-mtp pull e4b\n" in outcome.stdout


# --- the real looks --------------------------------------------------------------------------


def findings(offline: bool = True) -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor.examine(offline)}


def test_this_machine_is_examined(home: Path) -> None:
    found = findings()
    names = ["gemma-mtp", "llama.cpp", "MTP", "GPU", "CPU", "memory", "disk", "settings", "hub"]
    assert set(names) <= set(found)
    assert found["MTP"].value == "yes"
    assert NEEDED_VERSION in found["llama.cpp"].value
    assert str(home) in found["cache folder"].value
    assert "not asked" in found["hub"].value


def test_an_unreachable_hub_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "is_offline", lambda: False)
    monkeypatch.setattr(hub, "unreachable", lambda: HubError("No answer.", "Check the network."))
    hub_finding = findings(offline=False)["hub"]
    assert (hub_finding.problem, hub_finding.hint) == ("No answer.", "Check the network.")
    monkeypatch.setattr(hub, "unreachable", lambda: None)
    assert findings(offline=False)["hub"].value.endswith(" answers")


class NotFound(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_a_hub_that_answers_anything_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with HTTPServer(("127.0.0.1", 0), NotFound) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        where = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", where)
        assert hub.unreachable() is None
    error = hub.unreachable(1.0)  # nobody listens any more
    assert error is not None
    assert where in str(error)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in findings(offline=False)["hub"].value


def test_slips_and_broken_settings_are_problems(home: Path) -> None:
    paths.config_dir().mkdir()
    paths.config_file().write_text('contxt = 8192\nmodel = "e9b"')
    found = findings()
    assert "contxt" in found["settings"].problem
    assert "e9b" in found["default model"].problem
    paths.config_file().write_text("model = ")
    assert "not valid TOML" in findings()["settings"].problem


def test_a_broken_list_of_models_is_a_problem(home: Path) -> None:
    paths.config_dir().mkdir()
    paths.own_models().write_text("[[model]]\nname = 3")
    assert "is no list of models" in findings()["settings"].problem


def test_a_folder_that_cannot_be_written(home: Path) -> None:
    (home / "cache").write_text("in the way")
    assert "cannot be written" in findings()["cache folder"].problem


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> tuple[None, None]:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(doctor.machine, "memory", broken)
    found = findings()
    assert "cannot be examined: division by zero" in found["memory"].problem
    assert "hub" in found


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (("doctor", "--offline"), 1, "wrong: llama.cpp cannot be loaded: no libcudart.so.13"),
        (("run", "tiny", "hello"), 1, "gemma-mtp doctor says what helps."),
        (("show", "tiny"), 0, "built in"),
    ],
)
def test_without_a_llama_cpp_that_loads_it_is_said_what_helps(
    command: tuple[str, ...], status: int, words: str, home: Path
) -> None:
    package = home / "broken" / "llama_cpp"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('raise RuntimeError("no libcudart.so.13")')
    paths_ = os.pathsep.join([str(package.parent), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-m", "gemma_mtp", *command],
        env={**os.environ, "PYTHONPATH": paths_, "CI": "yes"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert words in " ".join(said.split())
    if command[0] == "doctor":
        # The script of a checkout mends its own environment; any other is told the package.
        way = installation.Installation().way
        assert ("scripts/chat doctor" if way == "checkout" else "llama-cpp-python==") in said
        assert "memory" in said
