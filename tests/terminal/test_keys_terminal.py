"""Keys as they act on the command line itself: what was typed is what the model is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.terminal import (
    ALT_ENTER,
    BACKSPACE,
    CTRL_C,
    CTRL_D,
    CTRL_E,
    CTRL_G,
    CTRL_R,
    CTRL_X,
    CTRL_Z,
    ENTER,
    ESCAPE,
    LEFT,
    SUPPORT,
    UP,
    Terminal,
    paste,
    told,
)

Open = Callable[..., Terminal]
Start = Callable[..., Terminal]
COUNT = "one two three four five six"
SIZES = pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 12)])


@pytest.fixture
def start(open_terminal: Open, tmp_path: Path) -> Start:
    """Starts chats of one home, each with an empty line to type on."""

    def open_one(
        *options: str, text: str = "Aha.", delay: float = 0.0, hold: str = "", **settings: object
    ) -> Terminal:
        script = {
            "scripts": [{"text": text, "delay": delay, "hold": hold}],
            "home": str(tmp_path),
            "history": str(tmp_path / "history"),
        }
        chat = open_terminal("chat", "e2b", *options, script=script, **settings)
        chat.prompt()
        return chat

    return open_one


@pytest.fixture
def editor(tmp_path: Path) -> str:
    """An editor that adds a word."""
    path = tmp_path / "editor"
    path.write_text('#!/bin/sh\nprintf " edited" >> "$1"\n')
    path.chmod(0o700)
    return str(path)


def send(chat: Terminal) -> None:
    """Send the line, and wait for the next one."""
    chat.keys(ENTER)
    chat.prompt()


@SIZES
def test_the_history_of_earlier_chats_is_searched(
    start: Start, tmp_path: Path, columns: int, rows: int
) -> None:
    chat = start(columns=columns, rows=rows)
    for text in ("apples are red", "pears", "plums"):
        chat.say(text)
        chat.prompt()
    assert chat.leave(CTRL_D) == 0
    chat = start(columns=columns, rows=rows)
    chat.keys(CTRL_R, "ARE")
    chat.until("search backward: ARE")
    chat.until(">>> apples are red")
    chat.keys(CTRL_C)  # ends the search, and clears nothing
    chat.prompt()
    chat.keys(CTRL_R, "app")
    chat.until("search backward: app")
    chat.keys(ENTER)
    chat.until(lambda: chat.row == ">>> apples are red")
    send(chat)
    chat.keys(UP, UP)
    chat.until(lambda: chat.row == ">>> plums")
    send(chat)
    assert told(tmp_path) == ["apples are red", "plums"]


@SIZES
def test_new_lines(start: Start, tmp_path: Path, columns: int, rows: int) -> None:
    chat = start(columns=columns, rows=rows)
    chat.keys("one", ALT_ENTER, "two", "\n", "three")
    chat.until(lambda: chat.above[-3:] == [">>> one", "... two", "... three"])
    send(chat)
    assert told(tmp_path) == ["one\ntwo\nthree"]


@SIZES
def test_a_paste(start: Start, tmp_path: Path, columns: int, rows: int) -> None:
    chat = start(columns=columns, rows=rows)
    chat.keys("Look: ", paste("one\rtwo\r\nthree"))
    chat.until("... three")
    chat.keys(LEFT, BACKSPACE)
    chat.until("... thre")
    send(chat)
    rows_of_text = "".join(f"row {i}\n" for i in range(30))
    chat.keys(paste(rows_of_text), "?")
    chat.until(lambda: chat.row == ">>> [pasted 30 lines]?")
    send(chat)
    assert told(tmp_path) == ["Look: one\ntwo\nthre", f"{rows_of_text}?"]


@pytest.mark.parametrize(("columns", "rows", "fits"), [(80, 24, True), (40, 12, False)])
def test_two_megabytes(start: Start, tmp_path: Path, columns: int, rows: int, fits: bool) -> None:
    chat = start("--ctx", "1000000" if fits else "4096", columns=columns, rows=rows)
    chat.pour(paste("a line of a long text\r" * 100_000))
    chat.until(lambda: chat.row == ">>> [pasted 100,000 lines]")
    chat.keys(ENTER)
    if fits:
        chat.until("Aha.")
        chat.prompt()
        assert told(tmp_path) == ["a line of a long text\n" * 99_999 + "a line of a long text"]
    else:
        chat.until(lambda: "The prompt has 600004 tokens" in " ".join(chat.lines))
        chat.until("The message is back on the line")
        chat.until(lambda: chat.row == ">>> [pasted 100,000 lines]")
        assert told(tmp_path) == []


@SIZES
@pytest.mark.parametrize("keys", [CTRL_X + CTRL_E, CTRL_G], ids=["Ctrl-X Ctrl-E", "Ctrl-G"])
def test_the_editor(
    start: Start, editor: str, tmp_path: Path, columns: int, rows: int, keys: str
) -> None:
    chat = start(columns=columns, rows=rows, EDITOR=editor, VISUAL="")
    chat.keys("hey", keys)
    chat.until(lambda: chat.row == ">>> hey edited")
    chat.keys("!")
    chat.until(lambda: chat.row == ">>> hey edited!")
    send(chat)
    assert told(tmp_path) == ["hey edited!"]


@SIZES
@pytest.mark.parametrize("way", ["--vi", "/set vi"])
def test_vi_keys(start: Start, tmp_path: Path, columns: int, rows: int, way: str) -> None:
    chat = start(*[way] * way.startswith("-"), columns=columns, rows=rows)
    if way.startswith("/"):
        chat.say(way)
        chat.until("vi")
        chat.prompt()
    chat.keys("one two", ESCAPE)
    chat.until(lambda: b"\x1b[2 q" in chat.raw)  # the cursor of commands
    chat.keys("0dwA!")
    chat.until(lambda: chat.row == ">>> two!")
    send(chat)
    chat.keys("three")  # a new line starts with typing
    chat.until(lambda: chat.row == ">>> three")
    send(chat)
    assert told(tmp_path) == ["two!", "three"]


@SIZES
def test_ctrl_c_clears_a_line_and_ctrl_d_leaves_an_empty_one(
    start: Start, tmp_path: Path, columns: int, rows: int
) -> None:
    chat = start(columns=columns, rows=rows)
    chat.keys("never sent")
    chat.until(lambda: chat.row == ">>> never sent")
    chat.keys(CTRL_D)  # takes the letter under the cursor, and there is none
    chat.keys(CTRL_C)
    chat.prompt()
    chat.keys(UP)
    chat.until(lambda: chat.row == ">>> never sent")
    chat.keys(CTRL_C)
    chat.prompt()
    chat.keys(CTRL_C)
    chat.until("Ctrl-D or /bye leaves.")
    assert chat.leave(CTRL_D) == 0
    assert told(tmp_path) == []
    assert "never sent" not in "".join(chat.lines)


@SIZES
def test_what_is_typed_during_a_reply_is_kept(
    start: Start, tmp_path: Path, columns: int, rows: int
) -> None:
    chat = start(text=COUNT, delay=0.1, columns=columns, rows=rows)
    chat.say("count")
    chat.until("one two")
    chat.keys("naxt", *[BACKSPACE] * 3, "ext", ENTER, paste("some\rlines"), "!")
    chat.until(lambda: chat.above[-2:] == [">>> some", "... lines!"])
    send(chat)
    assert told(tmp_path) == ["count", "next", "some\nlines!"]
    assert "next" not in chat.lines  # in a reply it would be in a row of its own


@SIZES
def test_another_size_at_the_prompt(start: Start, tmp_path: Path, columns: int, rows: int) -> None:
    chat = start(columns=columns, rows=rows)
    chat.keys("hello there")
    chat.until(lambda: chat.row == ">>> hello there")
    bar = "e2b · ctx 0/8192 (0 %) · draft auto"
    for wide, high, below in ((30, 10, bar[:22]), (100, 30, bar), (50, 12, bar)):
        chat.resize(wide, high)
        chat.until(lambda expected=[">>> hello there", below]: chat.lines[-2:] == expected)
        assert sum("hello" in row for row in chat.lines) == 1
    chat.keys(" and a good morning to you, my dearest", ENTER)
    chat.until("Aha.")
    chat.prompt()
    assert told(tmp_path) == ["hello there and a good morning to you, my dearest"]
    start_row = chat.lines.index(">>> hello there and a good morning to you, my dear")
    assert chat.lines[start_row + 1 : start_row + 3] == ["est", "Aha."]


def test_another_size_during_a_reply(start: Start, tmp_path: Path) -> None:
    """Narrower while all rows are short, since the emulator cuts them; wider in a paragraph."""
    words = [f"w{i:03}" for i in range(140)]
    short = "".join("- " + " ".join(words[i : i + 6]) + "\n" for i in range(0, 60, 6))
    holds = [tmp_path / word for word in ("w050", "w090", "w130")]
    for hold in holds:
        hold.touch()
    text = f"{short}\n{' '.join(words[60:])}\n"
    chat = start(text=text, delay=0.008, hold=str(tmp_path), columns=40)
    chat.resize(80, 24)
    chat.say("hi")
    chat.until("w049")
    chat.until(lambda: chat.lines[-1].endswith("/8192"))  # the whole status has room
    chat.resize(40, 24)
    holds[0].unlink()
    chat.until("w089")
    chat.until(lambda: chat.lines[-1].startswith(" 400 tok/s · "))
    chat.resize(80, 24)
    holds[1].unlink()
    chat.until("w129")
    chat.until(lambda: chat.lines[-1].endswith("/8192"))
    holds[2].unlink()
    chat.until("1.42x plain (measured)")
    chat.prompt()
    all_rows = [*chat.scrolled, *chat.lines]
    assert [word for word in " ".join(all_rows).split() if word in words] == words
    assert sum("tok/s" in row for row in all_rows) == 2  # below the reply, and in the bar


@pytest.fixture
def job(open_terminal: Open) -> Start:
    """Starts programs of these tests as a shell does."""

    def start_one(program: str, *arguments: str, **settings: object) -> Terminal:
        driver = SUPPORT / "job.py"
        return open_terminal(str(SUPPORT / program), *arguments, driver=driver, **settings)

    return start_one


@SIZES
def test_ctrl_z_gives_the_shell_its_terminal(job: Start, columns: int, rows: int) -> None:
    """While a line is typed, and during a reply."""
    script = {"scripts": [{"text": COUNT, "delay": 0.1}]}
    chat = job("fakes.py", "chat", "e2b", script=script, columns=columns, rows=rows)
    chat.prompt()
    chat.keys("half")
    chat.until(lambda: chat.row == ">>> half")
    stop_and_go_on(chat)
    chat.keys(" more")
    chat.until(lambda: chat.row == ">>> half more")
    chat.keys(ENTER)
    chat.until("one two")
    stop_and_go_on(chat)
    chat.keys("later")
    chat.until("six")
    chat.until(lambda: chat.row == ">>> later")
    words = " ".join(chat.lines).split()
    assert [word for word in words if word in COUNT.split()] == COUNT.split()


def stop_and_go_on(chat: Terminal) -> None:
    before = chat.raw.count(b"shell:")
    chat.keys(CTRL_Z)
    chat.until(lambda: chat.raw.count(b"shell:") > before)
    chat.until(lambda: any("shell: ICRNL ICANON ECHO" in row for row in chat.lines[-2:]))
    off, on = b"\x1b[?2004l", b"\x1b[?2004h"
    assert chat.raw.rindex(off) > chat.raw.rindex(on)
    chat.keys("fg", ENTER)
    chat.until(lambda: chat.raw.rindex(on) > chat.raw.rindex(off))


@SIZES
def test_ctrl_c_clears_the_line_with_its_list_of_words(
    start: Start, columns: int, rows: int
) -> None:
    chat = start(columns=columns, rows=rows)
    chat.keys("/se", "\t")
    chat.until("change a setting")
    chat.keys("\t")
    chat.until(">>> /seed")
    chat.keys(CTRL_C)
    chat.prompt()
    assert chat.leave(CTRL_D) == 0
