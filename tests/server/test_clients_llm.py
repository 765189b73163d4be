"""The command line `llm` against `serve`, as one of its OpenAI-compatible models."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from support.server_process import ENDLESS, SEED, SOME, STORY, Server, assert_stops, server_process

from gemma_mtp.cli.flags import flag_of

pytest.importorskip("llm")
MODELS = """
- model_id: tiny
  model_name: tiny
  api_base: {url}/v1
- model_id: nobody
  model_name: nope
  api_base: {url}/v1
"""
Llm = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    endless = [word for name, value in ENDLESS.items() for word in (flag_of(name), str(value))]
    with server_process(home, *endless) as running:
        yield running


@pytest.fixture(scope="module")
def llm(server: Server, home: Path) -> Llm:
    """Starts it with these words and a configuration of its own."""
    folder = home / "llm"
    folder.mkdir()
    (folder / "extra-openai-models.yaml").write_text(MODELS.format(url=server.url))
    env = {**os.environ, "LLM_USER_PATH": str(folder)}
    env.pop("OPENAI_API_KEY", None)
    program = shutil.which("llm", path=Path(sys.executable).parent) or "llm"

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [program, *words],
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return start


def said(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.strip()


def test_streaming_and_not_it_prints_the_same_reply(llm: Llm) -> None:
    words = ("-m", "tiny", STORY, "-o", "temperature", "0", "-o", "max_tokens", "40")
    assert said(llm(*words)) == said(llm(*words, "--no-stream")) != ""


@pytest.mark.slow
def test_it_goes_on_with_a_conversation(llm: Llm) -> None:
    said(llm("-m", "tiny", "-s", "You tell stories.", STORY, "-o", "max_tokens", "30"))
    assert said(llm("-c", "And then?", "-o", "max_tokens", "30"))
    assert "And then?" in said(llm("logs", "-n", "1"))


@pytest.mark.slow
def test_stopped_by_the_user_it_stops_the_engine(llm: Llm, server: Server) -> None:
    asked = ("-m", "tiny", STORY, "-o", "seed", str(SEED))
    messages = [{"role": "user", "content": STORY}]
    some = {"messages": messages, "seed": SEED, "max_tokens": SOME}

    def leave() -> None:
        process = llm(*asked)
        assert process.stdout is not None
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

    assert_stops(server, lambda: httpx.post(f"{server.openai}/chat/completions", json=some), leave)


@pytest.mark.parametrize(
    ("words", "named"),
    [(("-m", "nobody", "Hi"), "nope"), (("-m", "tiny", "Hi", "-o", "presence_penalty", "1"),
                                         "presence_penalty")],
)  # fmt: skip
def test_what_is_wrong_is_told_in_the_servers_words(
    llm: Llm, words: tuple[str, ...], named: str
) -> None:
    process = llm(*words)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert named in err
