"""Replies as a terminal shows them: rendered while they stream, with nothing left behind."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.fakes import tokens
from support.terminal import Terminal
from support.window import Window
from test_markdown import EVERYTHING, shown

from gemma_mtp.api import End, Message, Progress, Stats, TextDelta, Turn
from gemma_mtp.settings import View
from gemma_mtp.terminal.earlier import show_earlier
from gemma_mtp.terminal.render import Printer
from gemma_mtp.terminal.screen import fit
from gemma_mtp.terminal.tables import Table, show

Open = Callable[..., Terminal]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.06  # so that every other status line is drawn
        return self.now


STATS = Stats(decoded=10, decode_seconds=0.1, context_used=9, context_size=99)


def written(
    window: Window, text: list[str], thought: str = "", view: View | None = None, **env: str
) -> Printer:
    """A reply of these pieces, with a status line below it all the time."""
    printer = Printer(window.screen(**env), view=view, clock=Clock())
    printer.begin()
    for number, piece in enumerate([*tokens(thought), *text]):
        printer.show(TextDelta(piece, number % 2 == 1, number < len(tokens(thought))))
        printer.show(Progress(STATS))
    printer.finish()
    return printer


def expected(text: str, width: int) -> list[str]:
    """What an emulator shows of the rendered text alone."""
    window = Window(width)
    window.write(shown(text, width) + "\n")
    return window.rows


@pytest.mark.parametrize("width", [40, 80])
def test_status_and_unfinished_words_leave_nothing_behind(width: int) -> None:
    rng = random.Random(width)
    wanted = expected(EVERYTHING, width)
    for _ in range(4):
        cuts = sorted({0, len(EVERYTHING), *rng.sample(range(len(EVERYTHING)), 150)})
        pieces = [EVERYTHING[a:b] for a, b in pairwise(cuts)]
        window = Window(width, rows=12)
        written(window, pieces)
        assert window.rows == wanted


def test_a_table_that_is_higher_than_the_window() -> None:
    text = "Here:\n\n| n | square |\n|--:|--:|\n"
    text += "".join(f"| {n} | {n * n} |\n" for n in range(40)) + "\nDone."
    window = Window(40, rows=10)
    written(window, tokens(text))
    assert window.rows == expected(text, 40)


def test_a_window_that_gets_wider_while_a_table_grows() -> None:
    text = "| name | what it is |\n|---|---|\n| rain | water that falls |\n| sun | a star |\n"
    window = Window(40)
    printer = Printer(window.screen(), clock=Clock())
    printer.begin()
    printer.show(TextDelta(text))
    window.resize(60)
    printer.show(TextDelta("| moon | round |\n\nDone."))
    printer.finish()
    assert window.rows == expected(text + "| moon | round |\n\nDone.", 40)


def test_a_word_shows_before_it_is_complete() -> None:
    window = Window(40)
    printer = Printer(window.screen())
    printer.begin()
    seen = []
    for piece in ("Some **bo", "ld** te", "xt"):
        printer.show(TextDelta(piece))
        seen.append(window.rows[0])
    assert seen == ["Some bo", "Some bold te", "Some bold text"]
    assert window.styles["bold"] == "default bold"


def test_a_table_grows_while_it_is_read() -> None:
    window = Window(60)
    printer = Printer(window.screen(), clock=Clock())
    printer.begin()
    for piece in ("| a | b |\n|---|---|\n| c", " | d |\n| e", " | f"):
        printer.show(TextDelta(piece))
        for _ in range(3):
            printer.show(Progress(STATS))
    assert window.rows[:4] == ["a │ b", "──┼──", "c │ d", "| e | f"]
    assert window.rows[4].startswith(" 100 tok/s")
    drawn = len(window.getvalue())
    printer.show(TextDelta(" "))
    assert "│" not in window.getvalue()[drawn:]  # the rows above stay as they are
    printer.finish()
    assert window.rows == ["a │ b", "──┼──", "c │ d", "e │ f"]


def test_highlight() -> None:
    window = Window(60)
    written(window, ["one", " **two", " three** four"], view=View(highlight=True))
    assert window.styles == {
        "one": "default",
        "two": "green bold underscore",
        "three": "default bold",
        "four": "default",
    }
    window = Window(60)
    written(window, ["one", " two"], view=View(highlight=True, markdown=False), NO_COLOR="1")
    assert window.styles["two"] == "default underscore"


def test_markdown_off_and_dumb_terminals_show_the_text_itself() -> None:
    text = "# A **title**\n\n- item\n"
    for settings in ({"view": View(markdown=False)}, {"TERM": "dumb"}):
        window = Window(60)
        written(window, [text], **settings)  # type: ignore[arg-type]
        assert window.rows == ["# A **title**", "", "- item"]


@pytest.mark.parametrize("settings", [{"view": View(markdown=False)}, {"TERM": "dumb"}])
def test_the_text_itself_is_broken_between_words_too(settings: dict[str, object]) -> None:
    text = "- the quick brown fox\n    jumps over the lazy dog\n\nand sleeps."
    for pieces in (tokens(text), list(text), [text]):
        window = Window(20)
        written(window, pieces, **settings)  # type: ignore[arg-type]
        assert window.rows == [
            "- the quick brown",
            "fox",
            "    jumps over the",
            "    lazy dog",
            "",
            "and sleeps.",
        ]


@pytest.mark.parametrize("width", [40, 80])
def test_the_line_of_figures_fits_a_dumb_terminal(width: int) -> None:
    window = Window(width)
    stats = replace(STATS, rounds=40, decoded=80, drafted=120, accepted=6, speedup_basis="measured")
    stats = replace(stats, plain_seconds=1.42, compared_seconds=1.0)
    printer = Printer(window.screen(TERM="dumb"))
    printer.summary(End("length", Message.text("assistant", "x"), "", (), 1, stats))
    printer.line("word " * 30)
    assert "1.42x plain (measured)" in window.rows[0]
    assert window.rows[1].startswith("word word")
    assert max(map(len, window.rows)) <= width


def test_without_colours_marks_tell_code_from_text() -> None:
    window = Window(60)
    written(window, tokens("**Use** `ls -l` now\n```sh\nls # all\n```"), NO_COLOR="1")
    assert window.rows == ["Use `ls -l` now", "```sh", "ls # all", "```"]
    assert not re.search(r"\x1b\[[\d;]*3\dm", window.getvalue())


def test_without_colours_bold_stays_and_dim_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR is about colours. In the replies and in the tables of the commands alike."""
    window = Window(60)
    printer = written(window, tokens("# Title\n\n**bold** [link](there)\n"), NO_COLOR="1")
    printer.line("a note", dim=True)
    assert "bold" in window.styles["Title"]
    assert window.styles["bold"] == "default bold"
    monkeypatch.setattr(sys, "stdout", table := Window(60))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    show(Table(("name",), [("tiny",)], dim=(0,)))
    assert table.styles["name"] == "default bold"
    assert not re.search(r"\x1b\[(2|[\d;]*[349]\d)[;m]", window.getvalue() + table.getvalue())


