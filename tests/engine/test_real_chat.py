"""The whole program with the real engine and the built-in pair, as a person meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.loadable_pair import pair, written
from support.pairs import with_template
from support.terminal import CTRL_C, CTRL_D, ROOT, Terminal

Open = Callable[..., Terminal]
STORY = "Tell me a very long story about a fox."


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"GEMMA_MTP_HOME": str(tmp_path)}


def run(home: dict[str, str], *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gemma_mtp", *words],
        input=typed,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **home, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_a_chat_from_the_first_word_to_the_last(open_terminal: Open, home: dict[str, str]) -> None:
    chat = open_terminal("chat", real=True, **home)
    chat.prompt()
    assert any("built-in toy" in row for row in chat.lines)
    chat.say("What is 3 + 4?")
    chat.until(lambda: any("tok/s" in row for row in chat.lines))
    chat.prompt()
    assert any("7" in row for row in chat.lines)
    assert any("no drafts used yet" in row for row in chat.lines)  # nothing is known yet
    chat.say("/stats")
    chat.until("KV cache")
    chat.until("No drafts were used yet")
    chat.prompt()
    assert chat.leave(CTRL_D) == 0


@pytest.mark.parametrize("template", ["{{ 'x' * 10 ** 10 }}", "{% break %}", "{{ nothing() }}"])
def test_a_template_that_cannot_be_used(
    template: str, home: dict[str, str], tmp_path: Path
) -> None:
    files = with_template(tmp_path, template)
    done = run(home, "run", files.name, "--drafter", str(files.drafter), "hi")
    assert (done.returncode, done.stdout) == (6, "")
    assert done.stderr.startswith("gemma-mtp: The chat template of this model ")
    assert len(done.stderr.splitlines()) == 2


def test_a_hostile_file_leaves_the_model_that_is_loaded(
    open_terminal: Open, home: dict[str, str], tmp_path: Path
) -> None:
    target, drafter = pair()
    target[0]["gemma4.expert_used_count"] = [0, 2, 2, 2]
    hostile = written(tmp_path, target, drafter).target
    words = ["chat", "tiny", "--threads", "1", "--temperature", "0"]
    chat = open_terminal(*words, real=True, **home)
    chat.prompt()
    chat.say(f"/model {hostile}")
    chat.until("has values of expert_used_count")
    chat.prompt()
    chat.say("What is 3 + 4?")
    chat.until(lambda: any("= 7" in row for row in chat.lines))
    chat.prompt()
    assert chat.leave(CTRL_D) == 0


def test_ctrl_c_stops_the_reply_and_keeps_what_was_said(
    open_terminal: Open, home: dict[str, str]
) -> None:
    chat = open_terminal("chat", "tiny", "--threads", "1", real=True, rows=60, **home)
    chat.say(STORY)
    chat.until(lambda: any("tok/s" in row for row in chat.lines))
    chat.keys(CTRL_C)
    chat.until(lambda: any("ctx" in row and "stopped" in row for row in chat.lines[-3:]))
    chat.prompt()
    chat.say("What was my last message?")
    chat.until(lambda: sum("tok/s" in row for row in chat.lines) >= 2)
    chat.prompt()
    assert chat.leave("/bye\r") == 0


def test_run_writes_only_the_answer(home: dict[str, str]) -> None:
    done = run(home, "run", "tiny", "What is 3 + 4?", "--temperature", "0")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert "7" in done.stdout
    assert done.stderr == ""


def test_run_json_is_the_whole_truth(home: dict[str, str]) -> None:
    done = run(home, "run", "tiny", STORY, "--json", "--seed", "5", "--max-tokens", "120")
    answer = json.loads(done.stdout)
    again = json.loads(
        run(home, "run", "tiny", STORY, "--json", "--seed", "5", "--max-tokens", "120",
            "--draft", "off").stdout
    )  # fmt: skip
    assert answer["text"] == again["text"]
    assert (answer["model"], answer["seed"]) == ("tiny", 5)
    stats, plain = answer["stats"], again["stats"]
    assert (stats["acceptance_rate"] is None) == (stats["drafted"] == 0)
    assert stats["mean_accepted_length"] >= 1
    assert stats["drafts"] in ("used", "trying", "unprofitable")
    assert (stats["speedup"] is None) == (stats["speedup_basis"] == "none")
    assert (plain["speedup"], plain["drafts"], plain["drafted"]) == (None, "off", 0)
    assert answer["completion_tokens"] == again["completion_tokens"] <= 120


def test_a_pipe_into_chat_is_answered_like_run(home: dict[str, str]) -> None:
    done = run(home, "chat", "tiny", "--temperature", "0", typed="What is 3 + 4?\n")
    assert done.returncode == 0
    assert "7" in done.stdout


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["run", "missing.gguf", "hi"], 4, "missing.gguf"),
        (["run", "12b", "hi"], 4, "gemma-mtp pull 12b"),
        (["run", "tinny"], 4, "tiny"),
        (["run", "tiny", "hi", "--ctx", "100000"], 2, "8192"),
        (["run", "tiny", "word " * 9000], 5, "8192"),
        (["run", "tiny", "hi", "--max-tokens", "1", "--fail-on-length"], 3, ""),
        (["run", "tiny", "hi", "--draft", "17"], 2, "16"),
        (["run", "tiny", "photo.png"], 2, "--image photo.png"),
    ],
)
def test_mistakes_end_with_their_status_and_one_sentence(
    home: dict[str, str], words: list[str], status: int, said: str
) -> None:
    done = run(home, *words)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == "" or status == 3


def test_a_drafter_that_does_not_fit_is_an_error_and_not_dropped(
    home: dict[str, str], tmp_path: Path
) -> None:
    target = ROOT / "gemma_mtp" / "models" / "builtin" / "tiny-target.gguf"
    done = run(home, "run", "tiny", "hi", "--drafter", str(target))
    assert done.returncode == 6
    assert "drafter" in done.stderr
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(target.read_bytes()[:-1000])
    done = run(home, "run", str(cut), "hi")
    assert done.returncode == 6
    assert "1,000 bytes are missing" in done.stderr
