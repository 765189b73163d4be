"""benchmarks/real_card.py keeps to its time, says what it left out, and ends with a report."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path
from time import sleep, time

import pytest
import real_card
from real_card import Session
from support.pairs import TINY

PROGRAM = Path(real_card.__file__)


def session(folder: Path, seconds: float) -> Session:
    return Session(folder, time() + real_card.LAST_SECONDS + seconds)


def archive(folder: Path) -> Path:
    """A source archive whose Python is that of the llama-cpp-python that is installed."""
    import llama_cpp

    source = folder / "llama_cpp_python-0.3.36"
    (source / "vendor" / "llama.cpp").mkdir(parents=True)
    package = Path(llama_cpp.__file__).parent
    shutil.copytree(package, source / "llama_cpp", ignore=lambda *_: {"lib", "__pycache__"})
    with tarfile.open(folder / "source.tar.gz", "w:gz") as packed:
        packed.add(source, source.name)
    return folder / "source.tar.gz"


@pytest.mark.skipif(sys.platform != "linux", reason="libraries are named as on Linux")
def test_all_stages_from_the_build_to_the_report_within_the_time(tmp_path: Path) -> None:
    """With a compiler that hands out what is installed, and fails for llama-server."""
    import llama_cpp

    installed, folder, tools = (
        Path(llama_cpp.__file__).parent / "lib", tmp_path / "card", tmp_path / "tools"
    )  # fmt: skip
    tools.mkdir()
    compiler = tools / "cmake"
    compiler.write_text(
        f'#!/bin/sh\ncase "$*" in *llama-server) exit 1 ;; esac\n'
        f"mkdir -p {folder}/build/bin; cp -a {installed}/*.so* {folder}/build/bin\n"
    )
    compiler.chmod(0o755)
    command = [sys.executable, PROGRAM, folder, "--pair", TINY.target, TINY.drafter]
    command += ["--archive", archive(tmp_path)]
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
    env["GEMMA_MTP_HOME"] = str(tmp_path / "home")
    done = subprocess.run(
        [*command, "--minutes", "1", "--tokens", "16", "--no-tests"],
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert "| draft | accepted 0.5 | accepted 0.75 | accepted 0.9 |" in done.stdout
    first, *_ = done.stdout.splitlines()
    assert first in (PROGRAM.parent.parent / "docs" / "speed.md").read_text()  # its place
    found = json.loads((folder / "report.json").read_text())
    assert [at["acceptance"] for at in found["pairs"][0]["at"]] == [0.5, 0.75, 0.9]
    assert found["build"]  # said before the program went on with what was built
    assert found["skipped"] == [
        "compile-server: ended with status 1 (compile-server.log).",
        "llama-server: it is not there.",
    ]
    for sentence in found["skipped"]:
        assert f"skipped: {sentence}" in done.stdout
    assert "MTP" in (folder / "doctor.log").read_text()


def test_where_nothing_can_be_built_or_loaded_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs() -> None:
        raise AssertionError("no device may be asked at the end")

    running = session(tmp_path, 100)
    running.skip("compile: ended with status 1 (compile.log).")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "gemma_mtp.llama", None)  # as if it could not be imported
        real_card.look_at_machine(running)
    real_card.write_report(running)
    compiled, machine = json.loads((tmp_path / "report.json").read_text())["skipped"]
    assert "compile" in compiled
    assert machine.startswith("the machine: ")
    real_card.look_at_machine(running)
    monkeypatch.setattr("gemma_mtp.models.machine.this_machine", hangs)
    real_card.write_report(running)
    assert json.loads((tmp_path / "report.json").read_text())["machine"]["cores"] > 0


def test_a_program_that_takes_too_long_is_left_out_and_named(tmp_path: Path) -> None:
    running = session(tmp_path, 100)
    assert running.run("sleeper", "sleep", "60", seconds=1.0) is None
    assert running.run("late", "true", seconds=0.0) is None
    assert running.run("wrong", "false", seconds=5.0) == 1
    assert running.skipped == [
        "sleeper: not done after 1 s (sleeper.log).",
        "late: no time was left.",
        "wrong: ended with status 1 (wrong.log).",
    ]


def test_what_came_of_the_tests_is_said_of_each_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_good.py").write_text("def test_it(): pass")
    (tmp_path / "test_bad.py").write_text("def test_it(): assert False")
    kinds = {kind: (str(tmp_path / f"test_{kind}.py"),) for kind in ("good", "bad")}
    monkeypatch.setattr(real_card, "TESTS", kinds)
    running = session(tmp_path, 300)
    real_card.suite(running)
    assert running.found["tests"]["good"] == "passed"
    assert running.found["tests"]["bad"].startswith("failed (1 failed in ")


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes of Linux")
def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    command = ("sh", "-c", f"sleep 60 & echo $! >{file}; wait")
    for seconds in (1.0, 20.0):  # a busy machine may not have begun with it
        assert session(tmp_path, 100).run("server", *command, seconds=seconds) is None
        if file.exists() and file.read_text():
            break
    late = time() + 10  # the system may need a moment
    while runs(int(file.read_text())) and time() < late:
        sleep(0.01)
    assert not runs(int(file.read_text()))


def test_sizes_without_a_pair_are_left_out_and_the_experts_are_measured_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_card, "is_written", lambda folder, size: size != "31b")
    (tmp_path / "server").touch()
    args = argparse.Namespace(
        pair=None, sizes=["12b", "26b", "31b"], server=tmp_path / "server", tokens=0
    )
    running = session(tmp_path, 100)
    found = [(job.func.__name__, job.args[1]) for job in real_card.jobs(running, args)]
    sizes = [name for what, name in found if what == "measure"]
    assert sizes == ["12b", "26b", "26b split"]
    assert [name for what, name in found if what == "against_server"] == ["12b", "26b"]
    assert running.skipped == ["31b: its pair was not written."]


def test_what_was_found_is_kept_where_llama_cpp_ends_the_program(tmp_path: Path) -> None:
    running = session(tmp_path, 100)

    def found(name: str) -> list[str]:
        skipped: list[str] = json.loads((tmp_path / "report.json").read_text())["skipped"]
        return [sentence for sentence in skipped if sentence.startswith(name)]

    def first(session: Session, name: str, seconds: float) -> None:
        running.skip("first: something.")
        raise ValueError("failed")

    def second(session: Session, name: str, seconds: float) -> None:
        assert found("first") == ["first: something.", "first: failed"]
        assert found("second") == ["second: the program ended in the middle of it."]

    real_card.do(running, [partial(first, running, "first"), partial(second, running, "second")])
    assert found("second") == []


def test_it_is_built_for_the_card_from_an_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "llama_cpp_python-0.3.36"
    (source / "vendor" / "llama.cpp").mkdir(parents=True)
    (source / "llama_cpp").mkdir()
    (source / "llama_cpp" / "__init__.py").write_text("")
    with tarfile.open(tmp_path / "source.tar.gz", "w:gz") as packed:
        packed.add(source, source.name)
    tools, folder = tmp_path / "tools", tmp_path / "card"
    tools.mkdir()
    folder.mkdir()
    for name, body in {
        "cmake": f'echo "$@" >>{tmp_path}/calls; mkdir -p {folder}/build/bin; '
        f"touch {folder}/build/bin/libggml-cuda.so",
        "nvidia-smi": 'echo "NVIDIA H200, 9.0"',
        "nvcc": 'case "$1" in --version) echo release 13.0 ;; *) echo compute_90 ;; esac',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setattr(real_card, "LOADS", "import llama_cpp")
    running = session(folder, 100)
    site = real_card.build(running, tmp_path / "source.tar.gz")
    assert site is not None
    assert (site / "llama_cpp" / "lib" / "libggml-cuda.so").is_file()
    assert running.skipped == []
    configured, compiled, server = (tmp_path / "calls").read_text().splitlines()
    assert "-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES=90-real" in configured
    assert compiled.endswith("--target llama")
    assert server.endswith("--target llama-server")
    assert real_card.build(running, tmp_path / "source.tar.gz") == site  # and not again
    assert len((tmp_path / "calls").read_text().splitlines()) == 3
