"""`gemma-mtp run` and its neighbours as a script sees them: output, complaints, exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.fakes import BrokenEnvironment, FakeEngine, FakeEnvironment, Script, invoke

from gemma_mtp import __version__
from gemma_mtp.api import LoadOptions, Message, PairFiles, Sampling, Turn
from gemma_mtp.cli.environment import Environment
from gemma_mtp.models.machine import Machine

DRIVER = Path(__file__).parents[1] / "support" / "fakes.py"
ROOT = DRIVER.parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="signals and shells of POSIX")


def env(*scripts: Script, **settings: object) -> FakeEnvironment:
    return FakeEnvironment(FakeEngine(list(scripts) or [Script()], **settings))  # type: ignore[arg-type]


def start(
    script: dict[str, object], *arguments: str, shell: str = "", stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """The command line with the fake engine in a process of its own."""
    env = {**os.environ, "FAKE": json.dumps(script), "PYTHONPATH": str(ROOT)}
    command = ["sh", "-c", shell] if shell else [sys.executable, str(DRIVER), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, stdin=stdin, stdout=pipe, stderr=pipe)


def test_the_answer_and_nothing_else() -> None:
    outcome = invoke("run", "tiny", "hi")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "Hello there.\n", "")


def test_the_answer_is_not_changed() -> None:
    text = "\n\n  one\t\x1b[1m two \n"
    assert invoke("run", "hi", env=env(Script(text))).stdout == text


@pytest.mark.parametrize("text", ["one\n\ntwo", "one\n\ntwo\n", "one\n\ntwo\n\n\n"])
def test_the_answer_ends_with_one_newline(text: str) -> None:
    assert invoke("run", "hi", env=env(Script(text))).stdout == "one\n\ntwo\n"


@pytest.mark.parametrize(
    ("script", "context", "arguments", "said"),
    [
        (Script(""), 8192, "", "the reply was empty.\n  Asking again may bring one.\n"),
        (
            Script("", "Let me see."),
            8192,
            "--think",
            "the model ended its reply with its thought.\n"
            "  Asking again may bring one, and so may --think-budget 500.\n",
        ),
        (
            Script("Yes.", "one two three"),
            8192,
            "--think --max-tokens 2",
            "the token limit came while the model was still thinking.\n"
            "  A larger --max-tokens leaves room for one, and so may --think-budget 500.\n",
        ),
        (
            Script("Yes.", "one two three"),
            8,
            "",
            "the context was full while the model was still thinking.\n  --ctx 256 holds more.\n",
        ),
    ],
)
def test_a_reply_without_an_answer_says_so(
    script: Script, context: int, arguments: str, said: str
) -> None:
    there = env(script, context=context)
    outcome = invoke("run", "tiny", "hi", *arguments.split(), env=there)
    assert (outcome.status, outcome.stdout) == (0, "")
    assert outcome.stderr == f"gemma-mtp: There is no answer: {said}"


def test_in_json_a_reply_without_an_answer_is_as_it_is() -> None:
    there = env(Script("Yes.", "one two three"))
    outcome = invoke("run", "tiny", "hi", "--think", "--json", "--max-tokens", "2", env=there)
    found = json.loads(outcome.stdout)
    assert (found["text"], found["thought"], found["finish_reason"]) == ("", "one two", "length")
    assert (outcome.status, outcome.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "stdin", "prompt"),
    [
        (["hi"], b"", "hi"),
        (["hi"], None, "hi"),
        ([], b"from a pipe\n", "from a pipe"),
        (["Summarise:"], b"first\nsecond\n", "Summarise:\n\nfirst\nsecond"),
        (["e2b"], b"from a pipe", "from a pipe"),
        (["e2b", "hi"], b"\n", "hi"),
        ([], b"\xef\xbb\xbfa\r\nb", "a\nb"),
        ([], b"caf\xe9 \xff!", "caf\ufffd \ufffd!"),
        ([], "  indented 雨".encode(), "  indented 雨"),
    ],
)
def test_where_the_prompt_comes_from(arguments: list[str], stdin: bytes, prompt: str) -> None:
    for command in ("run", "chat"):
        there = env()
        assert invoke(command, *arguments, stdin=stdin, env=there).status == 0
        assert there.engine.requests[0].messages == (Message.text("user", prompt),)
        assert there.engine.closed


@pytest.mark.parametrize("stdin", [b"", b"\n \n", None])
@pytest.mark.parametrize("arguments", [[], ["e2b"], [""], ["e2b", " "]])
def test_an_empty_prompt_is_a_mistake(arguments: list[str], stdin: bytes | None) -> None:
    there = env()
    outcome = invoke("run", *arguments, stdin=stdin, env=there)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert "The prompt is empty." in outcome.stderr
    assert not there.loaded


def test_a_chat_needs_a_terminal_to_write_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemma_mtp.cli.chat.is_terminal", lambda stream: stream is sys.stdin)
    outcome = invoke("chat")
    assert (outcome.status, outcome.stdout) == (2, "")
    assert "The output is no terminal, which a chat needs.\n  gemma-mtp run " in outcome.stderr


def test_continue_and_resume_do_not_go_together() -> None:
    outcome = invoke("chat", "--continue", "--resume")
    assert outcome.status == 2
    assert "--continue and --resume do not go together." in outcome.stderr


def test_options_reach_the_engine() -> None:
    there = env()
    options = "--draft 3 --temperature 0 --top-k 0 --top-p 1 --min-p 0.1 --repeat-penalty 1.1"
    more = "--seed 5 --exact --max-tokens 9 --stop A --stop B --system Be_brief --think"
    load = "--ctx 512 --threads 1 --gpu-layers -1 --kv-type q8_0 --flash-attn on --verbose"
    assert invoke("run", "e4b", "hi", *f"{options} {more} {load}".split(), env=there).status == 0
    (request,) = there.engine.requests
    assert request.messages == (Message.text("system", "Be_brief"), Message.text("user", "hi"))
    assert request.sampling == Sampling(0, 0, 1, 0.1, 1.1)
    assert (request.seed, request.exact, request.draft, request.think) == (5, True, 3, True)
    assert (request.max_tokens, request.stop) == (9, ("A", "B"))
    ((files, loaded),) = there.loaded
    assert files.name == "e4b"
    assert loaded == LoadOptions(512, 1, -1, kv_type="q8_0", flash_attn="on", verbose=True)
    assert there.used == ["e4b"]


def test_defaults_leave_the_choice_to_the_engine() -> None:
    there = env()
    invoke("run", "hi", env=there)
    (request,) = there.engine.requests
    assert (request.draft, request.sampling, request.seed) == ("auto", Sampling(), None)
    assert (request.exact, request.think, request.max_tokens, request.stop) == (False,) * 2 + (
        None,
        (),
    )
    assert there.loaded[0][1] == LoadOptions()


@pytest.mark.parametrize(("word", "draft"), [("off", 0), ("OFF", 0), ("0", 0), ("16", 16)])
def test_draft_settings(word: str, draft: int) -> None:
    there = env()
    assert invoke("run", "hi", "--draft", word, env=there).status == 0
    assert there.engine.requests[0].draft == draft


@pytest.mark.parametrize(
    "options",
    [
        "--draft 17", "--draft -1", "--draft fast", "--draft ³", "--draft 1.5",
        "--temperature -0.1", "--temperature nan", "--temperature inf", "--temperature warm",
        "--top-k -1", "--top-p 0", "--top-p 1.1", "--top-p nan", "--min-p -1", "--min-p 2",
        "--repeat-penalty 0", "--repeat-penalty -1", "--seed -1", f"--seed {2**64}",
        "--max-tokens 0", "--max-tokens -5", "--ctx 255", "--ctx -1", f"--ctx {10**9}",
        "--threads 0", "--threads 99999", "--gpu-layers -2", "--kv-type q9", "--flash-attn maybe",
        "--kv-type q8_0 --flash-attn off",
    ],
)  # fmt: skip
def test_values_out_of_range_never_reach_the_engine(options: str) -> None:
    for command in ("run", "chat"):
        there = env()
        outcome = invoke(command, "hi", *options.split(), env=there)
        assert (outcome.status, outcome.stdout, there.loaded) == (2, "", [])
        first, *hint = outcome.stderr.splitlines()
        assert first.startswith("gemma-mtp: ")
        assert options.split()[0] in first
        assert len(hint) <= 1


def test_an_empty_stop_text() -> None:
    assert "--stop" in invoke("run", "tiny", "hi", "--stop", "").stderr


def test_json() -> None:
    outcome = invoke("run", "e2b", "hi", "--json", env=env(Script("雨 falls.\n")))
    assert outcome.stderr == ""
    assert outcome.stdout.count("\n") == 1
    found = json.loads(outcome.stdout)
    stats = found.pop("stats")
    assert found == {
        "text": "雨 falls.\n",
        "model": "e2b",
        "seed": 7,
        "finish_reason": "stop",
        "prompt_tokens": 5,
        "completion_tokens": 3,
    }
    assert (stats["speedup"], stats["speedup_basis"], stats["drafts"]) == (None, "none", "used")
    assert 0 <= stats["load_seconds"] <= stats["total_seconds"]


def test_json_with_a_thought() -> None:
    outcome = invoke("run", "tiny", "hi", "--think", "--json", env=env(Script("Yes.", "Well now.")))
    assert json.loads(outcome.stdout)["thought"] == "Well now."


def test_thoughts_stay_out_of_the_answer() -> None:
    outcome = invoke("run", "tiny", "hi", "--think", env=env(Script("Yes.", "Well now.")))
    assert (outcome.stdout, outcome.stderr) == ("Yes.\n", "")


def test_stats_go_to_standard_error() -> None:
    outcome = invoke("run", "tiny", "one", "--stats", env=env(Script("a b c d")))
    assert outcome.stdout == "a b c d\n"
    assert outcome.stderr == (
        "400 tok/s · 33 % of drafts accepted · 3 drafts a round · 2 tokens a round · ctx 9/8192\n"
    )


def test_a_single_answer_prepares_nothing() -> None:
    asked = env(Script("a"))
    invoke("run", "one", env=asked)
    assert asked.engine.requests
    assert not asked.engine.prepared


def test_a_warning_goes_to_standard_error() -> None:
    failing = Script("a", warning="The drafter broke.")
    outcome = invoke("run", "tiny", "one", env=env(failing))
    assert (outcome.status, outcome.stdout) == (0, "a\n")
    assert outcome.stderr == "gemma-mtp: The drafter broke.\n"
    found = json.loads(invoke("run", "tiny", "one", "--json", env=env(failing)).stdout)
    assert found["warning"] == "The drafter broke."


def test_stats_without_a_comparison() -> None:
    outcome = invoke("run", "tiny", "one", "--stats", env=env(Script("a")))
    assert outcome.stderr == "ctx 6/8192\n"


def test_the_token_limit() -> None:
    limited = ("run", "tiny", "hi", "--max-tokens", "2", "--stats")
    script = Script("a b c d")
    outcome = invoke(*limited, env=env(script))
    assert (outcome.status, outcome.stdout) == (0, "a b\n")
    assert outcome.stderr.endswith("token limit\n")
    assert invoke(*limited, "--fail-on-length", env=env(script)).status == 3
    assert invoke("run", "tiny", "hi", "--fail-on-length").status == 0


def test_a_full_context_is_said() -> None:
    outcome = invoke("run", "tiny", "hi", "--ctx", "256", env=env(Script("a " * 300)))
    assert outcome.status == 0
    assert outcome.stderr == (
        "gemma-mtp: the context is full (256 of 256 tokens); --ctx 512 holds more.\n"
    )


def test_no_speculation_is_said() -> None:
    there = env(plain_reason="no drafter is here.")
    said = "No drafts, plain decoding only: no drafter is here.\n"
    assert invoke("run", "tiny", "hi", env=there).stderr == said
    assert invoke("run", "tiny", "hi", "--draft", "off", env=there).stderr == ""


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["run", "31b", "hi"], 4, "gemma-mtp: 31b is not on this machine.\n  gemma-mtp pull 31b"),
        (["run", "tinny"], 4, 'gemma-mtp: There is no model called "tinny".\n  Did you mean tiny?'),
        (["run", "tell", "me", "more"], 4, 'gemma-mtp: There is no model called "tell".'),
        (["run", "cat.png"], 2, "gemma-mtp: cat.png is a picture.\n  --image cat.png shows it"),
        (["run", "hi", "--tempreature", "1"], 2, "gemma-mtp: There is no option --tempreature."),
        (["rum"], 2, "gemma-mtp: There is no command"),
        (["pull", "--to", "a", "--from", "b"], 2, "gemma-mtp: --to and --from cannot"),
        (["pull", "e9b"], 4, "gemma-mtp: There is no model called"),
        (
            ["run", "tiny", "hi", "--ctx", "256", "--system", "a " * 300],
            5,
            "gemma-mtp: The prompt has",
        ),
    ],
)
def test_complaints(arguments: list[str], status: int, sentence: str) -> None:
    outcome = invoke(*arguments)
    assert (outcome.status, outcome.stdout) == (status, "")
    assert outcome.stderr.startswith(sentence)
    assert len(outcome.stderr.splitlines()) <= 2


def test_an_error_of_the_engine() -> None:
    outcome = invoke("run", "tiny", "hi", env=env(Script(error="The file is truncated.")))
    assert (outcome.status, outcome.stdout) == (6, "")
    assert outcome.stderr == "gemma-mtp: The file is truncated.\n  Try something else.\n"


def test_a_crash_after_some_text_keeps_the_text() -> None:
    outcome = invoke("run", "tiny", "hi", env=env(Script("a b", crash="out of luck")))
    assert (outcome.status, outcome.stdout) == (1, "a\n")
    assert "RuntimeError: out of luck" in outcome.stderr


@pytest.mark.parametrize("words", [["create", "x", "--file"], ["create", "x", "--from"],
    ["cp"], ["quantize", __file__, "q8_0", "-o"], ["convert", "x", "--llama-cpp"]])  # fmt: skip
def test_a_name_that_no_file_can_have_is_a_mistake_and_nothing_unexpected(words: list[str]) -> None:
    long = f"./{'a' * 300}.gguf"
    outcome = invoke(*words, long, *(["y"] if words == ["cp"] else []))
    assert "went wrong" not in outcome.stderr
    assert outcome.status in (2, 4, 6)


def test_the_unexpected_is_one_sentence() -> None:
    outcome = invoke("run", "tiny", "hi", env=BrokenEnvironment())
    assert outcome.status == 1
    assert outcome.stderr == (
        "gemma-mtp: Something went wrong: ZeroDivisionError: division by zero\n"
        "  --verbose shows where.\n"
    )
    assert "Traceback" in invoke("run", "tiny", "hi", "--verbose", env=BrokenEnvironment()).stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["run", "e2b", "hi"], 4, "gemma-mtp pull e2b"),
        (["run", "e3b"], 4, "Did you mean e2b"),
        (["pull", "e3b"], 4, "Did you mean e2b"),
        (["pull", "nothing-like-it"], 4, "Known models: tiny, e2b"),
        (["pull", "tiny"], 0, "tiny is built in"),
    ],
)
def test_the_real_world(
    arguments: list[str], status: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path))
    outcome = invoke(*arguments, env=Environment())
    assert (outcome.status, outcome.stdout) == (status, "")
    assert said in outcome.stderr


def test_the_history_is_in_the_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path))
    assert Environment().history() == tmp_path / "state" / "history"


def test_only_a_model_that_was_named_is_remembered() -> None:
    there = env()
    invoke("run", "hi", env=there)
    assert there.used == []
    invoke("run", "e4b", "hi", env=there)
    assert there.used == ["e4b"]


def test_version_help_and_pull() -> None:
    version = f"gemma-mtp {__version__}\nllama-cpp-python 0.3.36\nllama.cpp 0c1e570\n"
    for typed in ("--version", "-V", "-v", "version"):
        assert invoke(typed).stdout == version
    bare = invoke()
    assert "Commands:" in bare.stdout
    for typed in ("--help", "-h", "help"):
        assert invoke(typed).status == bare.status == 0
        assert invoke(typed).stdout.strip() == bare.stdout.strip()
    for command in ("run", "chats export", "help"):
        asked = invoke(*command.split(), "--help").stdout
        assert f"gemma-mtp {command} [OPTIONS]" in asked
        assert invoke(*command.split(), "-h").stdout == asked
        assert invoke("help", *command.split()).stdout == asked
    there = env()
    outcome = invoke("pull", "e2b", env=there)
    assert (outcome.status, outcome.stdout) == (0, "")
    assert outcome.stderr == (
        "fetching e2b.gguf, 63 MB\nchecking e2b.gguf, 63 MB\ne2b is ready: gemma-mtp chat e2b\n"
    )
    assert there.pulled == there.used == ["e2b"]


def test_nothing_heavy_is_imported_for_help() -> None:
    heavy = "rich prompt_toolkit llama_cpp numpy huggingface_hub asyncio urllib.request ssl tomllib"
    code = f"import sys, gemma_mtp.cli.app as _; print(*set('{heavy}'.split()) & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT, text=True
    )
    assert found.stdout.strip() == ""


def test_an_answer_into_a_pipe_is_written_without_rich(tmp_path: Path) -> None:
    code = (
        "import sys; from gemma_mtp.cli.app import main; "
        "main(['run', 'tiny', '--stats', '--no-stdin', 'Hello · é']); "
        "print('rich' in sys.modules, file=sys.stderr)"
    )
    env = {**os.environ, "GEMMA_MTP_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, check=True, cwd=ROOT, text=True, env=env)
    assert found.stdout
    assert found.stderr.splitlines()[-1] == "False"


def wait_for(path: Path) -> None:
    """Until another process has made `path`."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@posix
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_ctrl_c_keeps_what_was_written(more: list[str], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = {"scripts": [{"text": "one two three four five", "delay": 60, "mark": str(mark)}]}
    with start(script, "run", "tiny", "hi", *more) as process:
        wait_for(mark)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")
    if more:
        assert json.loads(out)["finish_reason"] == "cancelled"
        out = json.loads(out)["text"].encode() + b"\n"
    assert out == b"one\n"


@posix
def test_ctrl_c_while_loading_or_reading() -> None:
    for script, stdin in (({"load": 60}, subprocess.DEVNULL), ({}, subprocess.PIPE)):
        with start(script, "run", "hi", stdin=stdin) as process:
            time.sleep(0.7)  # the outcome is the same if Python is not ready by then
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        assert out == b""
        assert process.returncode in (130, -signal.SIGINT)


@posix
def test_a_reader_that_leaves_is_no_news() -> None:
    with start({"scripts": [{"text": "word " * 20000}]}, "run", "tiny", "hi") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(4) == b"word"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


@posix
@pytest.mark.parametrize("redirect", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "</dev/null"])
def test_closed_streams(redirect: str) -> None:
    command = f'exec "{sys.executable}" "{DRIVER}" run tiny hi {redirect}'
    with start({}, shell=command) as process:
        out, err = process.communicate(timeout=60)
    lost = ">&-" in redirect.split()  # the answer is
    assert process.returncode == (1 if lost else 0)
    assert out == (b"" if lost else b"Hello there.\n")
    said = lost and "2>&-" not in redirect
    assert err == (b"gemma-mtp: The output cannot be written: it is closed.\n" if said else b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only some systems have /dev/full")
@pytest.mark.parametrize("command", ["run tiny hi", "config"])
def test_output_that_cannot_be_written(command: str) -> None:
    with start({}, shell=f'exec "{sys.executable}" "{DRIVER}" {command} > /dev/full') as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == b"gemma-mtp: The output cannot be written: No space left on device.\n"


def test_what_is_no_text_is_refused() -> None:
    there = env()
    outcome = invoke("run", "What is it?", stdin=b"\x7fELF\0\0", env=there)
    assert (outcome.status, there.loaded) == (2, [])
    assert "What was piped in is not text" in outcome.stderr


def test_a_full_context_is_a_limit_as_well() -> None:
    limited = ("run", "tiny", "hi", "--ctx", "256", "--fail-on-length")
    assert invoke(*limited, env=env(Script("a " * 300))).status == 3


def test_a_prompt_that_does_not_fit_says_nothing_of_a_chat() -> None:
    outcome = invoke("run", "tiny", "word " * 300, "--ctx", "256")
    assert outcome.stderr.endswith("\n  Shorten it; --ctx 1024 holds more.\n")


class Small(FakeEnvironment):
    """A machine with so many bytes of memory left."""

    free = 0

    def machine(self) -> Machine:
        return Machine(self.free, int(8e9), cores=4)


@pytest.mark.parametrize(
    ("limit", "free", "words", "advice"),
    [
        (400, 10**9, 300, "--ctx 400 holds more"),
        (256, 10**9, 300, "this model holds 256 tokens at the most"),
        (8192, 10**8, 300, "--ctx 512 holds more"),  # what is doubled does not fit
        (8192, 10**8, 2000, "the free memory holds 512 tokens at the most"),
        (8192, 0, 300, "the free memory holds 256 tokens at the most"),
    ],
)
def test_no_context_is_asked_for_that_model_or_memory_do_not_have(
    limit: int, free: int, words: int, advice: str
) -> None:
    there = Small(FakeEngine(limit=limit))
    there.free = free
    outcome = invoke("run", "word " * words, "--ctx", "256", env=there)
    assert (outcome.status, outcome.stderr.splitlines()[-1]) == (5, f"  Shorten it; {advice}.")
    full = Small(FakeEngine([Script("a " * 300)], limit=limit))
    full.free = free
    said = invoke("run", "hi", "--ctx", "256", env=full).stderr
    assert said.endswith("at the most.\n" if limit == 256 or not free else "holds more.\n")


def test_a_seed_makes_a_reply_exact() -> None:
    there = env()
    invoke("run", "hi", "--seed", "5", env=there)
    assert there.engine.requests[0].exact


def test_numbers_that_are_none() -> None:
    for option in ("--seed x", "--ctx=x"):
        outcome = invoke("run", "tiny", "hi", *option.split())
        name = option.partition("=")[0].split()[0]
        assert outcome.stderr.startswith(f"gemma-mtp: {name} must be a whole number between ")
        assert outcome.stderr.endswith(', not "x".\n')
    assert "--top-p must be a number" in invoke("run", "tiny", "hi", "--top-p", "much").stderr


def test_the_words_after_a_model_are_the_prompt() -> None:
    for command in ("run", "chat"):
        there = env()
        typed = (command, "e2b", "--max-tokens", "20", "why", "is", "the sky")
        assert invoke(*typed, env=there).status == 0
        (request,) = there.engine.requests
        assert request.messages == (Message.text("user", "why is the sky"),)
        assert request.max_tokens == 20


@pytest.mark.parametrize("command", ["run", "chat"])
@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("e4b -- -5 plus 3", "-5 plus 3"),
        ("e4b -p -5", "-5"),
        ("-m e4b e2b", "e2b"),
        ("--model e4b --prompt hi", "hi"),
        ("-hf e4b hi there", "hi there"),
    ],
)
def test_model_and_prompt_by_flags(command: str, typed: str, sent: str) -> None:
    there = env()
    assert invoke(command, *typed.split(), env=there).status == 0
    assert there.engine.requests[0].messages == (Message.text("user", sent),)
    assert there.loaded[0][0].name == "e4b"


