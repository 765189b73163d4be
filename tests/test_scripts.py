"""scripts/chat and its set-up, with a pretended Python: no network, no compiler, no real pip."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.machines import Machine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shell scripts")

ROOT = Path(__file__).parent.parent
PATIENCE = 120  # seconds; a busy machine takes many times what an idle one does

# Answers what the scripts ask a Python; each pip call is written down next to the checkout. How
# llama.cpp should be built the real one says, by tools on the PATH and files of a made-up system.
PYTHON = f"""#!/bin/sh
case "$*" in
    *"-m gemma_mtp.models.build "*)
        PYTHONPATH='{ROOT}' exec '{sys.executable}' "$@" --offline --root "$SYSTEM" ;;
    "-c import gemma_mtp.llama") [ -z "$WONT_LOAD" ] ;;
    -IS*) [ "${{FAKE_VERSION:-3.11}}" != 3.9 ] && echo "${{FAKE_VERSION:-3.11}}" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"pip --version" | "-c import venv"*) [ -z "$NO_VENV" ] ;;
    *"pip cache list"*) echo "$CACHED" ;;
    *"--dry-run"*) exit 1 ;;
    *install*)
        echo "$* [$CMAKE_ARGS]" >>"$CALLS"
        cat >/dev/null
        sleep "${{PIP_TAKES:-0}}"
        [ -z "$GPU_FAILS" ] || [ -z "$CMAKE_ARGS" ] || {{ echo "nvcc fatal"; exit 1; }}
        [ -z "$PIP_FAILS" ] || {{ echo "no such package"; exit 1; }}
        cp "$TOOL" "$(dirname "$0")/gemma-mtp" ;;
esac
"""
COMMANDS = """cat chmod cksum cp date dirname flock grep head mkdir readlink rm sed sh sleep
tail""".split()  # noqa: SIM905
TOOL = '#!/bin/sh\nprintf "<%s>" "$PWD" "$@"\ncat\n'


class Checkout:
    """A copy of the scripts in a path with a space, and a PATH with next to nothing on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "my checkout"
        shutil.copytree(ROOT / "scripts", self.root / "scripts", ignore=lambda *_: {"tiny"})
        (self.root / "pyproject.toml").write_text(
            'dependencies = [\n    "llama-cpp-python==0.3.36",\n]\n'
        )
        self.bin = folder / "bin"
        self.bin.mkdir()
        for name in COMMANDS:
            found = shutil.which(name)
            if found:
                (self.bin / name).symlink_to(found)
        self.script("python3", PYTHON)
        self.script("c++", "#!/bin/sh\n")
        self.tool = self.script("../tool", TOOL)
        self.machine = Machine(folder, self.bin)
        setup = self.root / "scripts" / "_setup.sh"
        setup.write_text(
            re.sub("(?m)^system=$", f"system='{self.machine.root}'", setup.read_text())
        )
        self.env = {
            "PATH": str(self.bin),
            "CALLS": str(folder / "calls"),
            "TOOL": str(self.tool),
            "SYSTEM": str(self.machine.root),
        }

    def script(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.root / "scripts" / "chat", *arguments],
            env=self.env | env,
            cwd=self.folder,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def chat(self, *arguments: str, stdin: str = "", **env: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **env)
        out, err = process.communicate(stdin, timeout=PATIENCE)
        return process.returncode, out, err

    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_sets_up_once_then_is_quiet(checkout: Checkout) -> None:
    started = f"<{checkout.folder}><chat><-x><two words>hi\n"
    status, out, err = checkout.chat("-x", "two words", stdin="hi\n")
    assert (status, out) == (0, started)
    assert "making the virtual environment" in err
    assert "installing" in err
    assert checkout.chat("-x", "two words", stdin="hi\n") == (0, started, "")
    assert len(checkout.calls()) == 1


def test_other_commands_are_passed_through(checkout: Checkout) -> None:
    assert checkout.chat("pull", "e2b")[1] == f"<{checkout.folder}><pull><e2b>"


@pytest.mark.parametrize("without", ["", "flock"])
def test_two_at_once_set_up_once(checkout: Checkout, without: str) -> None:
    if without:
        (checkout.bin / without).unlink(missing_ok=True)
    both = [checkout.start("x", PIP_TAKES="1.5") for _ in range(2)]
    results = [process.communicate("", timeout=PATIENCE) for process in both]
    assert [out for out, _ in results] == [f"<{checkout.folder}><chat><x>"] * 2
    assert sum("waiting" in err for _, err in results) == 1
    assert len(checkout.calls()) == 1


@pytest.mark.parametrize("without", ["", "flock"])
def test_an_interrupted_set_up_heals(checkout: Checkout, without: str) -> None:
    if without:
        (checkout.bin / without).unlink(missing_ok=True)
    for how in (signal.SIGINT, signal.SIGKILL):
        process = checkout.start(PIP_TAKES="20")
        calls = len(checkout.calls())
        while len(checkout.calls()) == calls:
            time.sleep(0.05)
        os.killpg(process.pid, how)
        process.communicate(timeout=PATIENCE)
        assert process.returncode in (130, -how)
    status, out, _ = checkout.chat()
    assert (status, out) == (0, f"<{checkout.folder}><chat>")


