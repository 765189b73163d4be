"""How a chat begins, and what is left when it ends in whatever way, in a real pseudo-terminal."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.terminal import CTRL_C, CTRL_D, ENTER, Terminal

from gemma_mtp.conversations.archive import Archive, Saved

Open = Callable[..., Terminal]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def script(home: Path, *texts: str, **more: object) -> dict[str, object]:
    replies = [{"text": text, **more} for text in texts or ("Hello there.",)]
    return {"scripts": replies, "home": str(home)}


def saved(home: Path) -> Saved:
    archive = Archive(home / "chats.sqlite")
    latest = archive.latest()
    assert latest is not None
    return archive.read(latest)


def talk(chat: Terminal, *messages: str) -> None:
    """Say something, wait for the replies, and leave."""
    for message in messages:
        chat.say(message)
        chat.prompt()
    assert chat.leave(CTRL_D) == 0


def test_continue_takes_the_latest_and_shows_it(open_terminal: Open, home: Path) -> None:
    talk(open_terminal("chat", "e2b", script=script(home, "It is wet.")), "rain?", "/clear", "sun?")
    chat = open_terminal("chat", "--continue", "--system", "Be kind.", script=script(home, "More."))
    chat.prompt()
    start = chat.lines.index(">>> sun?")
    assert chat.lines[start + 1] == "It is wet."
    assert chat.lines[0].startswith("e2b · ctx")
    talk(chat, "and?")
    assert [turn.user.content for turn in saved(home).turns] == ["sun?", "and?"]
    assert saved(home).system == "Be kind."


def test_resume_picks(open_terminal: Open, home: Path) -> None:
    talk(open_terminal("chat", script=script(home)), "rain?", "/clear", "sun?")
    chat = open_terminal("chat", "--resume", script=script(home))
    chat.until("Which conversation?")
    chat.keys("rain")
    chat.until(lambda: not any("sun?" in row for row in chat.lines))
    chat.keys(ENTER)
    chat.until(">>> rain?")
    chat.prompt()
    assert chat.leave("/bye", ENTER) == 0
    chat = open_terminal("chat", "--resume", script=script(home))
    chat.until("Which conversation?")
    assert chat.leave(CTRL_C) == 0


def test_nothing_to_go_on_with(open_terminal: Open, home: Path) -> None:
    for option, said in (("--resume", "Nothing is saved yet."), ("--continue", "no saved")):
        chat = open_terminal("chat", option, script=script(home))
        assert chat.leave() == 2
        assert said in "\n".join(chat.lines)


def test_a_model_that_is_named_wins(open_terminal: Open, home: Path) -> None:
    talk(open_terminal("chat", "e2b", script=script(home)), "rain?")
    chat = open_terminal("chat", "e4b", "--continue", script=script(home))
    chat.prompt()
    assert chat.lines[0].startswith("e4b · ctx")
    assert ">>> rain?" in chat.lines


def test_piped_text_goes_along_with_the_first_message(open_terminal: Open, home: Path) -> None:
    chat = open_terminal("chat", "-i", piped=b"Rain falls.\n", script=script(home))
    chat.until("attached: standard input, 2 tokens of 8192")
    chat.prompt()
    chat.until("1 attached")
    talk(chat, "Sum it up.", "And?")
    first, second = saved(home).turns
    assert first.user.content == (
        '<file name="standard input">\nRain falls.\n</file>\n\nSum it up.'
    )
    assert second.user.content == "And?"


def test_a_file_and_a_first_message(open_terminal: Open, home: Path) -> None:
    (home / "notes.md").write_text("Snow melts.\n")
    chat = open_terminal(
        "chat", "e2b", "Sum it up.", "-f", str(home / "notes.md"), script=script(home)
    )
    chat.until("Hello there.")
    talk(chat)
    assert "Snow melts." in saved(home).turns[0].user.content


def test_a_file_in_the_folder_of_nobody_is_refused(open_terminal: Open, home: Path) -> None:
    chat = open_terminal("chat", "-f", "~nosuch/x", script=script(home))
    assert chat.leave() == 2
    assert "~nosuch/x cannot be read: there is no user of that name." in "\n".join(chat.lines)


def test_a_chat_begins_with_the_files_that_can_be_read(open_terminal: Open, home: Path) -> None:
    (home / "notes.md").write_text("Snow melts.\n")
    files = ("-f", str(home / "notes.md"), "-f", str(home / "nope.md"))
    chat = open_terminal("chat", *files, script=script(home))
    chat.until("1 attached")
    assert chat.leave(CTRL_D) == 0
    said = "".join(chat.lines).replace(" ", "")  # long paths are broken anywhere
    assert "nope.mdcannotberead:Nosuchfileordirectory." in said
    assert "notes.md,2tokensof8192" in said


def test_binary_data_is_refused_before_anything_is_loaded(open_terminal: Open, home: Path) -> None:
    chat = open_terminal("chat", "-i", piped=b"\x7fELF\0\0", script=script(home))
    assert chat.leave() == 2
    assert "is not text" in "\n".join(chat.lines)


def test_a_kill_loses_nothing_that_was_on_the_screen(open_terminal: Open, home: Path) -> None:
    text = "one two three four five six seven eight"
    (home / "four").touch()
    chat = open_terminal("chat", script=script(home, text, hold=str(home)))
    chat.say("count")
    chat.until("one two three")
    os.kill(chat.pid, signal.SIGKILL)
    (turn,) = saved(home).turns
    assert turn.reply is not None
    assert turn.reply.content.startswith("one two")
    assert turn.reason is None
    chat = open_terminal("chat", "--continue", script=script(home, text))
    chat.prompt()
    talk(chat, "/continue")
    assert [t.reply.content for t in saved(home).turns if t.reply] == [text]


def test_a_terminal_that_goes_away_loses_nothing(open_terminal: Open, home: Path) -> None:
    (home / "four").touch()
    slow = script(home, "one two three four five", hold=str(home))
    chat = open_terminal("chat", script=slow)
    chat.say("count")
    chat.until("one two three")
    os.kill(chat.pid, signal.SIGHUP)
    (turn,) = saved(home).turns
    assert turn.reply is not None
    assert turn.reply.content.startswith("one two")


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 15)])
def test_the_bar(open_terminal: Open, home: Path, columns: int, rows: int) -> None:
    chat = open_terminal("chat", "--think", columns=columns, rows=rows, script=script(home))
    chat.say("hi")
    chat.until("ctx 7/8192 (0 %)")
    bar = chat.lines[-1]
    chat.say("/undo")
    chat.until("ctx 0/8192")
    if columns == 80:
        assert bar == "tiny · ctx 7/8192 (0 %) · draft auto · thinking · 400 tok/s"
    else:
        assert bar == "tiny · ctx 7/8192 (0 %) · 400 tok/s"


def test_completion_on_the_screen(open_terminal: Open, home: Path) -> None:
    chat = open_terminal("chat", script=script(home))
    chat.prompt()
    chat.keys("/set thou\t")
    chat.until(">>> /set thoughts")
    chat.keys("f\t", ENTER)
    chat.until("Thoughts become one line that says how many")
    chat.prompt()
    (home / "notes of rain.md").write_text("wet")
    chat.keys(f"/file {home}/no\t", ENTER)
    chat.until("1 attached")
    assert chat.leave("/bye", ENTER) == 0


def test_the_editor(open_terminal: Open, home: Path) -> None:
    editor = home / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/rain/snow/ "$1"\n')
    editor.chmod(0o755)
    chat = open_terminal("chat", script=script(home), EDITOR=str(editor), VISUAL="")
    chat.say("Is rain wet?")
    chat.prompt()
    chat.say("/edit")
    chat.until(">>> Is snow wet?")
    chat.prompt()
    assert chat.leave(CTRL_D) == 0
    assert [turn.user.content for turn in saved(home).turns] == ["Is snow wet?"]


def test_an_archive_that_cannot_be_written_is_said_once(open_terminal: Open, home: Path) -> None:
    (home / "chats.sqlite").mkdir()
    chat = open_terminal("chat", rows=40, script=script(home))
    chat.say("hi")
    chat.prompt()
    chat.say("hi")
    chat.prompt()
    assert sum("Hello there." in row for row in chat.lines) == 2
    assert sum("Conversations are not saved" in row for row in chat.lines) == 1
    assert chat.leave(CTRL_D) == 0
