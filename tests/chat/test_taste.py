"""A person's taste: the same setting as flag, key and `/set`; and a chat that saves nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.fakes import Script, invoke
from support.talk import Talk
from support.terminal import CTRL_C, CTRL_D, ENTER, UP, Terminal

from gemma_mtp import paths
from gemma_mtp.cli.flags import flag_of
from gemma_mtp.conversations.archive import Archive
from gemma_mtp.files import config_file
from gemma_mtp.options import CHAT_SETTINGS, TASTE, Options
from gemma_mtp.setting import Setting

Open = Callable[..., Terminal]
OTHER = {
    name: known.choices[-1] if known.choices else "off" if known.default else "on"
    for name, known in TASTE.items()
} | {"keep_chats_gb": "7", "mcp": str(Path(__file__).parents[1] / "data" / "no_servers.json")}
"""A word for another value than the default."""


pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize("known", TASTE.values(), ids=TASTE)
def test_a_matter_of_taste_is_the_same_in_a_chat_and_in_the_file(known: Setting) -> None:
    word = OTHER[known.name]
    assert invoke("config", known.name, word).status == 0
    lasting = config_file.read(paths.config_file())[known.name]
    talk = Talk()
    talk.run(f"/set {known.name} {word}")
    assert getattr(talk.chat.options, known.field) == lasting != known.default
    other = "FILE" if known.kind is str else "N"
    values = "on|off" if known.kind is bool else "|".join(known.choices) or other
    usage = f"{known.name} {values}"
    shown = talk.run("/set").lower()
    assert f"  {usage:29}  {known.help.rstrip('.')} (now {word})\n".lower() in shown


def test_what_the_file_says_holds_from_the_first_line_of_a_chat() -> None:
    values = {known.field: known.parse(OTHER[name]) for name, known in TASTE.items()}
    talk = Talk(Script("**word** " * 3), **values)
    view = talk.chat.printer.view
    assert (view.markdown, view.highlight, view.thoughts, view.wrap) == (False, True, "hide", False)
    assert (talk.console.history_on, talk.console.vi) == (False, True)
    assert "tok/s" not in talk.run("hi")


def test_a_switch_takes_the_words_that_people_use(home: Path) -> None:
    file = paths.config_file()
    file.parent.mkdir()
    file.write_text('markdown = "off"\nhighlight = "ON"\nvi = true\n')
    assert config_file.read(file) == {"markdown": False, "highlight": True, "vi": True}
    assert "Lines are edited with vi keys now." in Talk().run("/set vi")


def test_only_a_chat_has_options_that_only_a_chat_heeds() -> None:
    chat, run = (invoke(command, "--help").stdout for command in ("chat", "run"))
    for name in TASTE:
        assert flag_of(name) in chat
        assert (flag_of(name) in run) == (name not in CHAT_SETTINGS)


SECRET = "a word that nobody may find"


def everything(home: Path) -> bytes:
    return b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())


@pytest.mark.parametrize("way", ["--no-save", "config"])
def test_a_chat_that_saves_nothing(way: str, home: Path, open_terminal: Open) -> None:
    typed = ["--no-save"] if way == "--no-save" else []
    if not typed:
        assert invoke("config", "save", "off").status == 0
    options = ("--max-tokens", "5", "--draft", "0")
    chat = open_terminal("chat", *typed, *options, real=True, GEMMA_MTP_HOME=str(home))
    chat.until("not saved")
    chat.prompt()
    chat.keys(SECRET, ENTER)
    chat.until("tok/s")
    chat.prompt()
    chat.keys(UP)
    chat.until(lambda: chat.lines.count(f">>> {SECRET}") == 2)
    chat.keys(CTRL_C)
    assert chat.leave(CTRL_D) == 0
    assert SECRET.encode() not in everything(home)
    assert not (paths.state_dir() / "chats.db").exists()


def test_no_save_goes_on_with_a_conversation_and_leaves_it_as_it_was(home: Path) -> None:
    kept = Talk(home=home)
    kept.run("first")
    id = kept.saved.id
    talk = Talk(home=home, save=False)
    talk.run(f"/resume {id}", "second", "/title Mine", "/undo", "third")
    assert [text for role, text in talk.said if role == "user"] == ["first", "third"]
    assert talk.saved_texts == [("first", "Hello there.")]
    assert talk.saved.title == "first"
    assert "/resume" not in talk.run("/clear")


def test_save_saves_from_then_on(home: Path) -> None:
    talk = Talk(home=home, save=False)
    talk.run("first")
    assert Archive(home / "chats.sqlite").list() == []
    shown = talk.run("/save Rivers", "second")
    assert 'saved from here on.\nThis conversation is called "Rivers".' in shown
    assert talk.saved.title == "Rivers"
    assert [user for user, _ in talk.saved_texts] == ["first", "second"]
    talk.run("/set save off", "third")
    assert [user for user, _ in talk.saved_texts] == ["first", "second"]


def test_what_is_left_out_is_not_called_saved_where_nothing_is(home: Path) -> None:
    talk = Talk(
        *(Script("word " * 60), Script("Yes.")),
        context=200,
        overflow="drop-oldest",
        save=False,
        home=home,
    )
    assert "saved" not in talk.run("one " * 20, "two " * 60)
    assert Options().save
