"""`export-command` as a person and a script see it; llama-server takes it and drafts."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fakes import invoke

from gemma_mtp import paths
from gemma_mtp.api import Stats
from gemma_mtp.cli.environment import Environment
from gemma_mtp.models import speeds
from gemma_mtp.models.store import BUILTIN_FOLDER

pytestmark = pytest.mark.usefixtures("home")


def export(*words: str) -> Any:
    return invoke("export-command", *words, env=Environment())


def test_a_command_is_printed_and_what_it_lacks_is_said_elsewhere() -> None:
    done = export("tiny", "--for", "llama-server", "--seed", "3")
    assert done.status == 0
    words = shlex.split(done.stdout)
    assert words[0] == "llama-server"
    assert str(BUILTIN_FOLDER / "tiny-drafter.gguf") in words
    assert done.stdout.count("\n") == 1
    assert "Exact mode" in done.stderr


def test_paths_with_spaces_are_quoted(home: Path) -> None:
    folder = home / "my models"
    folder.mkdir()
    for name in ("tiny-target.gguf", "tiny-drafter.gguf"):
        shutil.copy(BUILTIN_FOLDER / name, folder)
    done = export(str(folder / "tiny-target.gguf"), "--for", "llama-server",
                  "--drafter", str(folder / "tiny-drafter.gguf"))  # fmt: skip
    words = shlex.split(done.stdout)
    assert words[words.index("-md") + 1] == str(folder / "tiny-drafter.gguf")


def test_settings_of_the_file_hold_unless_others_are_typed(home: Path) -> None:
    paths.config_file().parent.mkdir(parents=True, exist_ok=True)
    paths.config_file().write_text('ctx = 2048\ntemperature = 0.5\nsystem = "Be brief."\n')
    lines = export("tiny", "--for", "ollama", "--ctx", "1024").stdout.splitlines()
    assert "PARAMETER num_ctx 1024" in lines
    assert "PARAMETER temperature 0.5" in lines
    assert 'SYSTEM """Be brief."""' in lines


def test_a_chat_teaches_the_draft_length() -> None:
    rounds = {"rounds": 40, "drafted": 140, "accepted_histogram": (0, 0, 20)}
    speeds.remember("tiny", Stats(decoded=100, decode_seconds=1.0, drafts="used", **rounds))
    assert "--spec-draft-n-max 7 " in export("tiny", "--for", "llama-server").stdout
    speeds.remember("tiny", Stats(decoded=100, decode_seconds=1.0, drafts="unprofitable"))
    done = export("tiny", "--for", "llama-server")
    assert "-md" not in done.stdout
    assert "did not pay" in done.stderr


def test_vllm_needs_no_files_here_and_a_known_original() -> None:
    done = export("gemma4:12b", "--for", "vllm", "--port", "9000")
    assert "google/gemma-4-12B-it-assistant" in done.stdout
    assert "--port 9000" in done.stdout
    done = export("tiny", "--for", "vllm")
    assert done.status == 4
    assert "e2b" in done.stderr


def test_other_programs_need_the_files_and_say_how_to_get_them() -> None:
    done = export("12b", "--for", "llama-server")
    assert done.status == 4
    assert "gemma-mtp pull 12b" in done.stderr


def test_a_script_gets_words_and_notes() -> None:
    found = json.loads(export("tiny", "--for", "ollama", "--json", "--port", "1").stdout)
    assert found["modelfile"].startswith("FROM /")
    assert found["command"] == []
    assert "OLLAMA_HOST" in " ".join(found["notes"])


@pytest.mark.parametrize("words", [["tiny"], ["tiny", "--for", "lmstudio"]])
def test_the_program_has_to_be_one_that_is_known(words: list[str]) -> None:
    done = export(*words)
    assert done.status == 2
    assert "--for" in done.stderr
    assert "llama-server" in done.stderr


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def llama_server(port: int) -> Iterator[str]:
    """Started with the command that is printed; what it says of its drafts is asked for."""
    program = shutil.which("llama-server")
    if program is None:
        pytest.skip("no llama-server in PATH")
    words = shlex.split(export("tiny", "--for", "llama-server", "--port", str(port)).stdout)
    with subprocess.Popen([program, *words[1:]], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.communicate()


@pytest.mark.slow
def test_llama_server_takes_the_command_and_drafts(llama_server: str) -> None:
    body = {
        "messages": [{"role": "user", "content": "Tell me a long story about a fox."}],
        "max_tokens": 60,
    }
    request = urllib.request.Request(
        f"{llama_server}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    for _ in range(100):  # until it has loaded
        try:
            with urllib.request.urlopen(request) as answer:
                timings = json.load(answer)["timings"]
            break
        except OSError:
            time.sleep(0.2)
    assert timings["draft_n"] > 20
    assert timings["draft_n_accepted"] > timings["draft_n"] / 2
