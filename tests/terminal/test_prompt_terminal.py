"""The prompt in a real pseudo-terminal: keys in, the screen of a terminal emulator out."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
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
    CTRL_L,
    CTRL_R,
    CTRL_X,
    DOWN,
    ENTER,
    ESCAPE,
    LEFT,
    RIGHT,
    SUPPORT,
    TAB,
    UP,
    Terminal,
    paste,
)

SIZES = pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 12)])

Start = Callable[..., Terminal]


class Typist(Terminal):
    """The program of typist.py in a terminal."""

    def ready(self) -> None:
        """Read until an empty line waits, with the bar below."""
        self.until(lambda: self.line() == ">>>" and "tiny" in self.last)

    @property
    def last(self) -> str:
        return self.lines[-1] if self.lines else ""

    def line(self) -> str:
        """The row with the prompt that was drawn last."""
        return next((row for row in reversed(self.lines) if row.startswith(">>>")), "")

    def send(self, text: str) -> None:
        """Type a line and wait for the next one."""
        self.keys(text, ENTER)
        self.until(f"got: {text!r}"[: self.screen.columns - 1])
        self.ready()

    @property
    def all(self) -> list[str]:
        return [*self.scrolled, *self.lines]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts typists; none outlives its test."""
    opened: list[Typist] = []

    def open_one(columns: int = 80, rows: int = 24, **settings: object) -> Typist:
        env = {k: str(v) for k, v in settings.items() if k.isupper()}
        script = {k: v for k, v in settings.items() if not k.isupper()}
        driver = SUPPORT / "typist.py"
        opened.append(Typist(columns=columns, rows=rows, script=script, driver=driver, **env))
        return opened[-1]

    yield open_one
    for typist in opened:
        typist.close()


@SIZES
def test_a_line_and_the_bar_below_it(start: Start, columns: int, rows: int) -> None:
    typist = start(columns, rows)
    typist.ready()
    bar = "tiny · 12/8192 (0 %) · draft auto · 43 tok/s"
    assert typist.lines == ["A conversation above.", ">>>", bar if columns > 44 else SHORT_BAR]
    typist.keys("hello", LEFT, LEFT, BACKSPACE, "L")
    typist.until(">>> heLlo")
    typist.keys(ENTER)
    typist.until("got: 'heLlo'")
    typist.ready()
    assert typist.leave(CTRL_D) == 0
    assert typist.lines == ["A conversation above.", ">>> heLlo", "got: 'heLlo'", "left"]


SHORT_BAR = "tiny · 12/8192 (0 %) · 43 tok/s"


@SIZES
def test_a_wrapped_line_has_no_mark_of_its_own(start: Start, columns: int, rows: int) -> None:
    typist = start(columns, rows)
    typist.ready()
    text = " ".join(f"word{i}" for i in range(25))
    expected = [*rows_of(f">>> {text}", columns), *rows_of(f"... {text}", columns)]
    typist.keys(text, ALT_ENTER, text)
    typist.until(lambda: typist.lines[-2:-1] == expected[-1:])
    typist.until(lambda: typist.all[1:-1] == expected)
    typist.keys(ENTER)
    typist.until("got:")
    typist.ready()
    assert typist.all[1 : 1 + len(expected)] == expected


def rows_of(text: str, columns: int) -> list[str]:
    return [text[i : i + columns].rstrip() for i in range(0, len(text), columns)]


@SIZES
def test_several_lines(start: Start, columns: int, rows: int) -> None:
    typist = start(columns, rows)
    typist.ready()
    typist.keys('"""one', ENTER, "two", ENTER, '"""', ENTER)
    typist.until('got: \'"""one\\ntwo\\n"""\'')
    typist.ready()
    assert typist.lines[1:4] == ['>>> """one', "... two", '... """']
    typist.keys("three", ALT_ENTER, "four", "\n", "five", "\x1b[13;2u", "six", ENTER)
    typist.until("got: 'three\\nfour\\nfive\\nsix'")


