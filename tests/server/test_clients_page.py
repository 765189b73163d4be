"""What docs/clients.md says to type, with the clients that are installed here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.server_process import Server

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
PYTHON = [code for kind, code in BLOCKS if kind == "python"]
CURL = [line for kind, code in BLOCKS for line in code.splitlines() if line.startswith("curl ")]


def here(text: str, server: Server) -> str:
    """As it is on the page, but for the port and the model, which are those of this test."""
    assert "11435" in text
    return text.replace("http://127.0.0.1:11435", server.url).replace("e2b", "tiny")


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.split()[1])
def test_the_code_for_python_prints_a_reply(code: str, server: Server) -> None:
    pytest.importorskip(code.split()[1])
    done = subprocess.run(
        [sys.executable, "-c", here(code, server)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 20


@pytest.mark.skipif(os.name == "nt", reason="quotes of another shell")
@pytest.mark.parametrize("line", CURL)
def test_the_lines_for_curl_get_a_reply(line: str, server: Server) -> None:
    command = here(line, server).replace("curl ", "curl -sSf ", 1)
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert '"tiny"' in done.stdout


def test_the_models_of_llm_are_those_of_the_page(server: Server, tmp_path: Path) -> None:
    pytest.importorskip("llm")
    (models,) = [code for kind, code in BLOCKS if kind == "yaml" and "api_base" in code]
    (tmp_path / "extra-openai-models.yaml").write_text(here(models, server))
    done = subprocess.run(
        [sys.executable, "-m", "llm", "-m", "tiny", "Hello"],
        env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_there_is_code_for_each_package() -> None:
    assert sorted(code.split()[1] for code in PYTHON) == ["anthropic", "ollama", "openai"]
    assert len(CURL) == 2
