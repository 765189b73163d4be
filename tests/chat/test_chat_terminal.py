"""The chat in a real pseudo-terminal: keys in, the screen of a terminal emulator out."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.emulator import Emulator
from support.terminal import BACKSPACE, CTRL_C, CTRL_D, ENTER, TAB, UP, Terminal

from gemma_mtp.terminal.escapes import ERASE_SCREEN_BELOW

Open = Callable[..., Terminal]


def script(text: str = "Hello there.", **more: object) -> dict[str, object]:
    return {"scripts": [{"text": text, **more}]}


def test_a_conversation(open_terminal: Open) -> None:
    chat = open_terminal("chat", script=script("Rain 雨 falls.\n\nOn and on.\n"))
    chat.say("hi")
    chat.prompt()
    assert chat.above == [
        "tiny · ctx 8192 · /help lists the commands",
        "MTP: a drafter proposes, the model checks; used if it pays.",
        "This is the built-in toy model; gemma-mtp pull e2b fetches a real one.",
        ">>> hi",
        "Rain 雨 falls.",
        "",
        "On and on.",
        "400 tok/s · 33 % of drafts accepted · 2 tokens a round · ctx 14/8192",
        ">>>",
    ]
    assert chat.leave(CTRL_D) == 0


def holding(tmp_path: Path, *moments: str) -> str:
    """What is held at these moments, until their files here are gone."""
    for moment in moments:
        (tmp_path / moment).touch()
    return str(tmp_path)


def test_ctrl_c_stops_a_reply(open_terminal: Open, tmp_path: Path) -> None:
    slow = script("one two three four five six", hold=holding(tmp_path, "four"))
    chat = open_terminal("chat", "e2b", script=slow)
    chat.say("count")
    chat.until("one two three")
    chat.keys(CTRL_C)
    chat.until("stopped")
    chat.prompt()
    assert any(row.startswith("one two three") for row in chat.lines)
    assert "six" not in "\n".join(chat.lines)
    assert chat.leave("/bye", ENTER) == 0


def test_ctrl_c_while_the_prompt_is_read(open_terminal: Open, tmp_path: Path) -> None:
    slow = script(prefill_delay=0.2, hold=holding(tmp_path, "4"))
    chat = open_terminal("chat", script=slow)
    chat.say("a b c d e f")
    chat.until("reading prompt 4/10")
    chat.keys(CTRL_C)
    chat.until("stopped")
    chat.until(">>> a b c d e f")
    chat.until(lambda: chat.row == ">>> a b c d e f")  # the message comes back, to be edited
    chat.keys(CTRL_C)
    chat.prompt()
    assert chat.leave(CTRL_D) == 0


def test_ctrl_c_and_ctrl_d_on_a_line(open_terminal: Open) -> None:
    chat = open_terminal("chat")
    chat.prompt()
    chat.keys("never sent")
    chat.until(">>> never sent")
    chat.keys(CTRL_C)
    chat.prompt()
    chat.keys(CTRL_C)
    chat.until("Ctrl-D or /bye leaves.")
    chat.prompt()
    assert "never sent" not in "\n".join(chat.lines)
    assert chat.leave(CTRL_D) == 0


def test_an_interrupt_that_comes_too_late_does_not_end_the_chat(open_terminal: Open) -> None:
    chat = open_terminal("chat")
    chat.say("hi")
    chat.prompt()
    for _ in range(3):
        os.kill(chat.pid, signal.SIGINT)
        chat.until(lambda: chat.lines[-1] == "Ctrl-D or /bye leaves.")
        chat.keys("x")  # takes the notice away, so that it is not taken for the next one
        chat.until(lambda: chat.row == ">>> x" and "leaves" not in chat.lines[-1])
        chat.keys(BACKSPACE)
        chat.prompt()
    chat.say("are you there?")
    chat.until(">>> are you there?")
    assert chat.leave("/bye", ENTER) == 0


def test_ctrl_c_while_loading(open_terminal: Open) -> None:
    chat = open_terminal("chat", script={"load": 10.0})
    chat.until("loading")
    assert chat.leave(CTRL_C) == 130
    # Erasing all below the top left corner would leave a copy in the scrollback of some terminals.
    assert ERASE_SCREEN_BELOW.encode() in chat.raw
    assert b"\x1b[J" not in chat.raw.replace(ERASE_SCREEN_BELOW.encode(), b"")
    assert chat.lines == ["gemma-mtp: Loading was stopped."]


def test_progress_leaves_nothing_behind(open_terminal: Open, tmp_path: Path) -> None:
    hold = holding(tmp_path, "loading", "2")
    slow = script(prefill_delay=0.2, hold=hold) | {"load": 1.0, "hold": hold}
    chat = open_terminal("chat", "e2b", rows=6, script=slow)
    chat.until("loading")
    (tmp_path / "loading").unlink()
    chat.say("hi")
    chat.until("reading prompt")
    (tmp_path / "2").unlink()
    chat.until("Hello there.")
    chat.prompt()
    assert "loading" not in "\n".join([*chat.scrolled, *chat.lines])
    assert "reading" not in "\n".join([*chat.scrolled, *chat.lines])


WORDS = (
    " ".join(f"word{i}" for i in range(60)) + " 雨 falls 🌧 on 👩‍👩‍👧 the\n\troof\n\nand is done."
)


@pytest.mark.parametrize(("columns", "rows"), [(40, 10), (80, 8), (33, 30)])
def test_the_status_line_never_disturbs_the_text(
    open_terminal: Open, tmp_path: Path, columns: int, rows: int
) -> None:
    """What remains, scrollback included, is what a terminal shows of the text alone."""
    slow = script(WORDS, delay=0.012, hold=holding(tmp_path, "done."))
    chat = open_terminal("chat", "e2b", columns=columns, rows=rows, script=slow)
    for setting in ("markdown off", "nowordwrap"):
        chat.say(f"/set {setting}")
    chat.say("hi")
    chat.until(" tok/s · 1.4x plain")
    chat.until(lambda: "3 drafts" in chat.lines[-1] or "ctx" in chat.lines[-1] or columns < 50)
    (tmp_path / "done.").unlink()
    chat.until("and is done.")
    chat.prompt()
    alone = Emulator(columns, 200)
    alone.feed(WORDS.replace("\n", "\r\n"))
    expected = [row.rstrip() for row in alone.display]
    shown = [*chat.scrolled, *chat.lines]
    start = next(i for i, row in enumerate(shown) if row.startswith("word0 "))
    length = next(i for i, row in enumerate(expected) if row == "and is done.") + 1
    assert shown[start : start + length] == expected[:length]
    assert "1.42x plain (measured)" in shown[start + length]
    assert shown[start + length + 1] == ">>>"
    assert shown[start - 1] == ">>> hi"


def test_help_and_stats_in_forty_columns(open_terminal: Open) -> None:
    chat = open_terminal("chat", columns=40, rows=60)
    chat.say("/help")
    chat.until("/bye")
    chat.say("hi")
    chat.say("/stats")
    chat.until("KV cache")
    chat.prompt()
    assert "400 tok/s · 33 % of drafts accepted" in [*chat.scrolled, *chat.lines]
    # No word is broken at the edge.
    assert "This is the built-in toy model;" in [*chat.scrolled, *chat.lines]
    assert chat.leave("/quit", ENTER) == 0


def test_what_is_typed_during_a_reply_waits(open_terminal: Open) -> None:
    chat = open_terminal("chat", script=script("one two three four five six", delay=0.1))
    chat.say("count")
    chat.until("one two")
    chat.keys("/draft", ENTER)
    chat.until("The draft length is chosen")
    chat.prompt()
    assert "one two three four five six" in chat.lines
    assert ">>> /draft" in chat.lines


def test_several_lines_and_completion(open_terminal: Open) -> None:
    chat = open_terminal("chat", script=script("Aha."))
    chat.prompt()
    chat.keys('"""one', ENTER)
    chat.until("...")
    chat.keys('two"""', ENTER)
    chat.until("Aha.")
    chat.prompt()
    chat.keys("/st", TAB)
    chat.until(">>> /stats")
    chat.keys(ENTER)
    chat.until("KV cache")
    chat.prompt()