@SIZES
def test_a_paste_of_some_lines_is_not_sent(start: Start, columns: int, rows: int) -> None:
    typist = start(columns, rows)
    typist.ready()
    typist.keys(paste("one\rtwo\r\nthree"))
    typist.until("... three")
    assert "got" not in "".join(typist.lines)
    typist.keys(ENTER)
    typist.until("got: 'one\\ntwo\\nthree'")


@SIZES
def test_a_tall_message_is_on_the_screen_once(start: Start, columns: int, rows: int) -> None:
    typist = start(columns, rows)
    typist.ready()
    for part in range(5):  # each too short to be put aside
        typist.keys(paste("".join(f"row {part}-{i}\r" for i in range(8))))
    typist.until("... row 4-7")
    typist.keys("end", ENTER)
    typist.until("got")
    typist.ready()
    text = "\n".join(typist.all)
    # Erased from the top left corner, some terminals would keep the screen in the scrollback.
    assert not re.search(rb"[^ ]\x1b\[J", typist.raw)
    assert [text.count(f"row {part}-{i}\n") for part in range(5) for i in range(8)] == [1] * 40


@SIZES
def test_two_megabytes(start: Start, columns: int, rows: int) -> None:
    typist = start(columns, rows)
    typist.ready()
    typist.keys("Review ")
    typist.pour(paste("a line of a long text\r" * 100_000))
    typist.until("[pasted 100,000 lines]")
    assert typist.last.startswith("Ctrl-G shows the paste · ")
    typist.keys(" again!", BACKSPACE)
    typist.until(">>> Review [pasted 100,000 lines] again"[:columns])
    typist.keys(ENTER)
    typist.until("got: 2200013 characters")
    typist.ready()
    assert "\n".join(typist.all).count("a line of a long text") == 0
    typist.keys(UP)
    typist.until(">>> Review [pasted 100,000 lines]")
    typist.keys(*[LEFT] * 6, BACKSPACE, ENTER)  # the whole paste is one character
    typist.until("got: 'Review  again'")


