"""scripts/chat and its set-up, with a pretended Python: no network, no compiler, no real pip."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shell scripts")

ROOT = Path(__file__).parent.parent
# Answers what the scripts ask a Python; each pip call is written down next to the checkout.
PYTHON = """#!/bin/sh
case "$*" in
    -IS*) [ "${FAKE_VERSION:-3.11}" != 3.9 ] && echo "${FAKE_VERSION:-3.11}" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *"pip --version" | "-c import venv"*) [ -z "$NO_VENV" ] ;;
    *"pip cache list"*) echo "$CACHED" ;;
    *"--dry-run"*) exit 1 ;;
    *install*)
        echo "$*" >>"$CALLS"
        cat >/dev/null
        sleep "${PIP_TAKES:-0}"
        [ -z "$PIP_FAILS" ] || { echo "no such package"; exit 1; }
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
        self.env = {
            "PATH": str(self.bin),
            "CALLS": str(folder / "calls"),
            "TOOL": str(self.tool),
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
        out, err = process.communicate(stdin, timeout=30)
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
    results = [process.communicate("", timeout=30) for process in both]
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
        process.communicate(timeout=30)
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
