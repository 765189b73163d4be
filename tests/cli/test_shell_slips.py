"""What people type by mistake, or bring along from other programs, and what answers them.

Each line of the table goes through the real command line with the real catalogue; only the engine
is scripted. Every command that an answer names is read by the real parser, too.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from support.fakes import FakeEngine, Outcome, invoke

from gemma_mtp.api import LoadOptions, PairFiles, Replies
from gemma_mtp.cli.app import app
from gemma_mtp.cli.environment import Environment
from gemma_mtp.errors import BadPair
from gemma_mtp.options import Options

FIRST_SIX = "tiny, e2b, e4b, 12b, 26b, 31b"


class ScriptedEngine(Environment):
    """The real world but for the engine."""

    def load(
        self, files: PairFiles, options: LoadOptions, progress: Callable[[float], bool]
    ) -> Replies:
        return FakeEngine(name=files.name)

    def attach(
        self, files: PairFiles, options: Options, progress: Callable[[float], bool]
    ) -> Replies:
        return FakeEngine(name=files.name)


def do(line: str) -> Outcome:
    return invoke(*shlex.split(line), env=ScriptedEngine())


SLIPS = [
    # typed, exit status, what is said, the command it ends with
    # --- models of others, and names that are nearly right
    ("run llama3.2", 4, "gemma-mtp runs Gemma 4 only", "run -p llama3.2"),
    ("run llama3.2 hi", 4, "gemma-mtp runs Gemma 4 only", "pull"),
    ("chat mistral", 4, "which sizes of it run here: gemma-mtp pull.", "run -p mistral"),
    ("pull qwen3:8b", 4, "Near in size is e4b", "pull e4b"),
    ("run gpt-oss:20b hi", 4, "Near in size is 26b", "pull 26b"),
    ("show deepseek-r1:70b", 4, "Near in size is 31b", "pull 31b"),
    ("pull gemma3:4b", 4, '"gemma3:4b" is another model', "pull e2b"),
    ("bench gemma3n:e2b", 4, "Near in size is e2b", "pull e2b"),
    ("rm meta-llama/Llama-3.2-3B-Instruct", 4, "Near in size is e2b", "pull e2b"),
    ("pull hf.co/Qwen/Qwen3-8B-GGUF:Q4_K_M", 4, "Near in size is e4b", "pull e4b"),
    ("run gemma4 hi", 4, "gemma4 is taken as e4b, as in Ollama", "pull e4b"),
    ("run gemma4:e2b hi", 4, "e2b is not on this machine", "pull e2b"),
    ("verify gemma4:e4b-it-q4_K_M", 4, "e4b:q4_k_m is not on this machine", "pull e4b:q4_k_m"),
    ("run gemma4:26b-a4b-it-q4_K_M hi", 4, "26b comes as 26b, 26b:ud-q4_k_xl, 26b:q8_0",
     "pull 26b"),
    ("run gemma4:e2b-it-bf16 hi", 4, "e2b comes as e2b, ", "pull e2b:q8_0"),
    ("chat google/gemma-4-E2B-it hi", 4, "holds no GGUF files; e2b is taken instead", "pull e2b"),
    ("run https://huggingface.co/unsloth/gemma-4-E2B-it-GGUF/blob/main/gemma-4-E2B-it-Q8_0.gguf hi",
     4, "e2b:q8_0 is not on this machine", "pull e2b:q8_0"),
    ("pull https://hf.co/a/gemma/tree/v2", 2, "names the revision v2",
     "pull hf:a/gemma --revision v2"),
    ("run ggml-org/gemma-4-E2B-it-GGUF hi", 4, "is not on this machine",
     "pull hf:ggml-org/gemma-4-E2B-it-GGUF"),
    ("run tinny hi", 4, "Did you mean tiny?", 'run "tinny hi"'),
    ("run e2b:", 4, "Did you mean e2b?", "run -p e2b:"),
    ("show nosuch", 4, f'no model called "nosuch".\n  Known models: {FIRST_SIX}.', ""),
    ("rm nosuch", 4, f'no model called "nosuch".\n  Known models: {FIRST_SIX}.', ""),
    ("verify nosuch", 4, f'no model called "nosuch".\n  Known models: {FIRST_SIX}.', ""),
    ("run nosuch hi", 4, f'no model called "nosuch".\n  Known models: {FIRST_SIX}. To ask',
     'run "nosuch hi"'),
    ("rm e2b", 4, "e2b is not on this machine.\n  What is here: ", "list"),
    ("pull x.gguf", 2, "a pull takes the name of a model", "list --all"),
    ("config model llama3.2", 4, "gemma-mtp runs Gemma 4 only", "pull"),
    # --- prompts
    ("run tell me a story", 4, 'no model called "tell"', 'run "tell me a story"'),
    ("run tiny -5 plus 3", 2, "begins with a dash comes after two dashes",
     'run tiny -- "-5 plus 3"'),
    ('run "- an item"', 2, "begins with a dash comes after two dashes", 'run -- "- an item"'),
    ("run tiny hello -p there", 2, "The prompt is given twice", ""),
    ("run tiny", 2, "The prompt is empty", 'run tiny "Why is the sky blue?"'),
    ("run tiny hi --verbose=false", 2, "off is to leave it out", "run --help"),
    ("chat tiny --emacs", 2, "no option --emacs", "chat --no-vi"),
    ("config --unset", 2, "--unset needs the name of a setting", "config --unset draft"),
    ("config set ctx 4096", 2, "A setting is named at once", "config ctx 4096"),
    ("config ctx=4096", 2, "A setting is named at once", "config ctx 4096"),
    ("config get ctx", 2, "A setting is named at once", "config ctx"),
    ("config list", 2, "A setting is named at once", "config"),
    # --- commands
    ("start", 2, "The server for other programs", "serve"),
    ("push e2b", 2, "not published from here", "pull e2b --to FOLDER"),
    ("signin", 2, "There is no account", "pull"),
    ("embed tiny hi", 2, "Embeddings are not made here", "help"),
    ("export-command", 2, "MODEL is missing.", "export-command e2b --for llama-server"),
    ("show tiny --license", 2, "/show license", ""),
    ("update", 2, "fetches what is wrong", "pull e2b"),
    ("lst", 2, 'There is no command "lst".', "list"),
    ("pul e2b", 2, 'There is no command "pul".', "pull e2b"),
    ("e2b", 2, 'There is no command "e2b".', "chat e2b"),
    ("gemma4:12b why is it so", 2, "To chat with that model", "chat gemma4:12b why is it so"),
    ("why is the sky blue", 2, 'There is no command "why".', 'run "why is the sky blue"'),
    ("help nosuch", 2, 'There is no command "nosuch".', "help"),
    ("chats 3", 2, "number comes after a command", "chats show 3"),
    ("chats expotr 1", 2, 'no command "expotr" of chats', "chats export 1"),
    ("chats show abc", 2, "A conversation is named by its number.", "chats"),
    ("show", 2, "MODEL is missing.", "show e2b"),
    ("create", 2, "NAME is missing.", "create pirate --from e2b"),
    ("cp tiny", 2, "NAME is missing.", "cp e2b mine"),
    ("rm", 2, "MODEL is missing.", "rm e2b"),
    ("pull e2b e4b", 2, 'gemma-mtp pull takes no "e4b".', "pull --help"),
    # --- options
    ("-p hi", 2, "Options come after a command.", "run -p hi"),
    ("--temp 0 run tiny hi", 2, "Options come after a command.", "run --temp 0 tiny hi"),
    ("run tiny hi --tempreature 1", 2, "no option --tempreature.\n  Did you mean --temperature?",
     "run --help"),
    ("run tiny hi --json=yes", 2, "--json takes no value.\n  On is --json, off is to leave it out",
     "run --help"),
    ("chat tiny hi --format json", 2, "no option --format", "run --format json"),
    ("run tiny hi --keepalive soon", 2,
     '--keep-alive must be off, forever or a time such as 30s, 5m or 1h30m, not "soon".', ""),
    ("run tiny hi --hidethinking", 2, "no option --hidethinking", "chat --thoughts hide"),
    ("run tiny hi --system", 2, "--system needs a value.", "run --help"),
    ("verify -m tiny", 2, "no option -m.\n  The model needs none", "verify e2b"),
    ("bench tiny --tokens many", 2, '--tokens must be a whole number, not "many".', "bench --help"),
    ("serve --port 99999", 2, "--port must be at most 65535, not 99999.", "serve --help"),
    ("serve --port=-1", 2, "--port must be at least 0, not -1.", "serve --help"),
    ("run tiny hi --max-tokens 9223372036854775808", 2, "--max-tokens must be below 2^63", ""),
    ("chats export 1 --format pdf", 2, '--format must be md or json, not "pdf".',
     "chats export --help"),
    ("run tiny hi --temp hot", 2, '--temperature must be a number between 0 and 100, not "hot".',
     ""),
    ("config temprature 1", 2, 'no setting "temprature".\n  Did you mean temperature?', ""),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "status", "said", "command"), SLIPS, ids=lambda x: str(x)[:40])
def test_a_slip_leads_to_what_was_meant(
    machine: Path, typed: str, status: int, said: str, command: str
) -> None:
    outcome = do(typed)
    assert (outcome.status, outcome.stdout) == (status, "")
    assert said in outcome.stderr
    assert len(outcome.stderr.splitlines()) <= (3 if "is taken" in said else 2)
    if command:
        assert outcome.stderr.endswith(f"gemma-mtp {command}\n")
        parse(command)


UNDERSTOOD = [
    # typed, and what is printed
    ("run tiny why is the sky blue", "Hello there."),
    ("run tiny --max-tokens 20 why is the sky", "Hello there."),
    ("run TINY:latest hi", "Hello there."),
    ("run -m tiny -p hi -n 5 --temp 0 -c 512", "Hello there."),
    ("run tiny hi --top_k 5 --num_predict 5 --nothink --nowordwrap", "Hello there."),
    ("Run tiny hi", "Hello there."),
    ("show gemma-4-E2B-it", "e2b: Gemma 4 E2B"),
    ('show "gemma 4 12b"', "12b: Gemma 4 12B"),
    ("show https://huggingface.co/unsloth/gemma-4-31B-it-qat-GGUF", "31b: Gemma 4 31B"),
    ("info tiny", "tiny: Tiny built-in pair"),
    ("ls", "built in"),
    ("models", "built in"),
    ("version", "llama.cpp"),
    ("-V", "llama.cpp"),
    ("help", "Commands:"),
    ("run -h", "Usage: gemma-mtp run"),
    ("help chats export", "Usage: gemma-mtp chats export"),
]


@pytest.mark.parametrize(("typed", "printed"), UNDERSTOOD)
def test_what_is_understood_as_it_is(machine: Path, typed: str, printed: str) -> None:
    outcome = do(typed)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert printed in outcome.stdout
    parse(typed)


@pytest.mark.parametrize("command", ["download tiny", "remove tiny", "delete tiny"])
def test_commands_under_other_names(machine: Path, command: str) -> None:
    name = {"download": "pull"}.get(command.split()[0], "rm")
    assert do(command) == do(f"{name} tiny")


def test_where_llama_cpp_refuses_a_file_its_log_is_a_flag_away(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BadPair("llama.cpp cannot load tiny-target.gguf: bad magic.")

    monkeypatch.setattr("gemma_mtp.engine.loading.load", refuse)
    outcome = invoke("run", "tiny", "hi", env=Environment())
    assert (outcome.status, outcome.stdout) == (6, "")
    assert outcome.stderr.endswith("bad magic.\n  llama.cpp's whole log comes with --verbose.\n")


def test_there_are_as_many_as_a_first_day_brings() -> None:
    assert len(SLIPS) >= 45
    with pytest.raises(Exception, match="No such option"):
        parse("run --nosuch")
    with pytest.raises(KeyError):
        parse("rum tiny")


def parse(line: str) -> None:
    """Read a command line as the program does, short of doing it; raises what it finds wrong."""
    words = shlex.split(line)
    command: Any = typer.main.get_command(app)
    context = command.make_context("gemma-mtp", words[:0])
    if words[0].startswith("-"):
        return
    while words and hasattr(command, "commands"):
        name = command.commands.get(words[0]) or command.commands[words[0].lower()]
        command, words = name, words[1:]
        if hasattr(command, "commands") and not words:
            return
    if not {"--help", "-h"} & {*words}:
        command.make_context(command.name, words, parent=context)