@pytest.mark.parametrize("name", ["tiny", "e2b"])
@pytest.mark.parametrize("words", ["run {} hi", "run hi -q", "run hi --quiet --json"])
def test_nothing_is_said_of_a_model_that_was_named(name: str, words: str) -> None:
    assert invoke(*words.format(name).split()).stderr == ""


def test_where_no_model_is_named_the_one_that_answers_is() -> None:
    toy = "tiny, the built-in toy model, answers; gemma-mtp pull e2b fetches a real one."
    for more in ([], ["--json"], ["--stats"]):
        assert invoke("run", "hi", *more).stderr.splitlines()[0] == f"gemma-mtp: {toy}"
    assert invoke("chat", "hi").stderr == f"gemma-mtp: {toy}\n"

    class Used(FakeEnvironment):
        def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
            return replace(super().resolve(model, drafter), name="e4b")

    there = Used()
    assert (
        invoke("run", "hi", env=there).stderr == "gemma-mtp: e4b, the model used last, answers.\n"
    )
    there.configured = {"model": "e4b"}
    assert invoke("run", "hi", env=there).stderr == "gemma-mtp: e4b, the default model, answers.\n"


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ("--temp 0.5", "temperature", 0.5), ("--TEMP 0.5", "temperature", 0.5),
        ("--top_k 5", "top_k", 5), ("--repetition-penalty 1.1", "repeat_penalty", 1.1),
        ("--num-predict 9", "max_tokens", 9), ("--n-predict 9", "max_tokens", 9),
        ("-n 9", "max_tokens", 9), ("--nothink", "think", False),
        ("--num-ctx 512", "context", 512), ("--num_ctx=512", "context", 512),
        ("--ctx-size 512", "context", 512), ("-c 512", "context", 512),
        ("-t 2", "threads", 2), ("--num_thread 2", "threads", 2),
        ("-ngl 0", "gpu_layers", 0), ("--n-gpu-layers 0", "gpu_layers", 0),
        ("--num-gpu 0", "gpu_layers", 0),
    ],
)  # fmt: skip
def test_flags_under_the_names_of_others(typed: str, field: str, value: object) -> None:
    there = env()
    assert invoke("run", "tiny", "hi", *typed.split(), env=there).status == 0
    found = (there.engine.requests[0].sampling, there.engine.requests[0], there.loaded[0][1])
    assert [getattr(x, field) for x in found if hasattr(x, field)] == [value]


