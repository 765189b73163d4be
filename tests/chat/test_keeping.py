"""Whether what was read of a chat is kept: asked once, at a terminal, when a long chat is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.talk import Talk
from support.terminal import CTRL_D, ENTER, Terminal

from gemma_mtp import paths
from gemma_mtp.chat.keeping import LONG, offer_to_keep
from gemma_mtp.files import config_file
from gemma_mtp.models import chat_states

Open = Callable[..., Terminal]
MESSAGE = "word " * LONG
QUESTION = "Keep long chats so?"


pytestmark = pytest.mark.usefixtures("home")


def left(talk: Talk, *answers: int | None) -> str:
    """What is shown when the chat is left."""
    talk.console.answers = [*answers]
    before = len(talk.out.getvalue())
    offer_to_keep(talk.chat)
    assert not talk.console.answers, "not asked"
    return talk.out.getvalue()[before:]


def test_the_first_long_chat_asks_says_what_it_takes_and_remembers_the_answer() -> None:
    talk = Talk()
    talk.run(MESSAGE)
    assert talk.engine.requests[-1].keep is None
    shown = " ".join(left(talk, 0).split())
    for part in ("2006 tokens", "42 MB for this one, 4 GB at the most for all, in /", "/states."):
        assert part in shown
    assert shown.endswith("keep_chats is on from now on, in config.toml.")
    assert talk.env.configured == {"keep_chats": "on"}
    kept = talk.engine.prepared[-1]
    assert kept is not None
    assert kept.keep is not None
    assert kept.keep.limit == 4_000_000_000
    assert left(talk) == ""


def test_no_is_remembered_and_no_answer_is_not() -> None:
    talk = Talk()
    talk.run(MESSAGE)
    assert "from now on" not in left(talk, None)
    prepared = len(talk.engine.prepared)
    assert left(talk, 1).endswith("keep_chats is off from now on, in config.toml.\n")
    assert talk.env.configured == {"keep_chats": "off"}
    assert len(talk.engine.prepared) == prepared
    assert left(talk) == ""


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("word " * (LONG - 100), {}),
        (MESSAGE, {"save": False}),
        (MESSAGE, {"keep_chats": "on"}),
        (MESSAGE, {"keep_chats": "off"}),
    ],
)
def test_others_are_not_asked(message: str, options: dict[str, object]) -> None:
    talk = Talk(**options)
    talk.run(message)
    assert left(talk) == ""
    assert talk.env.configured == {}


def test_a_chat_with_a_temporary_pair_is_not_asked() -> None:
    talk = Talk()
    talk.run(MESSAGE)
    assert talk.chat.files is not None
    folder = Path("random-weights-e2b-7")
    talk.chat.files = talk.chat.files.__class__("e2b", folder / "target.gguf", None)
    assert left(talk) == ""


def test_where_nothing_could_be_kept_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk()
    talk.run(MESSAGE)
    info = replace(talk.engine.info, state_bytes=0)
    monkeypatch.setattr(type(talk.engine), "info", info)
    assert left(talk) == ""


def test_a_new_conversation_leaves_the_old_one() -> None:
    talk = Talk()
    talk.console.answers = [1]
    talk.run(MESSAGE, "/clear", MESSAGE, "/clear")
    assert [question for question, _ in talk.console.asked] == [QUESTION]


def test_requests_say_under_which_name_they_are_kept() -> None:
    talk = Talk(keep_chats="on", keep_chats_gb=2)
    talk.run("one", "two")
    first, second = (request.keep for request in talk.engine.requests)
    assert first is not None
    assert first == second
    assert first.limit == 2_000_000_000
    assert talk.chat.record.id is not None
    assert first.name == talk.env.archive().key(talk.chat.record.id)
    prepared = talk.engine.prepared[-1]
    assert prepared is not None
    assert prepared.keep == first
    talk.run("/clear", "three", "/set save off", "four", "/set keep_chats off", "/set save on", "x")
    third, *others = (request.keep for request in talk.engine.requests[2:])
    assert third is not None
    assert third.name != first.name
    assert others == [None, None]
    # The first is kept still, and the second not any more.
    assert [path.stem for path in chat_states.folder().iterdir()] == [first.name]


@pytest.mark.parametrize(("key", "word"), [(ENTER, "on"), ("n", "off")])
def test_in_a_terminal(open_terminal: Open, home: Path, key: str, word: str) -> None:
    text = home / "long.txt"
    text.write_text("The dog and the cat went to the sea. " * 250)
    words = ("chat", "tiny", "-f", str(text), "What is it about?", "--max-tokens", "5")
    chat = open_terminal(*words, "--ctx", "4096", real=True, rows=40)
    chat.prompt()
    chat.keys(CTRL_D)
    chat.until(QUESTION)
    chat.keys(*([key] if key == ENTER else [key, ENTER]))
    chat.until("from now on")
    assert chat.leave() == 0
    assert config_file.read(paths.config_file()) == {"keep_chats": word}
    assert len(chat_states.sizes()) == (word == "on")
    again = open_terminal("chat", "--continue", real=True, rows=40)
    again.prompt()
    assert again.leave(CTRL_D) == 0
    assert not any(QUESTION in line for line in again.lines)


def test_without_saving_nobody_is_asked_in_a_terminal(open_terminal: Open, home: Path) -> None:
    text = home / "long.txt"
    text.write_text("The dog and the cat went to the sea. " * 250)
    words = ("chat", "tiny", "-f", str(text), "Hi", "--max-tokens", "5", "--no-save")
    chat = open_terminal(*words, "--ctx", "4096", real=True, rows=40)
    chat.prompt()
    assert chat.leave(CTRL_D) == 0
    assert not any(QUESTION in line for line in chat.lines)
    assert not chat_states.folder().exists()
