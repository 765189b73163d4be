"""aider against `serve`, from a virtual environment of its own: it pins other versions of our
libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.server_process import Server

pytestmark = pytest.mark.slow
QUIET = ("--no-git", "--yes", "--no-check-update", "--no-show-model-warnings", "--no-pretty")


@pytest.fixture(scope="module")
def aider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, installed for these tests. Over Ollama's dialect it asks for more context than
    the built-in pair can have, so that is left out."""
    folder = tmp_path_factory.mktemp("aider")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    done = subprocess.run(
        [binaries / "python", "-m", "pip", "install", "-q", "aider-chat"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f"aider cannot be installed: {done.stderr[-200:]}")
    return binaries / "aider"


@pytest.mark.parametrize(
    ("model", "variable", "path"),
    [
        ("openai/tiny", "OPENAI_API_BASE", "/v1"),
        ("anthropic/tiny", "ANTHROPIC_BASE_URL", ""),
    ],
)
@pytest.mark.parametrize("more", [(), ("--no-stream",)])
def test_it_connects_reads_a_file_along_and_ends_well(
    aider: Path,
    server: Server,
    tmp_path: Path,
    model: str,
    variable: str,
    path: str,
    more: tuple[str, ...],
) -> None:
    file = tmp_path / "hello.py"
    file.write_text('print("hello")\n')
    env = {**os.environ, variable: server.url + path, "HOME": str(tmp_path)}
    env |= {"OPENAI_API_KEY": "any", "ANTHROPIC_API_KEY": "any"}
    ask = ["--message", "Say hello to the world.", "hello.py"]
    done = subprocess.run(
        [aider, "--model", model, *QUIET, *more, *ask],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "sent," in done.stdout  # tokens that were sent and received
    assert "litellm." not in done.stdout  # what its errors begin with