def test_lines_are_not_broken_without_wrap() -> None:
    window = Window(20)
    written(window, ["one two three ", "four five six"], view=View(wrap=False))
    assert window.rows == ["one two three four f", "ive six"]


def test_thoughts_shown_folded_and_hidden() -> None:
    def seen(thoughts: str) -> list[str]:
        window = Window(60)
        view = View(thoughts=thoughts)  # type: ignore[arg-type]
        written(window, ["Yes."], "Let me **see**.", view)
        return window.rows

    assert seen("show") == ["thinking: Let me see.", "", "Yes."]
    folded = seen("fold")
    assert folded[0].startswith("thought for 0.")
    assert folded[0].endswith(" s, 3 tokens")
    assert folded[1:] == ["", "Yes."]
    assert seen("hide") == ["Yes."]


def test_a_hidden_thought_is_seen_in_the_status() -> None:
    window = Window(60)
    printer = Printer(window.screen(), view=View(thoughts="fold"), clock=Clock())
    printer.begin()
    printer.show(TextDelta("Hm", thought=True))
    for _ in range(3):
        printer.show(Progress(STATS))
    assert window.rows[0].startswith(" thinking, 1 token · 100 tok/s")


def test_another_width_while_something_is_shown_below() -> None:
    window = Window(60)
    screen = window.screen()
    below = "0123456789" * 5
    screen.write("one two")
    screen.transient(below)
    window.resize(40)
    screen.write(" three")
    assert window.rows == ["one two three", below[:39]]
    window.resize(70)
    screen.write(" four")
    assert window.rows == ["one two three four", below]
    screen.transient("")
    assert window.rows == ["one two three four"]


