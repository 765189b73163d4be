"""What is typed while nobody reads: it waits for the next line, and answers no question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.terminal import BACKSPACE, CTRL_C, CTRL_D, CTRL_U, ENTER, Terminal, paste, told

Open = Callable[..., Terminal]
SIZES = pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 12)])
WAITING = "What you typed meanwhile comes next."


def script(home: Path, *replies: dict[str, object], **more: object) -> dict[str, object]:
    return {"scripts": [*replies], "home": str(home), **more}


def held(home: Path, text: str, moment: str, **more: object) -> dict[str, object]:
    """A reply that waits at that moment, until the file of this name is gone."""
    (home / moment).touch()
    return {"text": text, "hold": str(home), **more}


def asked(open_terminal: Open, home: Path, *keys: str, **size: int) -> Terminal:
    """A chat that asks whether to leave something out; the keys were typed during the reply."""
    long = held(home, "word word then " + "word " * 400, "then")
    replies = script(home, {"text": "word " * 20}, long, {"text": "Aha."}, context=100)
    chat = open_terminal("chat", script=replies, **size)
    chat.say("hello")
    chat.prompt()
    chat.say("two two")
    chat.until("word word")
    chat.keys(*keys)
    (home / "then").unlink()
    chat.until("Leave it out?")
    return chat


@SIZES
def test_it_does_not_answer_a_question(
    open_terminal: Open, tmp_path: Path, columns: int, rows: int
) -> None:
    chat = asked(open_terminal, tmp_path, "go on", ENTER, "and", columns=columns, rows=rows)
    chat.until("Enter takes it")
    assert "Leave it out?" in chat.lines  # nothing was taken for an answer, or for part of one
    chat.keys("no", ENTER)
    chat.until("Leave it out? no, stop here")
    chat.until(">>> go on")  # sent as it was typed, and does not fit either
    chat.until("Leave them out?")
    chat.keys(CTRL_C)
    chat.until(lambda: chat.row == ">>> go on")
    chat.keys(CTRL_C)
    chat.until(lambda: chat.row == ">>> and")
    assert told(tmp_path) == ["hello", "two two"]


def stopped(open_terminal: Open, home: Path, *keys: str, vi: bool = False, **size: int) -> Terminal:
    """A chat that hands "count" back; the keys were typed while its prompt was read."""
    slow = held(home, "Hm.", "2", prefill_delay=0.2)
    options = ("--vi",) if vi else ()
    chat = open_terminal("chat", *options, script=script(home, slow, {"text": "Aha."}), **size)
    chat.say("count")
    chat.until("reading prompt")
    chat.keys(*keys)
    chat.keys(CTRL_C)
    chat.until("stopped")
    chat.until(lambda: chat.row == ">>> count")
    return chat


@SIZES
def test_it_is_not_glued_to_a_message_that_is_handed_back(
    open_terminal: Open, tmp_path: Path, columns: int, rows: int
) -> None:
    chat = stopped(open_terminal, tmp_path, "abc", ENTER, "def", columns=columns, rows=rows)
    chat.until(lambda: chat.lines[-2:] == [">>> count", WAITING])
    chat.keys(" me", ENTER)
    chat.until("Aha.")
    chat.until(lambda: chat.row == ">>> abc")  # offered, not sent
    chat.keys("!", ENTER)
    chat.until(lambda: chat.row == ">>> def")
    chat.keys(CTRL_C)
    chat.prompt()
    assert told(tmp_path) == ["count me", "abc!"]
    chat.say("on")
    chat.prompt()
    assert told(tmp_path)[-1] == "on"
    assert chat.leave(CTRL_D) == 0


def test_it_comes_when_the_message_is_cleared(open_terminal: Open, tmp_path: Path) -> None:
    typed = ('"""one', ENTER, 'two"""', ENTER, ENTER, paste("row\r" * 20), "/draft", ENTER)
    chat = stopped(open_terminal, tmp_path, *typed)
    chat.keys(CTRL_C)
    chat.until(lambda: chat.lines[-3:-1] == ['>>> """one', '... two"""'])
    chat.keys(CTRL_C)
    chat.until(lambda: chat.row == ">>> [pasted 20 lines]/draft")
    chat.keys(CTRL_C)
    chat.prompt()
    assert told(tmp_path) == []
    chat.say("/draft")
    chat.until("The draft length is chosen")


def test_it_is_typed_and_no_command_with_vi_keys(open_terminal: Open, tmp_path: Path) -> None:
    chat = stopped(open_terminal, tmp_path, "dd is a command", ENTER, vi=True)
    chat.keys("\x1b", "0")
    chat.until(lambda: b"\x1b[2 q" in chat.raw)  # the cursor of commands
    chat.keys(CTRL_C)
    chat.until(lambda: chat.row == ">>> dd is a command")


def test_it_stays_apart_when_the_message_fails_again(open_terminal: Open, tmp_path: Path) -> None:
    fails = {"error": "It does not work.", "prefill_delay": 0.0}
    slow = held(tmp_path, "Hm.", "2", prefill_delay=0.2)
    chat = open_terminal("chat", script=script(tmp_path, slow, fails, {"text": "Aha."}))
    chat.say("count")
    chat.until("reading prompt")
    chat.keys("abc", ENTER, CTRL_C)
    chat.until(lambda: chat.lines[-2:] == [">>> count", WAITING])
    chat.keys(ENTER)
    chat.until("It does not work.")
    chat.until(lambda: chat.lines[-2:] == [">>> count", WAITING])
    chat.keys(ENTER)
    chat.until(lambda: chat.row == ">>> abc")
    assert told(tmp_path) == ["count"]


def test_after_a_reply_it_is_sent(open_terminal: Open, tmp_path: Path) -> None:
    slow = {"text": "one two three four", "delay": 0.1}
    chat = open_terminal("chat", script=script(tmp_path, slow, {"text": "Aha."}))
    chat.say("count")
    chat.until("one two")
    chat.keys("why?", ENTER, "half")
    chat.until("Aha.")
    chat.until(lambda: chat.row == ">>> half")
    assert told(tmp_path) == ["count", "why?"]


def row_below(chat: Terminal) -> str:
    """The last row of the screen."""
    return chat.lines[-1]


@pytest.mark.parametrize(("columns", "rows"), [(100, 30), (60, 20), (40, 12)])
def test_it_is_seen_while_a_reply_is_written(
    open_terminal: Open, tmp_path: Path, columns: int, rows: int
) -> None:
    """At the top of the window, at its foot, and where the model has not begun to answer."""
    (tmp_path / "w70").touch()
    words = " ".join(f"w{i}" for i in range(10, 99))
    replies = script(tmp_path, {"text": words, "delay": 0.01, "hold": str(tmp_path)})
    chat = open_terminal("chat", script=replies, columns=columns, rows=rows)
    chat.say("count")
    chat.until("w69")
    chat.keys("and in Frank")
    chat.until(lambda: row_below(chat).startswith(">>> and in Frank"))
    chat.keys(BACKSPACE, "ce?")
    chat.until(lambda: row_below(chat).startswith(">>> and in France?"))
    chat.keys(CTRL_U)
    chat.until(lambda: not row_below(chat).startswith(">>>"))
    chat.keys("why?", ENTER)
    chat.until(lambda: row_below(chat).startswith(">>> why? ⏎ (queued)"))
    chat.keys(paste("one\ntwo"))
    chat.until(lambda: row_below(chat).startswith(">>> why? ⏎ [pasted 2 lines]"))
    (tmp_path / "w70").unlink()
    chat.until(lambda: chat.above[-2:] == [">>> one", "... two"])
    assert told(tmp_path) == ["count", "why?"]
    shown = " ".join([*chat.scrolled, *chat.lines]).split()
    assert [word for word in shown if word in words.split()] == words.split() * 2


def test_it_is_seen_while_the_model_loads(open_terminal: Open, tmp_path: Path) -> None:
    (tmp_path / "loading").touch()
    slow = script(tmp_path, {"text": "Aha."}, load=0.8, hold=str(tmp_path))
    chat = open_terminal("chat", script=slow)
    chat.until("loading")
    chat.keys("hel", BACKSPACE, "llo", ENTER)
    chat.until(lambda: row_below(chat).startswith(">>> hello ⏎ (queued)"))
    (tmp_path / "loading").unlink()
    chat.until("Aha.")
    chat.prompt()
    assert told(tmp_path) == ["hello"]


def test_ctrl_c_stops_the_reply_and_leaves_what_was_typed(
    open_terminal: Open, tmp_path: Path
) -> None:
    slow = held(tmp_path, "word word then on", "then")
    chat = open_terminal("chat", script=script(tmp_path, slow))
    chat.say("count")
    chat.until("word word")
    chat.keys("half a thought")
    chat.until(lambda: row_below(chat).startswith(">>> half a thought"))
    chat.keys(CTRL_C)
    chat.until("stopped")
    chat.until(lambda: chat.row == ">>> half a thought" and " · " in row_below(chat))
    assert told(tmp_path) == ["count"]


@pytest.mark.parametrize("end", ["\r", "\n"])
def test_enter_before_the_chat_has_begun_sends(
    open_terminal: Open, tmp_path: Path, end: str
) -> None:
    chat = open_terminal("chat", script=script(tmp_path, {"text": "Aha."}), cold=True)
    chat.keys(f"hi{end}")  # the terminal still makes Enter a line end
    chat.until("Aha.")
    chat.prompt()
    assert told(tmp_path) == ["hi"]


@SIZES
def test_a_paste_without_marks_is_one_message(
    open_terminal: Open, tmp_path: Path, columns: int, rows: int
) -> None:
    slow = held(tmp_path, "one two three four", "four")
    chat = open_terminal("chat", script=script(tmp_path, slow), columns=columns, rows=rows)
    chat.prompt()
    chat.keys("one\rtwo\rthree\r")
    chat.until(lambda: chat.above[-4:] == [">>> one", "... two", "... three", "..."])
    chat.keys("Look!", ENTER)
    chat.until("one two three")
    chat.keys("for x in y:\r  print(x)\r")
    chat.until(lambda: row_below(chat).startswith(">>> [pasted 2 lines]"))
    (tmp_path / "four").unlink()
    chat.until(lambda: chat.above[-3:] == [">>> for x in y:", "...   print(x)", "..."])
    assert told(tmp_path) == ["one\ntwo\nthree\nLook!"]
    chat.keys(CTRL_C)
    chat.prompt()
    chat.keys("sent as a program does it\r")
    chat.until(">>> sent as a program does it")
    chat.prompt()
    assert told(tmp_path)[1:] == ["sent as a program does it"]