def test_history_is_kept(open_terminal: Open, tmp_path: Path) -> None:
    kept = {"history": str(tmp_path / "deep" / "history")}
    chat = open_terminal("chat", script=kept)
    chat.say("remember me")
    chat.until("tok/s")
    chat.prompt()
    assert chat.leave(CTRL_D) == 0
    chat = open_terminal("chat", script=kept)
    chat.prompt()
    chat.keys(UP)
    chat.until(">>> remember me")


def test_an_error_hands_the_message_back(open_terminal: Open) -> None:
    chat = open_terminal("chat", "--ctx", "256", script=script())
    chat.say("word " * 260)
    chat.until("The prompt has 264 tokens")
    chat.until("Make the context longer")
    chat.keys("2")
    chat.keys("\r")
    chat.until(lambda: chat.above[-1].endswith("word"))
    chat.keys(CTRL_C)
    chat.say("short")
    chat.until("Hello there.")


def test_thoughts_are_dim(open_terminal: Open) -> None:
    chat = open_terminal("chat", "--think", script=script("Yes.", thought="Let me see."))
    chat.say("hi")
    chat.until("tok/s")
    chat.prompt()
    start = chat.lines.index(">>> hi") + 1
    assert chat.lines[start : start + 3] == ["thinking: Let me see.", "", "Yes."]
    assert b"\x1b[2m Let\x1b[0m" in chat.raw or b"\x1b[2mLet\x1b[0m" in chat.raw