def test_a_failing_pip_shows_the_end_of_its_log_and_is_tried_again(checkout: Checkout) -> None:
    status, out, err = checkout.chat(PIP_FAILS="yes")
    assert (status, out) == (1, "")
    assert "| no such package" in err
    assert f"gemma-mtp: pip failed. The whole log is in {checkout.root}/.venv/setup.log" in err
    assert checkout.chat()[0] == 0


def test_a_changed_project_is_installed_again(checkout: Checkout) -> None:
    checkout.chat()
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("# more\n")
    assert "making" not in checkout.chat()[2]
    assert len(checkout.calls()) == 2


def test_a_moved_checkout_and_another_python_make_it_anew(checkout: Checkout) -> None:
    checkout.chat()
    checkout.root = checkout.root.rename(checkout.folder / "moved")
    assert "making" in checkout.chat()[2]
    assert "making" not in checkout.chat()[2]
    other = checkout.script("other", PYTHON.replace("3.11", "3.12"))
    assert "making" in checkout.chat(PYTHON=str(other))[2]
    assert checkout.chat()[2] == ""


def test_cmake_arguments_build_the_engine_again_once(checkout: Checkout) -> None:
    checkout.chat()
    assert "-DGGML_CUDA=on" in checkout.chat(CMAKE_ARGS="-DGGML_CUDA=on")[2]
    assert "--no-cache-dir" in checkout.calls()[1]
    assert checkout.chat(CMAKE_ARGS="-DGGML_CUDA=on")[2] == ""
    assert checkout.chat()[2] == ""
    with (checkout.root / "pyproject.toml").open("a") as file:
        file.write("# more\n")
    assert "compiling" not in checkout.chat(CMAKE_ARGS="-DGGML_CUDA=on")[2]


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"FAKE_VERSION": "3.9"}, "Python 3.11 or later is needed and was not found"),
        ({"PYTHON": "/no/such/python"}, "PYTHON=/no/such/python is not a Python of 3.11 or later."),
        ({"NO_VENV": "yes"}, "The venv module of python3 is missing"),
    ],
)
def test_what_is_missing_is_said(checkout: Checkout, env: dict[str, str], sentence: str) -> None:
    status, out, err = checkout.chat(**env)
    assert (status, out) == (1, "")
    assert err.startswith(f"gemma-mtp: {sentence}")
    assert err.count("\n") == 1


def test_a_missing_compiler_matters_only_where_something_is_to_be_built(checkout: Checkout) -> None:
    (checkout.bin / "c++").unlink()
    status, out, err = checkout.chat()
    assert (status, out) == (1, "")
    assert "A C++ compiler is needed" in err
    assert not checkout.calls()
    assert checkout.chat(CACHED="- llama_cpp_python-0.3.36-py3-none-linux.whl")[0] == 0


# --- what llama.cpp is built for -------------------------------------------------------------

CUDA = "-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=86-real"


@pytest.fixture
def card(checkout: Checkout) -> Checkout:
    """A checkout on a machine with a card of NVIDIA's and CUDA's compiler."""
    checkout.machine.nvidia("NVIDIA GeForce RTX 3060, 8.6")
    checkout.machine.nvcc()
    return checkout


def test_without_a_card_nothing_is_built_in_another_way(checkout: Checkout) -> None:
    checkout.machine.nvcc()  # as on a machine that only compiles
    checkout.machine.vulkan()
    err = checkout.chat()[2]
    assert "built for the CPU, since no graphics card was found that it can use." in err
    (call,) = checkout.calls()
    assert call.endswith(f"-e {checkout.root} []")
    assert checkout.chat()[2] == ""


def test_a_card_is_built_for_once(card: Checkout) -> None:
    err = card.chat()[2]
    assert "llama.cpp is built for NVIDIA GeForce RTX 3060 with CUDA 12.4." in err
    engine, project = card.calls()
    assert "--no-cache-dir" in engine
    assert engine.endswith(f"llama-cpp-python==0.3.36 [{CUDA}]")
    assert f"-e {card.root}" in project
    assert card.chat()[2] == ""
    assert len(card.calls()) == 2


def test_an_environment_from_before_is_built_anew_for_the_card_alone(checkout: Checkout) -> None:
    checkout.chat()
    (checkout.root / ".venv" / "setup.machine").unlink()
    assert "making" not in checkout.chat()[2]
    assert len(checkout.calls()) == 1  # a machine without a card needs nothing
    checkout.machine.nvidia("NVIDIA GeForce RTX 3060, 8.6")
    checkout.machine.nvcc()
    assert "compiling llama.cpp" in checkout.chat()[2]
    assert checkout.calls()[1].endswith(f"[{CUDA}]")
    assert len(checkout.calls()) == 2


