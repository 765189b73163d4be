"""Whatever command shows whatever name: no control character of others reaches the screen."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import typer
from support import gguf_writer as writer
from support.fakes import (
    BrokenEnvironment,
    FakeEngine,
    FakeEnvironment,
    Outcome,
    SavedEnvironment,
    Script,
    TerminalText,
    invoke,
)
from support.hub_server import Hub, Stored
from support.talk import Talk

from gemma_mtp import paths
from gemma_mtp.api import Message, Turn
from gemma_mtp.chat.verbs.registry import VERBS
from gemma_mtp.cli import app
from gemma_mtp.cli.environment import Environment
from gemma_mtp.models.pair_record import RECORD
from gemma_mtp.terminal.render import Printer
from gemma_mtp.terminal.screen import Screen

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no such file names")

# Title, colour, erasing and clipboard in both spellings; delete, backspace, and two overrides.
HOSTILE = "evil\x1b]0;t\x07\x1b[31m\x9b2J\x9d52;c;eA==\x9c\x7f\x08\r\u202egnp\u2066"
UNSAFE = {*map(chr, range(32)), *map(chr, range(127, 160))} - {"\n"}
UNSAFE |= set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check(outcome: Outcome) -> Outcome:
    """The words arrived, and nothing of them acts."""
    seen = outcome.stdout + outcome.stderr
    assert "evil" in seen, seen
    assert not UNSAFE & set(seen), ascii(seen)
    return outcome


@pytest.fixture
def place(machine: Path) -> Path:
    """A machine on which everything that can bear a name has a bad one."""
    metadata, tensors = writer.target()
    metadata |= {"general.name": HOSTILE, "general.basename": HOSTILE}
    writer.write(machine / f"{HOSTILE}.gguf", metadata, tensors)
    writer.write(machine / "arch.gguf", metadata | {"general.architecture": HOSTILE}, tensors)
    writer.write(machine / f"bad{HOSTILE}.gguf", metadata | {"general.alignment": 8}, tensors)
    folder = paths.models_dir() / HOSTILE
    folder.mkdir(parents=True)
    held = []
    for role, parts in (("target", writer.target()), ("drafter", writer.drafter())):
        path = writer.write(folder / f"{role}{HOSTILE}.gguf", *parts)
        size = path.stat().st_size
        held.append({"role": role, "path": path.name, "bytes": size, "sha256": "0" * 64})
    marker = {"name": f"hf:{HOSTILE}/x", "repo": HOSTILE, "revision": HOSTILE, "files": held}
    (folder / RECORD).write_text(json.dumps(marker))
    (folder / f"{HOSTILE}.partial").write_bytes(b"x")
    (folder / f"gone{HOSTILE}.gguf").symlink_to(machine / "nowhere")
    config = paths.config_file()
    config.parent.mkdir(parents=True)
    config.write_text(f"system = {json.dumps(HOSTILE)}\nmodel = {json.dumps(HOSTILE)}\n")
    return machine


COMMANDS = [
    f"--{HOSTILE}",
    HOSTILE,
    f"run --ctx {HOSTILE} hi",
    f"run --draft {HOSTILE} hi",
    f"run {HOSTILE}: hi",
    f"run bad{HOSTILE}.gguf hi",
    f"run bad{HOSTILE}.gguf hi --verbose",
    f"run {HOSTILE}.gguf hi --verbose",
    f"run missing{HOSTILE}.gguf hi",
    "run arch.gguf hi",
    "run hi",
    f"chat tiny -f missing{HOSTILE}",
    f"chat bad{HOSTILE}.gguf hi",
    f"pull {HOSTILE}",
    f"pull hf:{HOSTILE}/x --offline",
    f"pull --from {HOSTILE}",
    f"pull {HOSTILE} --json",
    "list",
    "list --json",
    "list --all --json",
    f"show {HOSTILE}.gguf",
    f"show {HOSTILE}.gguf --json",
    f"show hf:{HOSTILE}/x",
    f"show {HOSTILE}",
    f"rm {HOSTILE}",
    "prune",
    "prune --json",
    "doctor --offline",
    "doctor --offline --json",
    "config",
    "config system",
    "config --json",
    f"config {HOSTILE}",
    f"config ctx {HOSTILE}",
    f"config --unset {HOSTILE}",
    f"bench bad{HOSTILE}.gguf",
    f"bench tiny --draft {HOSTILE}",
    f"bench tiny --prompt-file missing{HOSTILE}",
    f"verify bad{HOSTILE}.gguf",
    f"verify tiny --draft {HOSTILE}",
    f"chats list {HOSTILE}",
    f"chats {HOSTILE}",
    f"chats export 1 --{HOSTILE}",
    f"help {HOSTILE}",
    f"{HOSTILE} and more {HOSTILE}",
    f"run e2b --{HOSTILE}",
    f"run --server {HOSTILE} hi",
    f"run --format {HOSTILE} hi",
    f"serve {HOSTILE} --port 0",
    f"serve --host {HOSTILE}",
    f"export-command {HOSTILE} --for ollama",
    f"export-command tiny --for {HOSTILE}",
    f"completion {HOSTILE}",
    f"create {HOSTILE} --from tiny",
    f"create mine --from {HOSTILE}",
    f"create mine --from tiny --system {HOSTILE}",
    f"create mine --from tiny --set {HOSTILE}=1",
    f"create mine -f missing{HOSTILE}",
    f"cp {HOSTILE} mine",
    f"cp tiny {HOSTILE}",
    f"quantize bad{HOSTILE}.gguf Q4_0",
    f"quantize missing.gguf {HOSTILE}",
    f"convert {HOSTILE} --llama-cpp {HOSTILE}",
    f"convert missing{HOSTILE}",
    f"run {HOSTILE} {HOSTILE}",
    f"run https://hf.co/a/b/tree/{HOSTILE} hi",
    f"show e2b {HOSTILE}",
    f"chats export 1 --format {HOSTILE}",
]


def words(command: str) -> list[str]:
    return [word.replace("\0", HOSTILE) for word in command.replace(HOSTILE, "\0").split()]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda line: line.replace(HOSTILE, "X"))
def test_names_everywhere(place: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(place)
    check(invoke(*words(command), env=Environment()))


def test_every_command_is_among_them() -> None:
    known = vars(typer.main.get_command(app.app))["commands"]
    visible = {name for name, command in known.items() if not command.hidden}
    # These two show what the engine has loaded, which is a file that could be.
    assert {words(command)[0] for command in COMMANDS} >= visible - {"ps", "stop"}


@pytest.mark.parametrize("command", ["run hi", "doctor --offline", "config"])
def test_settings_that_are_wrong(place: Path, command: str) -> None:
    bad = json.dumps(HOSTILE)
    paths.config_file().write_text(f"flash_attn = {bad}\n{bad} = 1\n")
    check(invoke(*words(command), env=Environment()))


@pytest.mark.parametrize("command", ["run --json", "bench --json", "bench", "verify"])
def test_a_model_with_such_a_name_at_work(
    machine: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    pair = Environment().resolve("tiny", None)
    file = f'"{HOSTILE}".gguf'
    (machine / file).symlink_to(pair.target)
    monkeypatch.chdir(machine)
    few = {"run": ["hi", "--max-tokens", "2"], "bench": ["--tokens", "8", "--repeat", "1"]}
    name, *options = command.split()
    options += few.get(name, ["--tokens", "1", "--draft", "1"])
    outcome = check(invoke(name, file, *options, "--drafter", str(pair.drafter), env=Environment()))
    if "--json" in options:
        assert json.loads(outcome.stdout)["model"].endswith(file)


ENGINES = (
    FakeEngine([Script(error=HOSTILE)]),
    FakeEngine([Script(crash=HOSTILE)]),
    FakeEngine(plain_reason=HOSTILE),
)


@pytest.mark.parametrize("engine", ENGINES, ids=["error", "crash", "reason"])
def test_what_the_engine_says(engine: FakeEngine) -> None:
    for command in ("run", "chat"):
        check(invoke(command, "hi", "--verbose", env=FakeEnvironment(engine)))


def test_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise ZeroDivisionError(HOSTILE)

    monkeypatch.setattr(BrokenEnvironment, "load", load)
    outcome = check(invoke("run", "hi", "--verbose", env=BrokenEnvironment()))
    assert "Traceback" in outcome.stderr


def test_a_hub_full_of_them(hub: Hub) -> None:
    hub.files = {f"{HOSTILE}-Q4_0.gguf": Stored.of(b"x"), f"{HOSTILE}.gguf": Stored.of(b"y")}
    for more in ([], ["--json"], ["--revision", HOSTILE]):
        outcome = invoke("pull", "hf:org/pair", *more, env=Environment())
        assert not UNSAFE & set(outcome.stdout + outcome.stderr)
        assert outcome.status


@pytest.fixture
def saved(tmp_path: Path) -> SavedEnvironment:
    """A conversation about such a text, with a model of such a name."""
    env = SavedEnvironment(tmp_path / "chats.db")
    archive = env.archive()
    asked, reply = Message.text("user", HOSTILE), Message.text("assistant", HOSTILE)
    turn = Turn(asked, (reply,), HOSTILE, reason="stop")
    archive.add([turn], model=HOSTILE)
    archive.close()
    return env


@pytest.mark.parametrize(
    "command", ["list", "delete 1", "list --json", "show 1 --json", "export 1 --format json"]
)
def test_saved_conversations(saved: SavedEnvironment, command: str) -> None:
    check(invoke("chats", *command.split(), env=saved))


def test_json_keeps_the_value(saved: SavedEnvironment) -> None:
    (one,) = json.loads(invoke("chats", "--json", env=saved).stdout)
    assert one["model"] == HOSTILE
    turn = json.loads(invoke("chats", "show", "1", "--json", env=saved).stdout)["turns"][0]
    assert HOSTILE in turn.values()
    answer = invoke("run", "hi", "--json", env=FakeEnvironment(FakeEngine([Script(HOSTILE)])))
    assert json.loads(answer.stdout)["text"] == HOSTILE
    check(answer)
    renamed = invoke("chats", "rename", "1", HOSTILE, "--json", env=saved)
    assert "evil" in json.loads(check(renamed).stdout)["title"]


@pytest.mark.parametrize("rest", ["", "X", "md X/x", "system X", "1 X", "1"])
@pytest.mark.parametrize("verb", [verb.names[0] for verb in VERBS])
def test_every_verb_of_a_chat(
    verb: str, rest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(f"{HOSTILE}.txt").write_text(HOSTILE)
    talk = Talk(Script(HOSTILE, thought=HOSTILE), system=HOSTILE)
    shown = TerminalText()
    talk.chat.printer = Printer(Screen(shown, shown, {"TERM": "dumb"}))
    talk.console.answers = [0] * 3
    talk.console.edited = HOSTILE
    typed = [HOSTILE, "/file X.txt", "/title X", f"/{verb} {rest}", HOSTILE]
    talk.run(*(line.replace("X", HOSTILE) for line in typed))
    assert "evil" in shown.getvalue()
    assert not UNSAFE & set(shown.getvalue()), ascii(shown.getvalue())
