"""What comes from the keyboard, and what is shown of it while nothing reads it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from support.window import Window

from gemma_mtp.terminal.keyboard import Keyboard
from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.screen import Screen
from gemma_mtp.terminal.typed import Typed

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX")


@pytest.fixture
def pressed() -> Iterator[tuple[Keyboard, int]]:
    """A keyboard, and where to type."""
    read, write = os.pipe()
    yield Keyboard(read, "utf-8"), write
    os.close(read)
    os.close(write)


def read(pressed: tuple[Keyboard, int], *pieces: bytes) -> list[str]:
    """What is read of what comes in pieces."""
    keyboard, fingers = pressed
    return [text for piece in pieces if os.write(fingers, piece) for text in [keyboard.read()]]


@pytest.mark.parametrize(
    "text", [b"one\rtwo", b"a\tb\nc\n", b"\rx", "é\r\n雨\r\n".encode(), b"def f():\r    return 1\r"]
)
def test_several_lines_at_once_are_a_paste(pressed: tuple[Keyboard, int], text: bytes) -> None:
    assert read(pressed, text) == [f"\x1b[200~{text.decode()}\x1b[201~"]


@pytest.mark.parametrize("text", [b"hi\r", b"\r", b"\n", b"hi", b"\x1b\rx", b"\x04", b"a\rb\x7f"])
def test_keys_are_keys(pressed: tuple[Keyboard, int], text: bytes) -> None:
    assert read(pressed, text) == [text.decode()]


def test_enter_alone_sends_what_came_before(pressed: tuple[Keyboard, int]) -> None:
    assert read(pressed, b"one", b"\r", b"two", b"\r") == ["one", "\r", "two", "\r"]
    assert read(pressed, b"one\r\n") == ["one\r"]


def test_the_pieces_of_a_paste_are_one(pressed: tuple[Keyboard, int]) -> None:
    keyboard, fingers = pressed
    os.write(fingers, b"one\rtwo" + b"x" * 2000)
    timer = threading.Thread(target=os.write, args=(fingers, b"\rlast\r"))
    timer.start()
    timer.join()
    assert keyboard.read() == f"\x1b[200~one\rtwo{'x' * 2000}\rlast\r\x1b[201~"


def test_a_paste_between_marks_is_left_alone(pressed: tuple[Keyboard, int]) -> None:
    pieces = [b"\x1b[200~one\r", b"two\rthree\r\n", b"\x1b[99;9u\x1b[20", b"1~", b"x\ry"]
    expected = [*(piece.decode() for piece in pieces[:-1]), "\x1b[200~x\ry\x1b[201~"]
    assert read(pressed, *pieces) == expected


@pytest.mark.parametrize(
    "report",
    [
        *("\x1b[I", "\x1b[O", "\x1b[<64;10;5M", "\x1b[M !!", "\x1b[97;9u", "\x1b[57414u"),
        *("\x1b[12;5R", "\x1b]11;rgb:0/0/0\x07", "\x1b]11;rgb:0/0/0\x1b\\", "\x1bP1+r\x1b\\"),
    ],
)
def test_reports_and_unknown_keys_write_nothing(pressed: tuple[Keyboard, int], report: str) -> None:
    assert read(pressed, f"a{report}b".encode()) == ["ab"]


@pytest.mark.parametrize("key", ["\x1b[H", "\x1b[1~", "\x1b[7~", "\x1bOH", "\x1b[3~", "\x1b[[A"])
def test_known_keys_come_through(pressed: tuple[Keyboard, int], key: str) -> None:
    assert read(pressed, f"a{key}b".encode()) == [f"a{key}b"]


def typed(*keys: str) -> Typed:
    found = Typed()
    for key in keys:
        found.feed(key)
    return found


@pytest.mark.parametrize(
    ("keys", "shown", "taken"),
    [
        (["how", " are"], "how are", "how are"),
        (["naxt", "\x7f\x7f", "\x08ext"], "next", "next"),
        (["why?", "\r"], "why? ⏎ (queued)", "why?\r"),
        (["why?\r", "half"], "why? ⏎ half", "why?\rhalf"),
        (["why?\r", "\x7f", " not"], "why? not", "why? not"),
        (["why?\rhalf", "\x15"], "", ""),
        (["\x7f", "a"], "a", "a"),
        (["a\x1b\rb\nc"], "a¶b¶c", "a\x1b\rb\nc"),
        (["/fi\t", "\x1b[A", "\x04"], "/fi⇥↑^D", "/fi\t\x1b[A\x04"),
        (["\x1b[200~one\rtwo\x1b[201~?"], "[pasted 2 lines]?", "\x1b[200~one\rtwo\x1b[201~?"),
        (["\x1b[200~one\rtwo\x1b[201~?", "\x7f\x7f"], "", ""),
        (["\x1b[200~word\x1b[201~"], "word", "word"),
        (["a\x1b[200~on", "e\rtwo\x1b[2"], "a", "a\x1b[200~one\rtwo\x1b[2"),
        (["a\x1b[200~on", "e\rtwo\x1b[2", "01~"], "a[pasted 2 lines]", None),
        (["a\x1b", "[A"], "a↑", "a\x1b[A"),
        (["👩\u200d🚒"], "👩\u200d🚒", "👩\u200d🚒"),
    ],
)
def test_what_is_typed_is_shown_and_taken(keys: list[str], shown: str, taken: str | None) -> None:
    found = typed(*keys)
    assert found.shown == shown
    assert taken is None or found.take() == taken
    assert taken is None or found.take() == ""


# On the screen


def written(screen: Screen, text: str) -> None:
    screen.put([Piece(text)])


@pytest.mark.parametrize("columns", [100, 60, 40, 20])
def test_it_stays_below_a_reply_that_grows(columns: int) -> None:
    window = Window(columns)
    screen = window.screen()
    words = " ".join(f"w{i:02}" for i in range(60))
    typed = "and then " * 9
    for at in range(0, len(words), 3):
        written(screen, words[at : at + 3])
        assert screen.typed(typed[:at])
        if at and len(words[: at + 3]) % columns:
            shown = window.rows[-1].removeprefix(">>> ").removeprefix("…")
            assert typed[:at].rstrip().endswith(shown)
            assert len(shown) >= min(len(typed[:at]), columns - 6) - 1
    screen.typed("")
    assert "".join(row.ljust(columns) for row in window.rows).rstrip() == words


def test_the_transient_line_stands_behind_it_where_there_is_room() -> None:
    window = Window(40)
    screen = window.screen()
    written(screen, "Hello")
    screen.transient("43 tok/s")
    screen.typed("why?")
    assert window.rows == ["Hello", ">>> why?  43 tok/s"]
    screen.typed("why is the sky blue in the evening?")
    assert window.rows == ["Hello", ">>> why is the sky blue in the evening?"]
    screen.typed("why is the sky blue in the evening, too?")
    assert window.rows == ["Hello", ">>> … the sky blue in the evening, too?"]
    screen.typed("")
    assert window.rows == ["Hello", "43 tok/s"]


def test_who_draws_is_not_disturbed() -> None:
    window = Window(40)
    screen = window.screen()
    answers: list[bool] = []
    write = window.write

    def interrupted(text: str) -> int:
        window.write = write  # type: ignore[method-assign]
        answers.append(screen.typed("key"))
        return write(text)

    window.write = interrupted  # type: ignore[method-assign]
    written(screen, "Hello")
    assert answers == [False]
    assert window.rows == ["Hello"]
    assert screen.typed("key")
    assert window.rows == ["Hello", ">>> key"]