def test_a_compiler_that_comes_later_is_noticed(checkout: Checkout) -> None:
    checkout.machine.nvidia("NVIDIA GeForce RTX 3060, 8.6")
    err = checkout.chat()[2]
    assert "built for the CPU meanwhile: to use NVIDIA GeForce RTX 3060, CUDA's compiler" in err
    assert re.search(r"\n  /.* -m pip install --force-reinstall --extra-index-url http", err)
    assert "install the CUDA toolkit 12 from https://developer.nvidia.com/" in err
    assert checkout.chat()[2] == ""
    checkout.machine.nvcc()
    assert "with CUDA 12.4" in checkout.chat()[2]
    assert checkout.calls()[1].endswith(f"[{CUDA}]")


def test_another_card_is_noticed(card: Checkout) -> None:
    information = "proc/driver/nvidia/gpus/0000:01:00.0/information"
    card.machine.file(information, "Model: \t NVIDIA GeForce RTX 3060\n")
    card.chat()
    card.machine.file(information, "Model: \t NVIDIA GeForce RTX 4090\n")
    card.machine.nvidia("NVIDIA GeForce RTX 4090, 8.9")
    assert "RTX 4090" in card.chat()[2]
    assert "=89-real]" in card.calls()[2]


def test_a_driver_that_answers_again_is_noticed(card: Checkout) -> None:
    """After an update it does not, until the machine was started anew."""
    version = "proc/driver/nvidia/version"
    card.machine.file(version, "NVRM version: 550.54\n")
    card.machine.tool("nvidia-smi", status=18)
    assert "built for the CPU, since no driver answers for an NVIDIA card." in card.chat()[2]
    card.machine.nvidia("NVIDIA GeForce RTX 3060, 8.6")
    card.machine.file(version, "NVRM version: 550.90\n")
    assert "with CUDA 12.4" in card.chat()[2]
    assert card.calls()[1].endswith(f"[{CUDA}]")


def test_a_build_that_the_user_installed_is_kept_and_not_called_missing(checkout: Checkout) -> None:
    """As the first of the two ways out leads to; then the driver is updated."""
    checkout.machine.nvidia("NVIDIA GeForce RTX 3060, 8.6")
    assert "CUDA's compiler (nvcc) is missing" in checkout.chat()[2]
    libraries = checkout.root / ".venv/lib/python3.11/site-packages/llama_cpp/lib"
    libraries.mkdir(parents=True)
    (libraries / "libggml-cuda.so").touch()
    checkout.machine.file("proc/driver/nvidia/version", "NVRM version: 550.90\n")
    assert checkout.chat()[2] == "gemma-mtp: llama.cpp stays as it was installed, for CUDA.\n"
    assert checkout.chat()[2] == ""
    assert len(checkout.calls()) == 1


def test_a_card_that_is_gone_leaves_the_cpus_build(card: Checkout) -> None:
    card.chat()
    (card.bin / "nvidia-smi").unlink()
    assert "for the CPU" in card.chat()[2]
    assert card.calls()[2].endswith("llama-cpp-python==0.3.36 []")
    assert card.chat()[2] == ""


def test_arguments_of_the_user_always_win(card: Checkout) -> None:
    card.chat(CMAKE_ARGS="-DGGML_CUDA=off")
    assert [call for call in card.calls() if CUDA in call] == []
    assert card.chat()[2] == ""  # and stay
    with (card.root / "pyproject.toml").open("a") as file:
        file.write("# more\n")
    card.chat()
    assert [call for call in card.calls() if CUDA in call] == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [("GPU_FAILS", "could not be compiled"), ("WONT_LOAD", "was built, and cannot be loaded here")],
)
def test_a_build_that_fails_leaves_one_that_works(card: Checkout, fault: str, words: str) -> None:
    status, out, err = card.chat(**{fault: "yes"})
    assert (status, out) == (0, f"<{card.folder}><chat>")
    assert f"llama.cpp with {CUDA} {words}" in err
    assert f'To try again: CMAKE_ARGS="{CUDA}"' in err
    assert [call for call in card.calls() if "llama-cpp-python" in call][-1].endswith("[]")
    assert card.chat(**{fault: "yes"})[2] == ""  # it is not tried again
    assert CUDA in card.chat(CMAKE_ARGS=CUDA)[2]  # but when it is asked for


def test_a_build_that_was_asked_for_and_fails_ends_the_set_up(card: Checkout) -> None:
    status, _, err = card.chat(CMAKE_ARGS="-DGGML_CUDA=on", GPU_FAILS="yes")
    assert status == 1
    assert "| nvcc fatal" in err


def test_the_arguments_for_other_installers(card: Checkout) -> None:
    done = subprocess.run(
        [card.root / "scripts" / "cmake-args"],
        env=card.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{CUDA}\n"
    assert "built for NVIDIA GeForce RTX 3060 with CUDA 12.4." in done.stderr
    assert card.calls() == []