@pytest.mark.parametrize("wrap", [True, False])
@pytest.mark.parametrize("widths", [(60, 40, 70), (40, 70, 70)])
def test_another_width_during_a_reply(widths: tuple[int, ...], wrap: bool) -> None:
    """The emulator cuts rows and never joins them, so it gets narrower while there is a short one
    only."""
    words = [f"word{i}" for i in range(100, 200)]
    text = " ".join(words) if wrap else "".join(words)
    pieces = tokens(text) if wrap else [*text]
    first, second = (4, 50) if wrap else (30, 400)
    window = Window(widths[0], rows=8)
    printer = Printer(window.screen(), view=View(wrap=wrap), clock=Clock())
    printer.begin()
    for width, part in zip(
        widths, (pieces[:first], pieces[first:second], pieces[second:]), strict=True
    ):
        window.resize(width)
        for piece in part:
            printer.show(TextDelta(piece))
            assert sum("ctx" in row or "tok/s" in row for row in window.rows) <= 1
            printer.show(Progress(LONG_STATS))
        assert window.rows[-1] == fit(STATUS, width - 1)
    printer.finish()
    assert (" " if wrap else "").join(window.rows) == text


STATUS = [(9, " 100 tok/s"), (8, "2.0x plain"), (6, "67 % of drafts accepted"), (5, "ctx 9/99")]
LONG_STATS = replace(
    STATS,
    decoded=100,
    decode_seconds=1.0,
    drafted=150,
    accepted=100,
    rounds=50,
    plain_seconds=2.0,
    compared_seconds=1.0,
    speedup_basis="measured",
)


def test_a_conversation_is_shown_again() -> None:
    window = Window(60, rows=40)
    turns = [
        Turn(
            Message.text("user", f"question {i}"),
            (Message.text("assistant", f"**a{i}**"),),
            reason="stop",
        )
        for i in range(7)
    ]
    turns[-1] = Turn(
        Message.text("user", "last"), (Message.text("assistant", "so"),), "Let me see.", reason=None
    )
    show_earlier(Printer(window.screen()), turns)
    assert window.rows[:3] == ["2 earlier messages above", ">>> question 2", "a2"]
    assert window.rows[-4:] == [">>> last", "thought, 3 words", "so", "not complete"]
    assert window.styles["a6" if "a6" in window.styles else "a5"] == "default bold"


def test_a_long_message_is_shown_again_in_part() -> None:
    window = Window(60, rows=40)
    text = "\n".join(f"line {i}" for i in range(100))
    show_earlier(Printer(window.screen()), [Turn(Message.text("user", text))])
    assert window.rows[-1] == "... (89 more lines)"
    assert len(window.rows) == 12


def test_control_characters_do_nothing() -> None:
    window = Window(60)
    written(window, ["a\x1b[2Jb `c\x07`\n```\n\x1b[5mx\n```\n| \x1b[1m |\n|-|\n"])
    assert "\x1b[2J" not in window.getvalue()
    assert "\x1b[5m" not in window.getvalue()
    assert "\x07" not in window.getvalue()


def test_markdown_in_the_chat(open_terminal: Open) -> None:
    text = "Some **bold** text.\n\n1. one\n2. two `code`\n"
    chat = open_terminal("chat", "e2b", script={"scripts": [{"text": text, "delay": 0.02}]})
    chat.say("hi")
    chat.until(" tok/s")
    chat.prompt()
    start = chat.lines.index(">>> hi")
    assert chat.lines[start + 1 : start + 5] == ["Some bold text.", "", "1. one", "2. two code"]
    assert b"\x1b[36mcode" in chat.raw


@pytest.mark.parametrize("width", [40, 80])
def test_loading_shows_a_bar_where_there_is_room_and_leaves_nothing_behind(width: int) -> None:
    bar = "━" * 10 + "╺" + "━" * 9 + " " if width > 60 else ""
    window = Window(width)
    now = 0.0
    printer = Printer(window.screen(), clock=lambda: now)
    printer.begin()
    printer.loading(0.1)
    assert window.rows == []  # what is over soon would only flicker
    now = 1.0
    printer.loading(0.5)
    assert window.rows == [f"{bar}loading 50 %"]
    if bar:
        cells = window.emulator.buffer[0]
        assert [x for x in range(20) if cells[x].fg == "green"] == list(range(10))
    printer.loading(1.5)
    more = " · once · at most 30 s" if bar else ""
    assert window.rows == [f"{bar}trying what is fastest on this GPU{more}"]
    printer.finish()
    assert window.rows == []


def test_run_on_a_terminal_shows_a_reply_as_a_chat_does(open_terminal: Open) -> None:
    script = {"scripts": [{"text": "Words that **go** beyond the edge of a window."}]}
    for flags, rows in (
        ((), ["Words that go beyond", "the edge of a window."]),
        (("--no-markdown",), ["Words that **go**", "beyond the edge of a", "window."]),
        (
            ("--no-markdown", "--no-wordwrap"),
            ["Words that **go** beyo", "nd the edge of a windo", "w."],
        ),
    ):
        shown = open_terminal("run", "tiny", "hi", *flags, columns=22, script=script)
        shown.leave()
        assert [row for row in shown.lines if row][-len(rows) :] == rows