@pytest.mark.parametrize("command", ["run", "chat"])
def test_files_of_the_command_line(command: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("Rain falls.\n")
    there = env()
    invoke(command, "Sum it up:", "-f", str(path), env=there)
    sent = f'<file name="{path}">\nRain falls.\n</file>\n\nSum it up:'
    assert there.engine.requests[0].messages == (Message.text("user", sent),)
    assert "cannot be read" in invoke(command, "-f", str(tmp_path / "none")).stderr
    alone = env()
    assert invoke(command, "--file", str(path), env=alone).status == 0
    assert "Rain falls." in alone.engine.requests[0].messages[0].content


def test_only_a_terminal_can_be_talked_on() -> None:
    refused = invoke("chat", "--resume", stdin=b"hi")
    assert (refused.status, refused.stderr) == (
        2,
        "gemma-mtp: --resume needs a terminal, to pick a conversation on.\n"
        "  --continue takes the latest one.\n",
    )
    assert "There is no terminal to talk on." in invoke("chat", "-i", stdin=b"notes").stderr
    for talks in ([], ["-i"]):
        assert "--overflow must be" in invoke("chat", *talks, "--overflow", "burst", "hi").stderr


@posix
def test_ctrl_c_while_the_program_starts_is_no_failure() -> None:
    """The keys are pressed while the first of the large imports is under way."""
    code = """
import os, runpy, signal, sys
class Press:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Press())
sys.argv = ["gemma-mtp", "--version"]
runpy.run_module("gemma_mtp", run_name="__main__")
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


# chat --continue in a pipe


def kept(there: FakeEnvironment) -> list[tuple[str, str]]:
    archive = there.archive()
    id = archive.latest()
    assert id is not None
    return [(turn.user.content, turn.answer) for turn in archive.read(id).turns]


def talked(*turns: Turn) -> FakeEnvironment:
    there = env(Script("Two."))
    there.archive().add(turns, model="e2b", system="Be brief.")
    return there


ONE = Turn(Message.text("user", "one"), (Message.text("assistant", "One."),), reason="stop")


def test_what_is_piped_in_goes_on_with_the_latest_conversation() -> None:
    there = talked(ONE)
    outcome = invoke("chat", "--continue", stdin=b"two\n", env=there)
    assert (outcome.status, outcome.stdout) == (0, "Two.\n")
    assert outcome.stderr == "gemma-mtp: This goes on with: one\n"
    said = [message.content for message in there.engine.requests[0].messages]
    assert said == ["Be brief.", "one", "One.", "two"]
    assert there.loaded[0][0].name == "e2b"
    assert kept(there) == [("one", "One."), ("two", "Two.")]
    invoke("chat", "--continue", "--system", "Be long.", "three", env=there)
    assert there.engine.requests[1].messages[0].content == "Be long."
    assert [user for user, _ in kept(there)] == ["one", "two", "three"]


def test_with_no_save_it_stays_as_it_was() -> None:
    there = talked(ONE)
    assert invoke("chat", "--continue", "--no-save", "two", env=there).stdout == "Two.\n"
    assert kept(there) == [("one", "One.")]


def test_what_gets_no_reply_is_not_kept_and_what_waited_for_one_is_sent() -> None:
    there = talked(ONE, Turn(Message.text("user", "and?")))
    there.engine.scripts = [Script(error="This failed.")]
    assert invoke("chat", "--continue", "two", env=there).status == 6
    assert kept(there)[0] == ("one", "One.")
    assert "and?" in kept(there)[1][0]
    there = talked(ONE)
    there.engine.scripts = [Script(error="This failed.")]
    invoke("chat", "--continue", "two", env=there)
    assert kept(there) == [("one", "One.")]


def test_without_a_conversation_there_is_nothing_to_go_on_with() -> None:
    outcome = invoke("chat", "--continue", "hi")
    assert outcome.status == 2
    assert "There is no saved conversation to go on with." in outcome.stderr


@pytest.mark.parametrize("command", ["run", "chats delete", "chats export", "help", "config"])
def test_help_names_no_types(command: str) -> None:
    shown = invoke("help", *command.split()).stdout
    for kind in ("<list[", "<str>", "<int>"):
        assert kind not in shown


@pytest.mark.parametrize(
    "command",
    ["help", "chats", "chats delete", "config", "list", "run", "chat", "pull", "bench", "serve"],
)
def test_help_fits_a_narrow_window(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = invoke("help", *command.split()).stdout
    assert [row for row in shown.splitlines() if len(row) > 40] == []


def test_at_80_columns_no_command_is_described_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in (["help"], ["help", "chats"]):
        rows = invoke(*words).stdout.splitlines()[1:]
        assert not [row for row in rows if row.endswith("...")]
