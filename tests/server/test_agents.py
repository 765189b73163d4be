"""Agents as their makers ship them: each reads a file with its own tool and says what is in it,
over a scripted engine. Those that are not installed are left out.

They come from npm: `@anthropic-ai/claude-code`, `@openai/codex` and `opencode-ai`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server.test_clients_page import BLOCKS
from support.fakes import FakeEngine, Script
from support.serving import FakeEngines

from gemma_mtp.api import Event, Request, ToolResult

pytestmark = pytest.mark.slow
SECRET = "4711 Øre"
QUESTION = "What is in secret.txt?"


class Reader(FakeEngine):
    """Has the file read by the tool that the agent has for it, then answers with what that said."""

    def __init__(self, tool: str, arguments: dict[str, Any]) -> None:
        super().__init__(context=200_000)
        self.tool, self.arguments = tool, json.dumps(arguments)

    def reply(self, request: Request, cancel: threading.Event) -> Iterator[Event]:
        said = [part for message in request.messages for part in message.parts]
        results = [part.text for part in said if isinstance(part, ToolResult)]
        if self.tool not in {tool.name for tool in request.tools}:
            self.scripts = [Script("A title.")]
        elif results:
            self.scripts = [Script(f"It says {SECRET}." if SECRET in results[-1] else results[-1])]
        else:
            calls = [(self.tool, self.arguments)]
            self.scripts = [Script("I look.", thought="A file.", calls=calls)]
        return super().reply(request, cancel)


@dataclass
class Home:
    """A folder that an agent works in, another for what it keeps, and where it asks."""

    work: Path
    kept: Path
    url: str

    def of_the_page(self, word: str) -> str:
        """The configuration in docs/clients.md with this word in it."""
        (text,) = [text for _, text in BLOCKS if word in text]
        return text.replace("http://127.0.0.1:11435", self.url).replace("e2b", "tiny")

    def run(self, program: str, *words: str, **more: str) -> str:
        """What the agent prints in the end."""
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
        kept = {name: str(self.kept) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        done = subprocess.run(
            [program, *words],
            cwd=self.work,
            env={**os.environ, **kept, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def claude(home: Home) -> str:
    return home.run(
        *("claude", "-p", QUESTION),
        ANTHROPIC_BASE_URL=home.url,
        ANTHROPIC_AUTH_TOKEN="any",
        ANTHROPIC_MODEL="tiny",
        ANTHROPIC_SMALL_FAST_MODEL="tiny",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
    )


def codex(home: Home) -> str:
    (home.kept / "config.toml").write_text(home.of_the_page("model_provider"))
    words = ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox")
    return home.run("codex", *words, QUESTION, CODEX_HOME=str(home.kept))


def opencode(home: Home) -> str:
    (home.work / "opencode.json").write_text(home.of_the_page("@ai-sdk"))
    return home.run("opencode", "run", QUESTION, PWD=str(home.work))


@pytest.mark.parametrize(
    ("agent", "tool", "argument"),
    [(claude, "Read", "file_path"), (codex, "exec_command", "cmd"), (opencode, "read", "filePath")],
)
def test_an_agent_reads_a_file_and_says_what_is_in_it(
    engines: FakeEngines,
    url: str,
    tmp_path: Path,
    agent: Callable[[Home], str],
    tool: str,
    argument: str,
) -> None:
    home = Home(tmp_path / "work", tmp_path / "home", url)
    home.work.mkdir()
    home.kept.mkdir()
    secret = home.work / "secret.txt"
    secret.write_text(SECRET, encoding="utf-8")
    value = f"cat '{secret}'" if argument == "cmd" else str(secret)
    engines.engine = Reader(tool, {argument: value})
    assert f"It says {SECRET}." in agent(home)
