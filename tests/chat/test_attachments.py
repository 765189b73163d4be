"""Files of which some cannot be read, and pictures in messages that name them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.drawn import png
from support.fakes import invoke
from support.talk import BACK, Talk

NOTED = "Of {} only the name is sent: --image FILE shows a picture to the model.\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with two texts, a text with a blank in its name, and two pictures."""
    for name in ("a.txt", "b.txt", "my notes.txt"):
        (tmp_path / name).write_text(f"This is {name}.\n")
    for name in ("pic.png", "cat.jpg", "a shot.png"):
        (tmp_path / name).write_bytes(png(640, 480))
    (tmp_path / "my pictures").mkdir()
    (tmp_path / "my pictures" / "it's mine.png").write_bytes(png(640, 480))
    monkeypatch.chdir(tmp_path)


def answer(talk: Talk, line: str) -> str:
    return talk.run(line).removeprefix(f">>> {line}\n")


def test_what_can_be_read_is_attached_and_the_others_are_named() -> None:
    talk = Talk()
    assert answer(talk, "/file a.txt nope.txt no.txt pic.png *.md b.txt").split("\n") == [
        "attached: [picture pic.png 640x480], 100 tokens of 8192",
        "attached: a.txt, 3 tokens of 8192",
        "attached: b.txt, 3 tokens of 8192",
        "nope.txt cannot be read: No such file or directory.",
        "no.txt cannot be read: No such file or directory.",
        "No file matches *.md.",
        "",
    ]
    assert [one.name for one in talk.chat.attached] == ["pic.png", "a.txt", "b.txt"]


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
        ("How do I convert ./pic.png to JPEG", ["./pic.png"]),
        ("What is in pic.png?", ["pic.png"]),
        ("Is (pic.png) larger than 'cat.jpg', or not?", ["pic.png", "cat.jpg"]),
        ("Don't open\n'a shot.png'", ["a shot.png"]),
        ("Is that a shot.png, or (cat.jpg)?", ["a shot.png", "cat.jpg"]),
        ("What is in ./my pictures/it's mine.png?", ["./my pictures/it's mine.png"]),
    ],
)
def test_the_pictures_that_a_message_names_are_shown(message: str, named: list[str]) -> None:
    talk = Talk()
    chips = [f"attached: [picture {Path(n).name} 640x480], 100 tokens of 8192\n" for n in named[:1]]
    assert answer(talk, message).startswith("".join(chips))
    sent = talk.engine.requests[0].messages[-1]
    assert sent.content == message
    assert len(sent.images) == 1  # all are the same file
    assert not talk.chat.attached
    outcome = invoke("run", "tiny", message)
    assert (outcome.status, outcome.stdout) == (0, "Hello there.\n")
    assert outcome.stderr == f"gemma-mtp: {NOTED.format(' and '.join(named))}"


def test_a_picture_that_is_not_here_is_talk() -> None:
    assert answer(Talk(), "From in.png to out.jpg, how?").startswith("Hello there.\n")
    assert invoke("run", "tiny", "From in.png to out.jpg, how?").stderr == ""


@pytest.mark.parametrize(
    "message", ["./pic.png", "'a shot.png'", "a shot.png", "a\\ shot.png ", "pic.png cat.jpg"]
)
def test_nothing_but_pictures_is_shown_in_a_chat_and_needs_a_flag_elsewhere(message: str) -> None:
    talk = Talk()
    assert "attached: [picture " in answer(talk, message)
    [sent] = talk.engine.requests[0].messages
    assert [part.type for part in sent.parts] == ["image"]
    outcome = invoke("run", "tiny", message)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert " is a picture.\n  --image " in outcome.stderr


def test_nothing_but_a_picture_that_is_not_here_comes_back() -> None:
    talk = Talk()
    assert answer(talk, "nope.png") == (
        f"nope.png cannot be read: No such file or directory.\n{BACK}"
    )
    assert not talk.engine.requests