@SIZES
def test_what_is_typed_meanwhile_waits(
    start: Start, columns: int, rows: int, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    typist = start(columns, rows, gate=str(gate))
    typist.ready()
    typist.keys("work", ENTER)
    typist.until("working")
    typist.keys("frist", *[BACKSPACE] * 4, "irst", ENTER, paste("second\rline"), LEFT, "X")
    gate.touch()
    typist.until("... linXe")
    typist.keys(ENTER)
    typist.until("got: 'second\\nlinXe'")
    typist.ready()
    start_row = typist.lines.index("working")
    assert typist.lines[start_row:-1] == [
        *("working", "worked", ">>> first", "got: 'first'"),
        *(">>> second", "... linXe", "got: 'second\\nlinXe'", ">>>"),
    ]


def test_ctrl_c_gets_past_a_paste(start: Start) -> None:
    typist = start()
    typist.ready()
    typist.keys("work", ENTER)
    typist.until("working")
    typist.pour(paste("row\r" * 50_000) + "雨" + CTRL_C)
    typist.until("stopped")
    typist.until(">>> [pasted 50,000 lines]雨")


@SIZES
def test_ctrl_c_clears_a_line_that_the_history_keeps(start: Start, columns: int, rows: int) -> None:
    typist = start(columns, rows)
    typist.ready()
    typist.keys("never sent")
    typist.until(">>> never sent")
    typist.keys(CTRL_C)
    typist.ready()
    typist.keys(CTRL_C)
    typist.until("Ctrl-D or /bye leaves.")
    typist.keys("x")
    typist.until(lambda: typist.line() == ">>> x" and "tiny" in typist.last)
    os.kill(typist.pid, signal.SIGINT)
    typist.ready()
    typist.keys(UP, UP)
    typist.until(">>> never sent")
    typist.keys(CTRL_D)  # leaves only an empty line
    typist.keys(CTRL_C)
    typist.ready()
    assert typist.leave(CTRL_D) == 0
    assert typist.lines == ["A conversation above.", "left"]


@SIZES
def test_ctrl_l_clears_the_screen(start: Start, columns: int, rows: int) -> None:
    typist = start(columns, rows)
    typist.ready()
    typist.keys("hello", CTRL_L)
    typist.until(lambda: typist.lines[:1] == [">>> hello"])
    typist.keys(ENTER)
    typist.until("got: 'hello'")


@SIZES
def test_history_is_kept_and_searched(
    start: Start, columns: int, rows: int, tmp_path: Path
) -> None:
    kept = tmp_path / "state" / "history"
    typist = start(columns, rows, history=str(kept))
    for text in ("apples are red", "bananas", "cherries"):
        typist.ready()
        typist.send(text)
    assert typist.leave(CTRL_D) == 0
    assert kept.stat().st_mode & 0o777 == 0o600
    typist = start(columns, rows, history=str(kept))
    typist.ready()
    typist.keys(UP, UP)
    typist.until(">>> bananas")
    typist.keys(DOWN)
    typist.until(">>> cherries")
    typist.keys(CTRL_R, "RED")
    typist.until("search backward: RED")
    typist.until(">>> apples are red")
    typist.keys(ENTER)
    typist.until(lambda: "tiny" in typist.last)
    typist.keys(ENTER)
    typist.until("got: 'apples are red'")


def test_up_goes_through_the_lines_that_start_alike(start: Start) -> None:
    typist = start()
    for text in ("apples", "bananas", "cherries"):
        typist.ready()
        typist.send(text)
    typist.keys("ap", UP)
    typist.until(">>> apples")
    typist.keys(DOWN)
    typist.until(lambda: typist.line().rstrip() in (">>> ap", ">>> apples"))


def test_nohistory(start: Start, tmp_path: Path) -> None:
    kept = tmp_path / "history"
    typist = start(history=str(kept))
    typist.ready()
    typist.send("forget")
    typist.send("secret")
    typist.keys(UP)
    typist.until(">>> secret")  # in its own chat it can be called up
    assert "secret" not in kept.read_text()


def test_the_rest_of_an_earlier_line_is_offered(start: Start) -> None:
    typist = start()
    typist.ready()
    typist.send("tell me a story")
    typist.keys("tel")
    typist.until(lambda: typist.lines[-2] == ">>> tell me a story")
    assert b"\x1b[0;2ml me a story" in typist.raw
    typist.keys(ENTER)
    typist.until("got: 'tel'")
    typist.ready()
    typist.keys("tell")
    typist.until(lambda: typist.lines[-2] == ">>> tell me a story")
    typist.keys(RIGHT, ENTER)
    typist.until(lambda: typist.lines.count("got: 'tell me a story'") == 2)


def test_no_color(start: Start) -> None:
    typist = start(NO_COLOR="1")
    typist.ready()
    typist.send("tell me a story")
    typist.keys("tell")
    typist.until(lambda: typist.lines[-2] == ">>> tell")
    typist.keys(" it", ENTER)
    typist.until("got: 'tell it'")
    assert not any(int(code) for code in shades(typist.raw))


def shades(raw: bytes) -> list[bytes]:
    """The attributes that characters were given."""
    return [c for codes in re.findall(rb"\x1b\[([0-9;]+)m", raw) for c in codes.split(b";")]


def chosen(typist: Typist) -> str:
    """The row of a list that looks different from those around it."""
    rows = typist.screen.buffer
    found = [
        "".join(rows[y][x].data for x in range(typist.screen.columns) if rows[y][x].reverse)
        for y in range(typist.screen.lines)
    ]
    return next((row.rstrip() for row in found if row.strip()), "")


@SIZES
def test_verbs_are_shown_as_they_are_typed_and_listed(
    start: Start, columns: int, rows: int
) -> None:
    typist = start(columns, rows)
    typist.ready()
    typist.keys("/s")
    typist.until(lambda: typist.last == "/save  /seed  /set  /show")
    typist.keys("ho")
    typist.until(lambda: typist.last.startswith("/show  what is known about"))
    typist.keys(BACKSPACE, BACKSPACE, TAB)
    typist.until(" /save  keep the conversation")
    assert "tiny" not in typist.last
    typist.keys(TAB, TAB)
    typist.until(lambda: typist.line() == ">>> /seed")
    typist.until(lambda: chosen(typist) == " /seed  the seed of the next replies")
    typist.keys(ENTER)
    typist.until(lambda: typist.last.startswith("/seed  the seed"))
    assert typist.lines == [
        *("A conversation above.", ">>> /seed", "/seed  the seed of the next replies")
    ]
    typist.keys(ENTER)
    typist.until("got: '/seed'")
    typist.ready()
    typist.keys("/f", TAB)
    typist.until(">>> /file")


def test_a_list_leaves_nothing_behind_at_the_bottom_of_the_screen(start: Start) -> None:
    typist = start(40, 8)
    for number in range(6):
        typist.ready()
        typist.send(f"line {number}")
    typist.keys("/s", TAB)
    typist.until("/show")
    typist.keys("et")
    typist.until(lambda: "/show" not in "".join(typist.lines))
    typist.keys(ENTER)
    typist.until("got: '/set'")
    typist.ready()
    rest = [row for i in range(6) for row in (f">>> line {i}", f"got: 'line {i}'")]
    assert typist.all[:-1] == ["A conversation above.", *rest, ">>> /set", "got: '/set'", ">>>"]


@SIZES
@pytest.mark.parametrize("key", [ESCAPE, CTRL_G])
@pytest.mark.parametrize("chosen_one", [False, True])
def test_a_list_is_closed_and_the_line_is_as_it_was_typed(
    start: Start, columns: int, rows: int, key: str, chosen_one: bool
) -> None:
    typist = start(columns, rows)
    typist.ready()
    typist.keys("/s", TAB)
    typist.until(" /show  what is known")
    if chosen_one:
        typist.keys(TAB, TAB)
        typist.until(lambda: typist.line() == ">>> /seed")
    typist.keys(key)
    # The list covers the rows below the line, the bar among them; then the bar is back.
    typist.until(lambda: typist.last == "/save  /seed  /set  /show")
    assert typist.lines == ["A conversation above.", ">>> /s", "/save  /seed  /set  /show"]
    typist.keys("how", ENTER)
    typist.until("got: '/show'")


def test_paths(start: Start, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "my notes.md").write_text("")
    typist = start(HOME=tmp_path)
    typist.ready()
    typist.keys("/file ~/s", TAB)
    typist.until(">>> /file ~/src/")
    typist.keys("m", TAB, ENTER)
    typist.until(r"got: '/file ~/src/my\\ notes.md'")


def test_nothing_that_is_typed_or_listed_acts_on_the_terminal(start: Start, tmp_path: Path) -> None:
    for name in ("one \x1b]0;title\x07", "two \u202e"):
        (tmp_path / name).write_text("")
    typist = start(HOME=tmp_path)
    typist.ready()
    typist.keys(paste("a\u202eb\x1b]0;title\x07c 雨"))
    typist.until(">>> a\ufffdb\ufffd]0;title\ufffdc 雨")
    typist.keys(BACKSPACE, "!", ENTER)
    typist.until("got: 'a\\u202eb\\x1b]0;title\\x07c !'")
    typist.ready()
    typist.keys(UP)
    typist.until(">>> a\ufffdb\ufffd]0;title\ufffdc !")
    typist.keys(CTRL_C)
    typist.ready()
    typist.keys("/file ~/", TAB)
    typist.until("two\\ \ufffd")
    typist.keys(TAB, TAB)
    typist.until(">>> /file ~/two\\ \ufffd")
    typist.keys(ENTER, ENTER)
    typist.until("got: '/file")
    assert "\u202e".encode() not in typist.raw
    assert b"]0;title" in typist.raw
    assert b"\x1b]0;" not in typist.raw


@SIZES
@pytest.mark.parametrize("keys", [CTRL_X + CTRL_E, CTRL_G])
def test_the_editor_changes_the_line(
    start: Start, columns: int, rows: int, keys: str, tmp_path: Path
) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nwc -l < "$1"; printf " and more\n" >> "$1"\n')
    editor.chmod(0o700)
    typist = start(columns, rows, VISUAL=editor)
    typist.ready()
    typist.keys("Look: ", paste("row\r" * 20 + "row"), keys)
    typist.until("row and more")
    typist.keys(ENTER)
    typist.until(lambda: "got:" in "".join(typist.lines))
    typist.ready()
    assert "'Look: row\\nrow\\n" in "".join(typist.lines)
    assert "more'" in "".join(typist.lines)


def test_an_editor_that_fails_leaves_the_line(start: Start) -> None:
    typist = start(VISUAL="false")
    typist.ready()
    typist.keys("some text", CTRL_G)
    typist.until("false ended with status 1; the text stays.")
    typist.keys("!")
    typist.until(lambda: typist.line() == ">>> some text!" and "tiny" in typist.last)
    typist.keys(ENTER)
    typist.until("got: 'some text!'")
    typist.ready()
    typist.keys("edit", ENTER)
    typist.until("edited: None")


def test_ctrl_c_is_the_editors(start: Start, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text(
        '#!/bin/sh\ntrap "echo interrupted >> $1; exit 0" INT\necho editing; read x\n'
    )
    editor.chmod(0o700)
    typist = start(EDITOR=editor)
    typist.ready()
    typist.keys("kept ", CTRL_G)
    typist.until("editing")
    typist.keys(CTRL_C)
    typist.until(">>> kept interrupted")


def test_bytes_that_are_no_text_are_replaced(start: Start, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf " and more" >> "$1"\n')
    editor.chmod(0o700)
    typist = start(VISUAL=editor)
    typist.ready()
    os.write(typist.fd, b"caf\xe9 ")  # Latin-1
    typist.until(lambda: typist.line() == ">>> caf\ufffd")
    typist.keys(CTRL_G)
    typist.until(">>> caf\ufffd  and more")
    typist.keys(ENTER)
    typist.until("got: 'caf\ufffd  and more'")


def test_an_editor_with_a_quote_too_many_leaves_the_line(start: Start) -> None:
    typist = start(VISUAL="", EDITOR="vim '")
    typist.ready()
    typist.keys("some text", CTRL_G)
    typist.until("There is no closing quotation in EDITOR.")
    typist.keys(ENTER)
    typist.until("got: 'some text'")
    typist.ready()
    typist.keys("edit", ENTER)
    typist.until("There is no closing quotation in EDITOR.")
    typist.until("edited: None")


def test_a_message_handed_back_is_as_it_was(start: Start) -> None:
    typist = start()
    typist.ready()
    typist.keys("fail ", paste("row\r" * 99 + "row"), ENTER)
    typist.until("got: 404 characters")
    typist.until(lambda: typist.line() == ">>> fail [pasted 100 lines]" and "tiny" in typist.last)
    typist.keys(CTRL_C)
    typist.ready()


def test_vi_keys(start: Start) -> None:
    typist = start(vi=True)
    typist.ready()
    typist.keys("one two", ESCAPE)
    typist.until(lambda: typist.raw.count(b"\x1b[2 q") == 1)  # the cursor of commands
    typist.keys("0dwix", ESCAPE)
    typist.until(lambda: typist.raw.count(b"\x1b[2 q") == 2)
    typist.keys(ENTER)
    typist.until("got: 'xtwo'")
    typist.ready()
    typist.keys("a", ALT_ENTER, "b", ENTER)
    typist.until("got: 'a\\nb'")


@SIZES
def test_a_question(start: Start, columns: int, rows: int) -> None:
    typist = start(columns, rows)
    typist.ready()
    typist.keys("ask", ENTER)
    typist.until("Enter takes it")
    typist.until(" 1  apple tart")
    typist.keys("pie")
    typist.until("Which? pie")
    typist.until(lambda: "apple" not in "".join(typist.lines))
    typist.until(lambda: chosen(typist) == "  3  cherry pie")
    typist.keys(DOWN)
    typist.until(lambda: chosen(typist) == "  6  cherry pie")
    typist.keys(ENTER)
    typist.until("asked: 5")
    typist.ready()
    assert typist.lines[-4:-1] == ["Which? cherry pie", "asked: 5", ">>>"]
    typist.keys("ask", ENTER)
    typist.until("Enter takes it")
    typist.keys("29", ENTER)
    typist.until("asked: 28")
    typist.ready()
    for key in (CTRL_C, ESCAPE, CTRL_D):
        typist.keys("ask", ENTER)
        typist.until("Enter takes it")
        typist.keys(key)
        typist.until("asked: None")
        typist.ready()
        typist.keys(CTRL_L)
        typist.until(lambda: typist.lines[:1] == [">>>"])


def test_another_size(start: Start) -> None:
    typist = start()
    typist.ready()
    typist.keys("hello")
    typist.until(">>> hello")
    typist.resize(30, 10)
    typist.until(lambda: typist.last == "tiny · 12/8192 (0 %)")
    typist.keys(" and a good morning to you", ENTER)
    typist.until("got:")
    typist.ready()
    assert typist.lines[1:3] == [">>> hello and a good morning t", "o you"]


def test_a_dumb_terminal(start: Start) -> None:
    typist = start(TERM="dumb")
    waits = lambda: typist.last == ">>>"  # noqa: E731
    typist.until(waits)
    typist.keys('"""one', ENTER)
    typist.until(lambda: typist.last == "...")
    typist.keys('two"""', ENTER)
    typist.until('got: \'"""one\\ntwo"""\'')
    typist.until(waits)
    typist.keys("half", CTRL_C)
    typist.until("Ctrl-D or /bye leaves.")
    typist.until(waits)
    typist.keys("fail now", ENTER)
    typist.until("Enter alone stands for: fail now")
    typist.until(waits)
    typist.keys(ENTER)
    typist.until(lambda: typist.lines.count("got: 'fail now'") == 2)
    typist.until(waits)
    typist.keys("ask", ENTER)
    typist.until(lambda: typist.last == "Which?")
    typist.keys("40", ENTER)
    typist.until("One of these numbers, please; Ctrl-C for none of them.")
    typist.keys("2", ENTER)
    typist.until("asked: 1")
    typist.until(waits)
    assert b"\x1b" not in typist.raw
    assert typist.leave(CTRL_D) == 0


def test_bytes_that_are_no_text_on_a_dumb_terminal(start: Start) -> None:
    typist = start(TERM="dumb", PYTHONIOENCODING="utf-8:strict")
    typist.until(lambda: typist.last == ">>>")
    os.write(typist.fd, b"caf\xe9" + ENTER.encode())
    typist.until("got: 'caf\ufffd'")
    typist.until(lambda: typist.last == ">>>")


def test_no_answer_of_the_terminal_is_waited_for(start: Start) -> None:
    typist = start()
    typist.screen.write_process_input = lambda text: pytest.fail("the terminal was asked")
    typist.ready()
    typist.send("hello")
    assert typist.leave(CTRL_D) == 0
    assert b"\x1b[6n" not in typist.raw
    assert typist.raw.rstrip().endswith(b"left")
    assert typist.raw.count(b"\x1b[?2004l") == 1  # pastes stayed marked all along
    assert b"\x1b[?2004h" not in typist.raw[typist.raw.index(b"\x1b[?2004l") :]