def test_no_color(open_terminal: Open) -> None:
    chat = open_terminal("chat", "--think", NO_COLOR="1", script=script("Yes.", thought="Hm."))
    chat.say("hi")
    chat.until("tok/s")
    chat.prompt()
    start = chat.lines.index(">>> hi") + 1
    assert chat.lines[start : start + 3] == ["thinking: Hm.", "", "answer: Yes."]
    assert b"\x1b[2m" not in chat.raw


def test_a_dumb_terminal(open_terminal: Open) -> None:
    chat = open_terminal("chat", TERM="dumb", script=script("one two three", delay=0.2))
    chat.say("hi")
    chat.until("one two three")
    chat.until("400 tok/s")
    assert b"\x1b[2m" not in chat.raw
    assert b"\x1b[J" not in chat.raw
    assert b"1.4x \xc2" not in chat.raw
    chat.prompt()
    assert chat.leave(CTRL_D) == 0


def test_control_characters_in_a_reply_do_nothing(open_terminal: Open) -> None:
    chat = open_terminal("chat", script=script("a\x1b[2Jb\x07c\rd"))
    chat.say("hi")
    chat.until("a\ufffd[2Jb\ufffdc\ufffdd")


def test_run_on_a_terminal(open_terminal: Open, tmp_path: Path) -> None:
    slow = script("one two three four", delay=0.3, hold=holding(tmp_path, "four"))
    run = open_terminal("run", "hi", script=slow)
    run.until(" tok/s · 33 % of drafts accepted")
    (tmp_path / "four").unlink()
    assert run.leave() == 0
    assert " ".join(run.lines) == (
        "gemma-mtp: tiny, the built-in toy model, answers; gemma-mtp pull e2b fetches a real one. "
        "one two three four"
    )


def test_a_terminal_that_cannot_show_everything(open_terminal: Open) -> None:
    there = {"PYTHONIOENCODING": "ascii"}
    run = open_terminal("run", "e2b", "hi", **there, script=script("Rain 雨 falls."))
    assert run.leave() == 0
    assert run.lines == ["Rain ? falls."]


@pytest.mark.parametrize("command", [("run",), ("run", "e2b"), ("chat", "e2b", "hi")])
def test_ways_into_a_chat(open_terminal: Open, command: tuple[str, ...]) -> None:
    chat = open_terminal(*command)
    if "hi" in command:
        chat.until(">>> hi")
        chat.until("Hello there.")
    chat.prompt()
    assert chat.leave(CTRL_D) == 0


def test_a_first_message_of_two_lines(open_terminal: Open) -> None:
    chat = open_terminal("chat", "e2b", "one  two\nthree")
    chat.until("Hello there.")
    chat.prompt()
    start = chat.lines.index(">>> one  two")
    assert chat.lines[start + 1 : start + 3] == ["... three", "Hello there."]


def test_a_pull(open_terminal: Open, tmp_path: Path) -> None:
    hold = holding(tmp_path, "fetching 20", "checking 40")
    pull = open_terminal("pull", "e2b", columns=60, script={"load": 1.6, "hold": hold})
    pull.until("fetching e2b.gguf · 33 % · 21 of 63 MB")
    (tmp_path / "fetching 20").unlink()
    pull.until("checking e2b.gguf · 67 %")
    (tmp_path / "checking 40").unlink()
    assert pull.leave() == 0
    assert pull.lines == ["e2b is ready: gemma-mtp chat e2b"]


def test_no_drafts_is_said_once(open_terminal: Open) -> None:
    chat = open_terminal("chat", script=script() | {"plain_reason": "no drafter is here."})
    chat.say("hi")
    chat.say("hi")
    chat.prompt()
    assert sum("No drafts" in row for row in chat.lines) == 1
