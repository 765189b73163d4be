"""`run --batch`: lines in, lines out, also where it was killed in between."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fakes import FakeEngine, FakeEnvironment, Outcome, invoke
from support.waiting import wait_until

from gemma_mtp.api import Event, Grammar, Message, Request
from gemma_mtp.batch import work
from gemma_mtp.errors import GemmaMtpError

ROOT = Path(__file__).parents[2]
PIPE = "pipe.wav"
DRIVER = ROOT / "tests" / "support" / "fakes.py"
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


class Batch:
    """Two files, and what becomes of them."""

    def __init__(self, folder: Path) -> None:
        self.prompts, self.out = folder / "prompts.jsonl", folder / "answers.jsonl"
        self.env = FakeEnvironment(FakeEngine())

    def write(self, *lines: object) -> None:
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        self.prompts.write_text("".join(f"{text}\n" for text in texts))

    def run(self, *more: str, model: str = "tiny", stdin: bytes = b"") -> Outcome:
        files = ["--batch", str(self.prompts), "--out", str(self.out)]
        return invoke("run", *model.split(), *files, *more, stdin=stdin, env=self.env)

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    @property
    def requests(self) -> list[Request]:
        return self.env.engine.requests


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch(tmp_path)


def openai(name: object, url: str = "/v1/chat/completions", **body: object) -> dict[str, object]:
    if url.endswith("chat/completions"):
        body = {"messages": [{"role": "user", "content": "Hi"}], **body}
    return {"custom_id": name, "method": "POST", "url": url, "body": body}


def test_a_line_for_each_prompt(batch: Batch) -> None:
    batch.write({"prompt": "one"}, "", {"prompt": "two", "custom_id": "x"})
    outcome = batch.run()
    assert (outcome.status, outcome.stdout) == (0, "")
    assert outcome.stderr == "gemma-mtp: 2 of 2 lines answered, 400 tok/s.\n"
    assert [(a["index"], a["text"], a["finish_reason"]) for a in batch.answers] == [
        (0, "Hello there.", "stop"),
        (2, "Hello there.", "stop"),
    ]
    assert "cached_tokens" in batch.answers[0]["stats"]
    assert batch.answers[1]["custom_id"] == "x"


def test_what_a_line_may_say(batch: Batch) -> None:
    schema = {"type": "object"}
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    batch.write(
        {"prompt": "a\r\nb", "system": "Be brief.", "seed": 5, "num_predict": 9, "stop": ["x"]},
        {"messages": [*said, {"role": "user", "content": "c"}], "temperature": 0, "draft": "off"},
        {"prompt": "a", "format": "json"},
        {"prompt": "a", "schema": schema, "think": True, "seed": None},
        {"prompt": "a", "choices": ["b", "c"]},
        {"prompt": "a", "grammar": 'root ::= "a"'},
    )
    assert batch.run("--temperature", "0.5", "--system", "All.", "--seed", "3").status == 0
    one, two, *forms = batch.requests
    assert one.messages == (Message.text("system", "Be brief."), Message.text("user", "a\nb"))
    assert (one.seed, one.exact, one.max_tokens, one.stop) == (5, True, 9, ("x",))
    assert one.sampling.temperature == 0.5
    assert [message.content for message in two.messages] == ["All.", "a", "b", "c"]
    assert (two.sampling.temperature, two.draft, two.seed) == (0, 0, 3)
    assert [form.grammar for form in forms] == [
        Grammar("json"),
        Grammar("json_schema", json.dumps(schema)),
        Grammar("choices", '["b", "c"]'),
        Grammar("gbnf", 'root ::= "a"'),
    ]
    assert [(form.think, form.seed) for form in forms] == [(False, 3), (True, 3), *[(False, 3)] * 2]


def test_tools_of_a_line_and_of_all(batch: Batch, tmp_path: Path) -> None:
    weather = {"type": "function", "function": {"name": "weather"}}
    file = tmp_path / "tools.json"
    file.write_text('[{"name": "clock"}]')
    batch.write(
        {"prompt": "a", "tools": [weather], "tool_choice": "weather"}, {"prompt": "b"}, openai("c")
    )
    assert batch.run("--tools", str(file)).status == 0
    tools = [[tool.name for tool in request.tools] for request in batch.requests]
    assert tools == [["weather"], ["clock"], ["clock"]]
    choices = [(each.tool_choice.mode, each.tool_choice.name) for each in batch.requests]
    assert choices == [("required", "weather"), ("auto", ""), ("auto", "")]
    assert batch.answers[0]["tool_calls"] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "The line is no JSON: Expecting value, at character 1."),
        ("[" * 100_000, "The line is no JSON that can be read"),
        ('"a"', 'The line must be an object, such as {"prompt": "Why?"}.'),
        ({"prompt": ""}, "The prompt is empty."),
        ({"prompt": 3}, "prompt must be a text."),
        ({"seed": 3}, "The line must have either prompt or messages."),
        ({"prompt": "a", "messages": []}, "The line must have either prompt or messages."),
        ({"messages": []}, "messages must hold at least one message."),
        ({"messages": [{"role": "user"}]}, "must have role and content"),
        ({"messages": [{"role": "cook", "content": "a"}]}, "role must be one of system, user"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "content a text. Pictures are images"),
        ({"prompt": "a", "sed": 1}, 'There is no field "sed". Did you mean seed?'),
        ({"prompt": "a", "ctx": 512}, "ctx is for all lines."),
        ({"prompt": "a", "num_predict": 0}, "num_predict must be a whole number of at least 1"),
        ({"prompt": "a", "format": "yaml"}, 'format must be "json" or a JSON Schema.'),
        ({"prompt": "a", "format": "json", "choices": ["b"]}, "can have only one."),
        ({"prompt": "a", "tool_choice": "auto"}, "tool_choice needs tools."),
        ({"prompt": "a", "tools": 3}, "tools must be a list of tools."),
        ({"prompt": "a", "tools": [{"name": "a"}], "tool_choice": 1}, "tool_choice must be one"),
        ({"prompt": "a", "audio": ["a\0.wav"]}, "cannot be the name of a file."),
        ({"prompt": "a", "images": ["\ud800.png"]}, "cannot be the name of a file."),
        ({"prompt": "a", "images": ["file://[a"]}, "cannot be the name of a file."),
        ({"prompt": "a", "images": ["~n0b0dy/a.png"]}, "there is no user of that name."),
        ({"prompt": "a", "audio": ["a" * 5000]}, "cannot be read: File name too long."),
        ({"prompt": "a", "audio": [PIPE]}, "is a pipe, not a file."),
        ({"prompt": "word " * 9000}, "The prompt has 9004 tokens"),
        (openai(""), "custom_id must be a text"),
        (openai("first"), 'The custom_id "first" is that of line 1, too.'),
    ],
)
def test_a_line_that_fails_says_why_and_the_others_are_answered(
    batch: Batch, line: object, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(PIPE)
    batch.write(openai("first"), line, {"prompt": "after"})
    outcome = batch.run()
    assert outcome.status == 8
    assert outcome.stderr.startswith("gemma-mtp: 2 of 3 lines answered, 1 failed")
    first, failed, after = batch.answers
    assert first["response"]["status_code"] == 200
    assert said in failed["error"]["message"]
    assert (failed["index"], failed["error"]["status"]) == (1, 5 if "9004" in said else 2)
    assert after["text"] == "Hello there."


def test_bytes_that_are_no_text(batch: Batch) -> None:
    batch.prompts.write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\n{"prompt": "\xff"}')
    assert batch.run().status == 8
    assert [answer.get("error", {}).get("message") for answer in batch.answers] == [
        None,
        "The line is no UTF-8.",
    ]


def test_the_format_of_openai(batch: Batch) -> None:
    batch.write(
        openai("a", max_tokens=2, made_up=1),
        openai("b", "/v1/responses", input="Hi"),
        openai("c", "/v1/completions", prompt="Once", echo=True),
    )
    outcome = batch.run()
    assert outcome.status == 0
    assert "gemma-mtp: passed over, since nobody here knows it: made_up.\n" in outcome.stderr
    for answer, name in zip(batch.answers, "abc", strict=True):
        assert answer["id"].startswith("batch_req_")
        assert (answer["custom_id"], answer["error"]) == (name, None)
        assert answer["response"]["status_code"] == 200
        assert answer["response"]["body"]["model"] == "tiny"
    chat, responses, completion = (answer["response"]["body"] for answer in batch.answers)
    assert chat["choices"][0]["message"]["content"] == "Hello there."
    assert chat["choices"][0]["finish_reason"] == "length"
    assert chat["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    assert responses["output"][0]["content"][0]["text"] == "Hello there."
    assert completion["choices"][0]["text"] == "OnceHello there."


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        (openai("a", messages=3), 400, "messages must be a list."),
        (openai("a", n=2), 400, "n must be 1."),
        (openai("a", stream=True), 400, "body.stream has no place in a batch."),
        (openai("a", temperature=-1), 400, "temperature must be"),
        (openai("a", "/v1/embeddings"), 400, "url must be one of /v1/chat/completions, "),
        ({**openai("a"), "method": "GET"}, 400, "method must be POST."),
        ({**openai("a"), "priority": 1}, 400, "priority is no field of a line."),
        ({"custom_id": "a", "url": "/v1/completions"}, 400, "The body must be"),
        (openai("a", messages=[{"role": "user", "content": "w " * 9000}]), 400, "9004 tokens"),
    ],
)
def test_failures_in_the_format_of_openai(
    batch: Batch, line: object, status: int, said: str
) -> None:
    batch.write(line)
    assert batch.run().status == 8
    (answer,) = batch.answers
    assert (answer["custom_id"], answer["error"]) == ("a", None)
    assert answer["response"]["status_code"] == status
    assert said in answer["response"]["body"]["error"]["message"]


def test_what_is_answered_is_not_asked_again(batch: Batch) -> None:
    batch.write({"prompt": "a"}, openai("x"), "nonsense")
    assert batch.run().status == 8
    before = batch.out.read_bytes()
    outcome = batch.run()
    assert outcome.status == 8  # of the whole
    said, how = outcome.stderr.splitlines()
    assert said.endswith("has 3 of 3 lines (1 failed); nothing is left to do.")
    assert how.endswith("says why; --retry-failed tries them again.")
    assert (len(batch.requests), batch.out.read_bytes()) == (2, before)
    batch.write({"prompt": "a"}, openai("x"), {"prompt": "b"}, {"prompt": "c"})
    assert "has 3 of 4 lines (1 failed); the others follow.\n" in batch.run().stderr
    assert len(batch.requests) == 3


def test_what_failed_is_asked_again_on_request(batch: Batch) -> None:
    batch.write({"prompt": "a"}, "nonsense", openai("x", max_tokens=-1), {"prompt": "b"})
    batch.run()
    batch.write({"prompt": "a"}, {"prompt": "now a line"}, openai("x"), {"prompt": "b"})
    assert batch.run("--retry-failed").status == 0
    assert [answer.get("index", answer.get("custom_id")) for answer in batch.answers] == [
        *(0, 3, 1, "x")
    ]
    assert [request.messages[-1].content for request in batch.requests][2:] == ["now a line", "Hi"]


def test_answers_to_other_lines_are_not_mixed_in(batch: Batch) -> None:
    for line, name in ((openai("x"), 'the custom_id "x"'), ({"prompt": "a"}, "line 2")):
        batch.write({"prompt": "a"}, line)
        batch.run()
        batch.write({"prompt": "b"})
        outcome = batch.run()
        assert outcome.status == 2
        assert f"has an answer to {name}, which is not in" in outcome.stderr
        batch.out.unlink()


def test_fail_fast_leaves_the_line_for_the_next_start(batch: Batch) -> None:
    batch.write({"prompt": "a"}, {"prompt": "b", "sed": 1}, {"prompt": "c"})
    outcome = batch.run("--fail-fast")
    assert outcome.status == 2
    assert outcome.stderr.splitlines()[1:] == [
        "gemma-mtp: 2 lines left without an answer; the same command goes on with them.",
        'gemma-mtp: Line 2: There is no field "sed".',
        "  Did you mean seed?",
    ]
    batch.write({"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"})
    assert batch.run("--fail-fast").status == 0
    assert [answer["index"] for answer in batch.answers] == [0, 1, 2]


def test_cut_answers(batch: Batch) -> None:
    batch.write({"prompt": "a"}, {"prompt": "b", "max_tokens": 1})
    outcome = batch.run()
    assert outcome.status == 0
    assert "2 of 2 lines answered, 1 cut by a limit" in outcome.stderr
    assert batch.run("--fail-on-length").status == 3
    batch.out.unlink()
    assert batch.run("--format", "json").status == 3
    batch.write({"prompt": "a"}, {"prompt": "b", "max_tokens": 1, "format": "json"})
    batch.out.unlink()
    assert batch.run().status == 3


def test_standard_input_and_output(batch: Batch) -> None:
    outcome = invoke("run", "tiny", "--batch", "-", stdin=b'{"prompt": "a"}\n{}', env=batch.env)
    assert outcome.status == 8
    assert [json.loads(line)["index"] for line in outcome.stdout.splitlines()] == [0, 1]
    said = "gemma-mtp: Answers go to standard output; only those of --out FILE can be taken up"
    assert outcome.stderr.startswith(said)
    quiet = invoke("run", "tiny", "-q", "--batch", "-", stdin=b'{"prompt": "a"}', env=batch.env)
    assert (quiet.status, quiet.stderr, quiet.stdout.count("\n")) == (0, "", 1)
    dash = invoke("run", "tiny", "--batch", "-", "--out", "-", stdin=b'{"prompt": "a"}')
    assert dash.stdout.startswith('{"index": 0, ')


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["a prompt"], "the prompts are those of its lines"),
        (["--file", "x"], "the prompts are those of its lines"),
        (["--json"], "Answers of a batch are JSON"),
        (["--stats"], "Answers of a batch are JSON"),
        (["--out", "/nowhere/x"], "/nowhere/x cannot be written: No such file or directory."),
        (["--batch", "/nowhere/x"], "/nowhere/x cannot be read: No such file or directory."),
        (["--batch", "/dev/null"], "There is no line in /dev/null."),
    ],
)
def test_what_has_no_place_in_it(batch: Batch, more: list[str], said: str) -> None:
    batch.write({"prompt": "a"})
    outcome = batch.run(*more)
    assert (outcome.status, batch.requests) == (2, [])
    assert said in outcome.stderr


def test_out_without_batch_and_one_file_for_both(batch: Batch) -> None:
    batch.write({"prompt": "a"})
    outcome = invoke("run", "tiny", "hi", "--out", "x")
    assert (outcome.status, outcome.stderr) == (2, "gemma-mtp: --out goes with --batch FILE.\n")
    assert "--fail-fast goes with" in invoke("run", "tiny", "hi", "--fail-fast").stderr
    assert "--retry-failed goes with" in invoke("run", "tiny", "hi", "--retry-failed").stderr
    both = invoke("run", "tiny", "--batch", str(batch.prompts), "--out", str(batch.prompts))
    assert "name the same file" in both.stderr
    assert batch.prompts.read_text() == '{"prompt": "a"}\n'


def test_which_model_answers(batch: Batch) -> None:
    batch.write({"prompt": "a", "model": "e2b"}, {"prompt": "b"})
    assert batch.run(model="").status == 0
    assert batch.env.loaded[0][0].name == "e2b"
    batch.write(openai("x", model="gpt-4o"), openai("y", model="e4b"), openai("z", model="e2b"))
    batch.out.unlink()
    refused = batch.run(model="")
    assert refused.status == 2
    assert "The lines name several models: e2b, e4b, gpt-4o." in refused.stderr
    said = batch.run(model="e2b").stderr
    assert said.startswith("gemma-mtp: e2b answers, also where a line names e4b, gpt-4o.\n")
    batch.write({"prompt": "a", "model": "nosuch"})
    batch.out.unlink()
    missing = batch.run(model="")
    assert missing.status == 4
    assert "A MODEL in the command answers all lines." in missing.stderr


# --- what fails although the line is right ---------------------------------------------------


class Failing(FakeEngine):
    """Fails for prompts of these words, so many times each."""

    def __init__(self, times: dict[str, int]) -> None:
        super().__init__()
        self.times = times

    def reply(self, request: Request, cancel: Any) -> Iterator[Event]:
        word = request.messages[-1].content
        if self.times.get(word, 0):
            self.times[word] -= 1
            raise GemmaMtpError("The engine died.")
        return super().reply(request, cancel)


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ({"b": 1}, "abcd"),  # another try helps
        ({"b": 2}, "aBcd"),  # it is the line, as the next one shows
        ({"b": 2, "c": 2}, "a"),  # it is more than the line
        ({"d": 2}, "abc"),  # nobody can tell
    ],
)
def test_an_engine_that_fails(
    batch: Batch, times: dict[str, int], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "PAUSE", 0)
    batch.env = FakeEnvironment(Failing(times))
    batch.write(*({"prompt": word} for word in "abcd"))
    status = batch.run().status
    words = ("ABCD" if "error" in answer else "abcd" for answer in batch.answers)
    assert "".join(w[a["index"]] for w, a in zip(words, batch.answers, strict=True)) == found
    assert status == (1 if len(found) < 4 else 8 if "B" in found else 0)
    assert batch.run().status in (0, 8)  # whatever it was is over
    assert sorted(answer["index"] for answer in batch.answers) == [0, 1, 2, 3]


# --- signals ---------------------------------------------------------------------------------


def start(script: dict[str, Any], *arguments: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "FAKE": json.dumps(script), "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    command = [sys.executable, str(DRIVER), *arguments]
    return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)


@posix
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_drops_the_words_so_far(batch: Batch, number: int, status: int) -> None:
    mark = batch.prompts.with_name("mark")
    scripts = [{"text": "One."}, {"text": "two three", "delay": 60, "mark": str(mark)}]
    batch.write({"prompt": "a"}, {"prompt": "b"}, {"prompt": "c"})
    words = ["run", "tiny", "--batch", str(batch.prompts), "--out", str(batch.out)]
    with start({"scripts": scripts}, *words) as process:
        wait_until(mark.exists)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err.decode().splitlines() == [
        "gemma-mtp: 1 of 3 lines answered.",
        "gemma-mtp: 2 lines left without an answer; the same command goes on with them.",
    ]
    assert [answer["text"] for answer in batch.answers] == ["One."]


@posix
def test_a_reader_that_leaves_ends_it(batch: Batch) -> None:
    batch.write(*[{"prompt": "a"}] * 10_000)
    with start({"scripts": [{"delay": 0.001}]}, "run", "tiny", "--batch", str(batch.prompts)) as it:
        assert it.stdout
        assert it.stderr
        it.stdout.readline()
        it.stdout.close()
        assert it.wait(60) == 0
        assert it.stderr.read().count(b"\n") == 1  # where answers go


# --- the real engine -------------------------------------------------------------------------

SYSTEM = "You tell stories about foxes and bears to children who know both. " * 4


def lines(count: int) -> list[dict[str, object]]:
    """In turn of both formats, with a system prompt that they share."""
    found: list[dict[str, object]] = []
    for index in range(count):
        said, more = f"A story, number {index}.", {"seed": index, "max_tokens": 8}
        if index % 2:
            talk = [("system", SYSTEM), ("user", said)]
            messages = [{"role": role, "content": content} for role, content in talk]
            found.append(openai(f"n{index}", messages=messages, **more))
        else:
            found.append({"prompt": said, "system": SYSTEM, **more})
    return found


def texts(batch: Batch) -> dict[int, str]:
    """The answers by the number of their line; fails for a line that is there twice."""
    found: dict[int, str] = {}
    for answer in batch.answers:
        if "index" in answer:
            index, text = answer["index"], answer["text"]
        else:
            index = int(answer["custom_id"][1:])
            text = answer["response"]["body"]["choices"][0]["message"]["content"]
        assert index not in found
        found[index] = text
    return found


@posix
@pytest.mark.parametrize(
    ("count", "kills"), [(16, 3), pytest.param(200, 30, marks=pytest.mark.slow)]
)
def test_killed_at_any_moment_it_neither_loses_nor_repeats_a_line(
    batch: Batch, engine_home: Path, count: int, kills: int
) -> None:
    """As often as not while a reply is written, and with one engine throughout."""
    batch.write(*lines(count))
    words = ["run", "tiny", "--batch", str(batch.prompts), "--out", str(batch.out)]
    command = [sys.executable, "-m", "gemma_mtp", *words, "--keep-alive", "5m"]
    chance = random.Random(count)
    for kill in range(kills):
        before = batch.out.stat().st_size if batch.out.exists() else 0
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        wait_until(
            lambda before=before, process=process: (  # type: ignore[misc]
                process.poll() is not None
                or (batch.out.exists() and batch.out.stat().st_size > before)
            )
        )
        time.sleep(chance.random() * 0.05)
        process.kill()
        process.wait()
        if kill % 3 == 0 and batch.out.read_bytes().endswith(b"\n"):
            with batch.out.open("ab") as file:  # killed in the middle of a write
                file.write(b'{"index": 3, "te')
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert sorted(texts(batch)) == [*range(count)]


def test_answers_are_those_of_single_runs_and_what_they_share_is_read_once(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemma_mtp.cli.environment import Environment

    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path))
    batch.env = Environment()  # type: ignore[assignment]
    batch.write(*lines(6))
    assert batch.run().status == 0
    together = texts(batch)
    for index in (1, 4):
        options = ["--system", SYSTEM, "--seed", str(index), "--max-tokens", "8"]
        alone = invoke("run", "tiny", f"A story, number {index}.", *options, env=Environment())
        assert alone.stdout == together[index] + "\n"
    shared = [a["stats"]["cached_tokens"] / a["prompt_tokens"] for a in batch.answers[2::2]]
    assert min(shared) > 0.8
