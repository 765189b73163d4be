"""The parts of the prompt by themselves: pastes, history, choices, the editor."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import DummyOutput

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.terminal import tty_modes
from gemma_mtp.terminal.keyboard import Keyboard
from gemma_mtp.terminal.prompt import vt100
from gemma_mtp.terminal.prompt.chat_console import ChatConsole
from gemma_mtp.terminal.prompt.editor import command, edited
from gemma_mtp.terminal.prompt.history import MessageHistory, Suggestions
from gemma_mtp.terminal.prompt.pastes import Pastes
from gemma_mtp.terminal.prompt.picker import Choices, pick
from gemma_mtp.terminal.prompt.quotes import is_open
from gemma_mtp.terminal.prompt.session import shown
from gemma_mtp.terminal.type_ahead import TypeAhead

ROOT = Path(__file__).parents[2]


def test_the_command_line_starts_without_prompt_toolkit() -> None:
    script = "import sys, gemma_mtp.chat.start; print('prompt_toolkit' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "False"


# Pastes


def test_a_short_paste_is_typed_out_with_the_line_ends_of_a_text() -> None:
    assert Pastes().pasted("one\r\ntwo\rthree") == "one\ntwo\nthree"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("row\n" * 1203, "[pasted 1,203 lines]"),
        ("row\n" * 10 + "row", "[pasted 11 lines]"),
        ("x" * 5432, "[pasted 5,432 characters]"),
    ],
)
def test_a_long_paste_is_one_character_with_a_label(text: str, label: str) -> None:
    pastes = Pastes()
    line = f"Review {pastes.pasted(text)} now"
    assert len(line) == len("Review x now")
    assert pastes.labelled(line) == f"Review {label} now"
    assert pastes.expanded(line) == f"Review {text} now"


def test_several_pastes_and_a_copy_of_one() -> None:
    pastes = Pastes()
    one, two = pastes.pasted("a\n" * 50), pastes.pasted("b\n" * 60)
    assert pastes.expanded(two + one + one) == "b\n" * 60 + "a\n" * 50 + "a\n" * 50


def test_a_text_with_private_characters_comes_out_as_it_went_in() -> None:
    pastes = Pastes()
    mark = pastes.pasted("secret\n" * 50)
    assert pastes.expanded(pastes.pasted(f"an icon {mark}")) == f"an icon {mark}"
    assert pastes.expanded(pastes.folded(f"an icon {mark}")) == f"an icon {mark}"


def test_a_long_text_to_start_from_shows_its_first_line() -> None:
    pastes = Pastes()
    text = "Review this:\n" + "row\n" * 100
    folded = pastes.folded(text)
    assert pastes.labelled(folded) == "Review this:\n[100 lines]"
    assert pastes.expanded(folded) == text
    assert pastes.folded("a few\nlines") == "a few\nlines"


# Messages


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"""', True),
        ('"""one', True),
        ('"""one\n"""', False),
        ('""""""', False),
        ('"""""', True),
        ('one """', False),
        ("", False),
    ],
)
def test_three_quotes_keep_a_message_open(text: str, expected: bool) -> None:
    assert is_open(text) is expected


def test_what_stays_on_the_screen_does_nothing_to_it() -> None:
    assert shown("a\x1b[2Jb\nc\td") == ">>> a\ufffd[2Jb\n... c\td\n"


# History


def history_of(path: Path | None, pastes: Pastes | None = None) -> MessageHistory:
    """The history as a chat finds it when its first prompt is there."""
    history = MessageHistory(path, pastes or Pastes())

    async def load() -> None:
        async for _ in history.load():
            pass

    asyncio.run(load())
    return history


