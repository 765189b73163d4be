"""Files of which some cannot be read, and pictures that a message only talks about."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fakes import invoke
from support.talk import BACK, Talk

NOTED = "Images are not supported yet: of {}, only the name is sent.\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with two texts, a text with a blank in its name, and two pictures."""
    for name in ("a.txt", "b.txt", "my notes.txt"):
        (tmp_path / name).write_text(f"This is {name}.\n")
    for name in ("pic.png", "cat.jpg", "a shot.png"):
        (tmp_path / name).write_bytes(b"\x89PNG\0")
    monkeypatch.chdir(tmp_path)


def answer(talk: Talk, line: str) -> str:
    return talk.run(line).removeprefix(f">>> {line}\n")


def test_what_can_be_read_is_attached_and_the_others_are_named() -> None:
    talk = Talk()
    assert answer(talk, "/file a.txt nope.txt no.txt pic.png *.md b.txt").split("\n") == [
        "attached: a.txt, 3 tokens of 8192",
        "attached: b.txt, 3 tokens of 8192",
        "nope.txt cannot be read: No such file or directory.",
        "no.txt cannot be read: No such file or directory.",
        "pic.png is an image, and images are not supported yet.",
        "Only text files can be attached.",
        "No file matches *.md.",
        "",
    ]
    assert [one.name for one in talk.chat.attached] == ["a.txt", "b.txt"]


def test_a_message_of_files_is_sent_whole_or_not_at_all() -> None:
    talk = Talk()
    assert answer(talk, "/read a.txt nope.txt no.txt") == (
        "nope.txt cannot be read: No such file or directory. "
        "no.txt cannot be read: No such file or directory.\n"
        "Nothing was sent; /file attaches what can be read.\n"
    )
    assert not talk.chat.attached
    assert not talk.engine.requests


def test_a_file_with_a_blank_in_its_name_needs_no_quotes() -> None:
    assert "attached: my notes.txt, 4 tokens" in Talk().run("/file my notes.txt")


@pytest.mark.parametrize("arguments", [(), ("What is it?",)])
def test_one_answer_is_not_written_without_all_files(arguments: tuple[str, ...]) -> None:
    files = ("-f", "a.txt", "-f", "nope.txt", "-f", "no.txt")
    outcome = invoke("chat", "tiny", *arguments, *files)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr == (
        "gemma-mtp: nope.txt cannot be read: No such file or directory. "
        "no.txt cannot be read: No such file or directory.\n"
    )


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("How do I convert ./pic.png to JPEG", "./pic.png"),
        ("What is in pic.png?", "pic.png"),
        ("Is (pic.png) larger than 'cat.jpg', or not?", "pic.png and cat.jpg"),
        ("Don't open\n'a shot.png'", "a shot.png"),
    ],
)
def test_a_message_about_a_picture_is_sent(message: str, named: str) -> None:
    talk = Talk()
    assert answer(talk, message).startswith(f"{NOTED.format(named)}Hello there.\n")
    assert talk.said[0] == ("user", message)
    outcome = invoke("run", "tiny", message)
    assert (outcome.status, outcome.stdout) == (0, "Hello there.\n")
    assert outcome.stderr == f"gemma-mtp: {NOTED.format(named)}"


def test_a_picture_that_is_not_here_is_talk() -> None:
    assert answer(Talk(), "From in.png to out.jpg, how?").startswith("Hello there.\n")
    assert invoke("run", "tiny", "From in.png to out.jpg, how?").stderr == ""


@pytest.mark.parametrize(
    "message", ["./pic.png", "'a shot.png'", "a shot.png", "a\\ shot.png ", "pic.png cat.jpg"]
)
def test_nothing_but_pictures_is_refused_with_the_way_to_send_it(message: str) -> None:
    talk = Talk()
    shown = answer(talk, message)
    assert " is an image, and images are not supported yet.\n" in shown
    assert shown.endswith(f"\nWith words around it, it is sent as text.\n{BACK}")
    assert not talk.engine.requests
    outcome = invoke("run", "tiny", message)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.endswith("\n  With words around it, it is sent as text.\n")
