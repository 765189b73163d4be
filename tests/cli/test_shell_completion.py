"""Completion in the shells themselves, where they are here: what the Tab key brings."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.fakes import invoke

from gemma_mtp.cli.completion import HOW, VARIABLE

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0  # seconds that a loaded machine may take


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment in which `gemma-mtp` is this program, with a home of its own."""
    program = tmp_path / "bin" / "gemma-mtp"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gemma_mtp "$@"\n')
    program.chmod(0o755)
    found = {"HOME": str(tmp_path), "GEMMA_MTP_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, **found, "PATH": path, "TERM": "xterm", "PS1": "> ", "COLUMNS": "80"}


def answered(home: dict[str, str], line: str) -> list[str]:
    """What bash is told about a line, the last word of which is begun."""
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), VARIABLE: "complete_bash"}
    ran = subprocess.run(["gemma-mtp"], env={**home, **asked}, capture_output=True, text=True)
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gemma-mtp ru", ["run"]),
        ("gemma-mtp run t", ["tiny"]),
        ("gemma-mtp run --model t", ["tiny"]),
        ("gemma-mtp show ti", ["tiny"]),
        ("gemma-mtp pull e", ["e2b", "e4b"]),
        ("gemma-mtp run --think-b", ["--think-budget"]),
        ("gemma-mtp run --draft a", ["auto"]),
        ("gemma-mtp config think_", ["think_budget"]),
        ("gemma-mtp completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_what_may_come_next(home: dict[str, str], line: str, words: list[str]) -> None:
    assert answered(home, line) == words


def test_no_model_is_opened_for_it(home: dict[str, str]) -> None:
    asked = {"COMP_WORDS": "gemma-mtp run t", "COMP_CWORD": "2", VARIABLE: "complete_bash"}
    command = [sys.executable, "-X", "importtime", "-m", "gemma_mtp"]
    ran = subprocess.run(command, env={**home, **asked}, capture_output=True, text=True)
    assert ran.stdout.strip() == "tiny"
    imported = {line.split("|")[-1].strip() for line in ran.stderr.splitlines()}
    assert "gemma_mtp.models.store" in imported
    assert not {"llama_cpp", "numpy", "httpx", "fastapi"} & imported


def test_a_shell_that_is_not_known() -> None:
    outcome = invoke("completion", "tcsh")
    assert outcome.status == 2
    assert "bash, zsh, fish" in outcome.stderr


@pytest.mark.parametrize("shell", HOW)
def test_the_script_says_where_it_belongs(shell: str) -> None:
    outcome = invoke("completion", shell)
    assert outcome.status == 0
    assert outcome.stdout.startswith(f"# Use it by: {HOW[shell]}\n")


@pytest.fixture
def shell(home: dict[str, str]) -> Iterator[Callable[..., Callable[[str, str], None]]]:
    """Starts a shell at a terminal; what it gives back types a text and waits for another."""
    opened: list[tuple[int, int]] = []

    def start(*command: str) -> Callable[[str, str], None]:
        child, terminal = pty.fork()
        if child == 0:
            os.execvpe(command[0], command, home)
        opened.append((child, terminal))

        def type_and_see(text: str, wanted: str) -> None:
            os.write(terminal, text.encode())
            seen, until = "", time.monotonic() + PATIENCE
            while wanted not in seen:
                assert time.monotonic() < until, seen
                if select.select([terminal], [], [], 1)[0]:
                    seen += os.read(terminal, 4096).decode(errors="replace")

        return type_and_see

    yield start
    for child, terminal in opened:
        os.close(terminal)
        os.waitpid(child, 0)


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not here")


@needs("bash")
def test_the_tab_key_in_bash(shell: Callable[..., Callable[[str, str], None]]) -> None:
    types = shell("bash", "--norc", "--noprofile", "-i")
    types('eval "$(gemma-mtp completion bash)"; echo re""ady\n', "ready\r\n")
    types("gemma-mtp show ti\t", "tiny")


@needs("zsh")
def test_the_tab_key_in_zsh(shell: Callable[..., Callable[[str, str], None]]) -> None:
    types = shell("zsh", "-f", "-i")
    types('autoload -U compinit; compinit -u; echo re""ady\n', "ready\r\n")
    types('eval "$(gemma-mtp completion zsh)"; echo wh""ole\n', "whole\r\n")
    types("gemma-mtp show ti\t", "ny")


@needs("fish")
def test_the_tab_key_in_fish(home: dict[str, str]) -> None:
    code = 'gemma-mtp completion fish | source; complete -C "gemma-mtp show ti"'
    ran = subprocess.run(["fish", "-c", code], env=home, capture_output=True, text=True)
    assert ran.stdout.split()[:1] == ["tiny"]