def test_history_is_kept_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history"
    first = history_of(path)
    first.append_string("one")
    first.append_string("two\nlines")
    first.append_string("two\nlines")
    first.append_string("  ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert history_of(path).get_strings() == ["one", "two\nlines"]


def test_a_history_that_others_could_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("\n# then\n+before\n")
    path.chmod(0o644)
    assert history_of(path).get_strings() == ["before"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_chats_write_one_history(tmp_path: Path) -> None:
    path = tmp_path / "history"
    script = (
        "import sys; from pathlib import Path;"
        "from gemma_mtp.terminal.prompt.history import MessageHistory;"
        "from gemma_mtp.terminal.prompt.pastes import Pastes;"
        "h = MessageHistory(Path(sys.argv[1]), Pastes());"
        "[h.append_string(f'{sys.argv[2]} {i}\\n' + 'long ' * 2000) for i in range(50)]"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name], cwd=ROOT)
        for name in ("left", "right")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    pastes = Pastes()
    found = [pastes.expanded(text) for text in history_of(path, pastes).get_strings()]
    for name in ("left", "right"):
        mine = [text for text in found if text.startswith(name)]
        assert mine == [f"{name} {i}\n" + "long " * 2000 for i in range(50)]
    assert len(found) == 100


def test_pastes_are_whole_in_the_file_and_put_aside_in_memory(tmp_path: Path) -> None:
    path, pastes = tmp_path / "history", Pastes()
    history = history_of(path, pastes)
    line = "Review " + pastes.pasted("row\n" * 100)
    history.append_string(line)
    assert history.get_strings() == [line]
    later = Pastes()
    (again,) = history_of(path, later).get_strings()
    assert later.labelled(again) == "Review row\n[99 lines]"
    assert later.expanded(again) == "Review " + "row\n" * 100


def test_a_huge_line_is_called_up_in_this_chat_only(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history = history_of(path)
    history.append_string("x" * 100_000)
    history.append_string("small")
    assert history.get_strings() == ["x" * 100_000, "small"]
    assert history_of(path).get_strings() == ["small"]


def test_of_a_large_file_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("".join(f"\n# then\n+line {i} {'x' * 400}\n" for i in range(9000)))
    found = history_of(path).get_strings()
    assert 4000 < len(found) <= 5000
    assert found[-1].startswith("line 8999 ")


def test_no_history(tmp_path: Path) -> None:
    history = history_of(tmp_path / "history")
    history.on = False
    history.append_string("secret")
    history.append_string("secret, not sent", stored=False)
    assert history.get_strings() == ["secret", "secret, not sent"], "for this chat alone"
    assert "secret" not in (tmp_path / "history").read_text()


def test_a_folder_that_cannot_be_written_leaves_a_history_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = history_of(tmp_path / "file" / "history")
    history.append_string("one")
    assert history.get_strings() == ["one"]


@pytest.mark.parametrize(
    ("typed", "rest"),
    [
        ("tell", " me a tale"),
        ("te", None),
        ("tell me a tale", None),
        ("long", None),
        ("first", None),
        ("tell\nme", None),
    ],
)
def test_suggestions(typed: str, rest: str | None) -> None:
    history, pastes = history_of(None), Pastes()
    paste = pastes.pasted("row\n" * 20)
    for line in (
        *("tell me a story", "tell me a tale", "long " * 9, "first\nsecond"),
        f"tell {paste}",
    ):
        history.append_string(line)
    found = Suggestions(pastes, columns=30).get_suggestion(Buffer(history=history), Document(typed))
    assert (found and found.text) == rest


# Choices


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("", [0, 1, 2]),
        ("a", [0, 1]),
        ("PLUM", [2]),
        ("tart b", [1]),
        ("2", [1]),
        (" 2", [1]),
        ("7", []),
        ("kiwi", []),
    ],
)
def test_picking_by_what_is_typed(typed: str, found: list[int]) -> None:
    assert Choices(["apple tart", "banana tart", "plum"], [1, 2, 3]).meant(typed) == found


def test_picking_by_numbers_of_their_own() -> None:
    choices = Choices(["rain 30", "sun 7", "snow"], numbers=[30, 7, 1])
    for typed, found in (("1", [2]), ("7", [1]), ("30", [0]), ("sun", [1]), ("3", []), ("2", [])):
        assert choices.meant(typed) == found, typed


@pytest.mark.parametrize(
    "choices", [("no, keep it", "yes, delete it"), ("yes, leave out", "no, stop here")]
)
def test_y_and_n_answer_questions(choices: tuple[str, ...]) -> None:
    for typed in ("y", "yes", "n", "no"):
        (taken,) = Choices(choices, [1, 2]).meant(typed)
        assert choices[taken].startswith(typed)


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("\r", 0),
        ("two\r", 1),
        ("\x1b[B\r", 1),
        ("t\x1b[B\r", 2),
        ("\x1b[A\x1b[A\r", 1),
        ("\t\t\t\r", 0),
        ("kiwi\r\x7f\x7f\x7f\x7f3\r", 2),
        ("\x03", None),
        ("\x04", None),
    ],
)
def test_picking(typed: str, taken: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A choice that does not exist is not taken."""
    monkeypatch.setattr(vt100, "listening_from_now_on", nullcontext)
    with create_pipe_input() as keys:
        keys.send_text(typed)
        asked = pick((keys, DummyOutput()), "Which?", ["one", "two", "three"], [1, 2, 3])
    assert asked == taken


def test_a_question_waits_until_nobody_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the waiting, and the question."""

    def press_ctrl_c() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tty_modes, "wait_for_a_pause", press_ctrl_c)
    with create_pipe_input() as keys:
        assert pick((keys, DummyOutput()), "Which?", ["one", "two"], [1, 2]) is None


# What is typed ahead


@pytest.fixture
def ahead() -> Iterator[tuple[TypeAhead, int]]:
    """What collects, and where to type."""
    keyboard, fingers = os.pipe()
    collector = TypeAhead(Keyboard(keyboard, "utf-8"), lambda text: True)
    collector.start()
    yield collector, fingers
    collector.stop()
    os.close(keyboard)
    os.close(fingers)


def typed(collector: TypeAhead) -> str:
    """What has come, as soon as something has."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with collector.paused():
            if data := collector.take():
                return data
        time.sleep(0.01)
    return ""


def test_a_pause_is_half_a_second_without_a_key(ahead: tuple[TypeAhead, int]) -> None:
    collector, fingers = ahead
    collector.wait_for_a_pause()  # nothing was typed at all
    typed_at = time.monotonic()
    os.write(fingers, b"x")
    assert typed(collector) == "x"
    collector.wait_for_a_pause()
    assert time.monotonic() - typed_at >= 0.5


def test_ctrl_z_while_it_stops(
    ahead: tuple[TypeAhead, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    collector, fingers = ahead
    close = os.close

    def close_and_suspend(file: int) -> None:
        monkeypatch.undo()
        close(file)
        collector.stop()

    monkeypatch.setattr(os, "close", close_and_suspend)
    with collector.paused():
        pass
    os.write(fingers, b"after")
    assert typed(collector) == "after"


def test_a_signal_that_was_not_heard_ends_the_chat_at_the_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tty_modes, "ending_signal", signal.SIGTERM)
    console = ChatConsole(history=None, completions=lambda typed: [], toolbar=list)
    with pytest.raises(SystemExit) as ended:
        console.read()
    assert ended.value.code == 143


# The editor


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An editor that does what its script says, with the file in $1."""
    path = tmp_path / "my editor"
    path.write_text(f'#!/bin/sh\nls -l "$2" > {tmp_path}/seen; echo "$2" > {tmp_path}/name\n')
    path.chmod(0o700)
    monkeypatch.setenv("VISUAL", f"'{path}' --wait")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return path


def append(editor: Path, line: str) -> None:
    editor.write_text(editor.read_text() + line + "\n")


def test_the_editor_changes_a_text(editor: Path) -> None:
    append(editor, 'echo " more" >> "$2"')
    assert edited("one\ntwo") == "one\ntwo more"
    assert (editor.parent / "seen").read_text().startswith("-rw-------")
    name = (editor.parent / "name").read_text().strip()
    assert name.endswith(".md")
    assert not Path(name).exists()


def test_an_editor_that_changes_nothing(editor: Path) -> None:
    assert edited("one\ntwo\n") == "one\ntwo\n"


def test_an_editor_that_fails_says_so_and_leaves_no_file(editor: Path) -> None:
    append(editor, 'echo more >> "$2"; exit 3')
    with pytest.raises(GemmaMtpError, match="ended with status 3"):
        edited("one")
    assert not Path((editor.parent / "name").read_text().strip()).exists()


def test_an_editor_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "/no/such/editor")
    with pytest.raises(GemmaMtpError, match="/no/such/editor does not start"):
        edited("one")


def test_an_editor_with_a_quote_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "")
    monkeypatch.setenv("EDITOR", "vim '")
    with pytest.raises(GemmaMtpError, match=r"There is no closing quotation in EDITOR\.") as error:
        edited("one")
    assert "EDITOR" in error.value.hint


def test_a_text_that_no_file_can_hold_is_edited_all_the_same(editor: Path) -> None:
    assert edited("caf\udce9") == "caf?"


def test_which_editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VISUAL", "code --wait")
    monkeypatch.setenv("EDITOR", "ed")
    assert command() == ["code", "--wait"]
    monkeypatch.delenv("VISUAL")
    assert command() == ["ed"]
    monkeypatch.delenv("EDITOR")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GemmaMtpError, match="no editor"):
        command()
    (tmp_path / "nano").touch(mode=0o700)
    assert command() == [os.path.join(tmp_path, "nano")]


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_a_paste_may_be_split_at_any_byte() -> None:
    data = "\x1b[200~é 雨\rtwo\x1b[201~x".encode()
    for at in range(1, len(data)):
        keys: list[KeyPress] = []
        parser = Vt100Parser(keys.append)
        read, write = os.pipe()
        reader = vt100.TypeAheadReader(Keyboard(read, "utf-8"))
        for piece in (data[:at], data[at:]):
            os.write(write, piece)
            parser.feed(reader.read())
        os.close(write)
        os.close(read)
        assert [(press.key, press.data) for press in keys] == [
            (Keys.BracketedPaste, "é 雨\rtwo"),
            ("x", "x"),
        ]
