"""Pictures in a chat: attached, sent, taken back, sent again, saved, and without an encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.drawn import png, webp
from support.fakes import Script
from support.talk import BACK, Talk

from gemma_mtp.api import Image, Message, Text, Turn
from gemma_mtp.chat.verbs.files import _paths_and_text
from gemma_mtp.conversations.attachments import message_of, shown
from gemma_mtp.conversations.conversation import unanswered

CAT = "[picture cat.png 640x480]"
ATTACHED = f"attached: {CAT}, 100 tokens of 8192\n"
DATA = png(640, 480)
PICTURE = Image(DATA, "image/png", "cat.png")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat.png").write_bytes(DATA)
    (tmp_path / "a dog.png").write_bytes(png(3, 4))
    (tmp_path / "old.webp").write_bytes(webp())
    (tmp_path / "notes.md").write_text("Some notes.\n")
    monkeypatch.chdir(tmp_path)


def answer(talk: Talk, line: str) -> str:
    return talk.run(line).removeprefix(f">>> {line}\n")


def sent(talk: Talk) -> Message:
    return talk.engine.requests[-1].messages[-1]


def test_a_picture_goes_along_with_the_next_message() -> None:
    talk = Talk()
    assert answer(talk, "/image cat.png") == ATTACHED
    answer(talk, "What is this?")
    assert sent(talk) == Message("user", (PICTURE, Text("What is this?")))
    answer(talk, "And now?")
    assert sent(talk).parts == (Text("And now?"),)


def test_with_a_text_it_is_sent_at_once_behind_files() -> None:
    talk = Talk()
    answer(talk, "/file notes.md")
    shown = answer(talk, "/image cat.png 'a dog.png' What's \"this\"?")
    assert shown.startswith(f"{ATTACHED}attached: [picture a dog.png 3x4], 100 tokens of 8192\n")
    assert [part.type for part in sent(talk).parts] == ["image", "image", "text"]
    assert sent(talk).content.endswith('</file>\n\nWhat\'s "this"?')


@pytest.mark.parametrize(
    ("typed", "paths", "text"),
    [
        ("cat.png", ["cat.png"], ""),
        ("a dog.png", ["a dog.png"], ""),
        ("a\\ dog.png what?", ["a dog.png"], "what?"),
        ('"a dog.png" cat.png  don\'t  know', ["a dog.png", "cat.png"], "don't  know"),
        ("picture what?", ["picture"], "what?"),
        ("a dog.png what is this?", ["a dog.png"], "what is this?"),
        ("cat.png a\\ dog.png what?", ["cat.png", "a dog.png"], "what?"),
        ('"a dog.png', ["a dog.png"], ""),
        ("C:\\me\\cat.png what?", ["C:\\me\\cat.png"], "what?"),
    ],
)
def test_paths_come_before_the_text(typed: str, paths: list[str], text: str) -> None:
    assert _paths_and_text(typed) == (paths, text)


def test_what_is_attached_is_listed_and_taken_away() -> None:
    talk = Talk()
    answer(talk, "/image cat.png")
    assert answer(talk, "/image cat.png") == f"{CAT} is attached already.\n"
    assert answer(talk, "/image") == f"{CAT}, 100 tokens of 8192\n"
    assert answer(talk, "/image none") == "Nothing is attached.\n"
    answer(talk, "Hello?")
    assert not sent(talk).images


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/image nope.png", "nope.png cannot be read: No such file or directory.\n"),
        ("C:\\me\\a.png", "C:\\me\\a.png is a path of Windows.\nIn WSL, C: is /mnt/c.\n"),
        ("/image C:\\me\\a.png", "C:\\me\\a.png is a path of Windows.\nIn WSL, C: is /mnt/c.\n"),
        ("/image notes.md", "notes.md is no picture that can be read here.\nPNG, JPEG, GIF"),
        ("/image old.webp What?", "old.webp is a WebP picture, which cannot be read here.\n"),
    ],
)
def test_what_cannot_be_read_is_named(line: str, said: str) -> None:
    talk = Talk()
    assert answer(talk, line).startswith(said)
    assert not talk.engine.requests
    assert not talk.chat.attached


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("What is in ./no.png?", "./no.png"),
        ('Look at "/tmp/my shots/a.JPG", and at ~/b.heic.', "/tmp/my shots/a.JPG and ~/b.heic"),
        ("C:\\Users\\me\\cat.png what?", "C:\\Users\\me\\cat.png"),
        ("https://example.org/cat.png what?", "https://example.org/cat.png"),
    ],
)
def test_a_path_that_leads_to_no_picture_is_told(line: str, named: str) -> None:
    talk = Talk()
    assert answer(talk, line).startswith(
        f"Of {named} only the name is sent: it is no file on this machine.\n"
    )
    assert sent(talk).parts == (Text(line),)


@pytest.mark.parametrize("line", ["From in.png to out.jpg?", '"""a\nlogo = img/logo.png"""'])
def test_names_and_code_are_talk(line: str) -> None:
    assert answer(Talk(), line).startswith("Hello there.\n")


def test_desktops_write_addresses_of_files() -> None:
    talk = Talk()
    for path in (Path("a dog.png").absolute(), Path("cat.png").absolute()):
        assert answer(talk, path.as_uri()).startswith(f"attached: [picture {path.name} ")
    assert answer(talk, f"/image {path.as_uri()} What?").startswith(ATTACHED)
    assert answer(talk, f"What is in {path.as_uri()}?").startswith(ATTACHED)
    assert answer(talk, "/image https://example.org/cat.png") == (
        "https://example.org/cat.png is an address, not a file.\nDownload it first.\n"
    )


def test_of_several_those_that_can_be_read_are_attached_and_a_question_needs_all() -> None:
    talk = Talk()
    shown = answer(talk, "/image cat.png old.webp")
    assert shown.startswith(f"{ATTACHED}old.webp is a WebP picture")
    assert talk.chat.attached == [PICTURE]
    answer(talk, "/image none")
    assert answer(talk, "/image cat.png nope.png What?").startswith("nope.png cannot be read")
    assert not talk.chat.attached
    assert not talk.engine.requests


def test_what_is_attached_is_listed_without_an_encoder_too() -> None:
    talk = Talk()
    answer(talk, "/image cat.png")
    talk.engine.images = False
    answer(talk, "/model tiny")
    assert answer(talk, "/image") == f"{CAT}\n"


def test_an_empty_line_says_what_becomes_of_the_picture() -> None:
    talk = Talk()
    assert answer(talk, "") == ""
    answer(talk, "/image cat.png")
    assert "goes along with the next message" in answer(talk, "")
    assert not talk.engine.requests


def test_a_model_that_cannot_read_what_was_shown_says_so_at_once() -> None:
    talk = Talk()
    answer(talk, "/image cat.png What is this?")
    assert "There are pictures" not in answer(talk, "/model tiny")
    talk.engine.images = False
    said = "There are pictures in this conversation, and tiny has no image encoder here. /model"
    assert said in answer(talk, "/model tiny")


def test_a_message_that_names_what_cannot_be_read_is_sent_without_it() -> None:
    talk = Talk()
    assert answer(talk, "Convert old.webp").startswith(
        "Of old.webp only the name is sent: old.webp is a WebP picture, which cannot be read here."
    )
    assert sent(talk).parts == (Text("Convert old.webp"),)


def without_encoder() -> Talk:
    talk = Talk()
    talk.engine.images = False
    return talk


def test_without_an_encoder_one_sentence_says_so() -> None:
    talk = without_encoder()
    said = "tiny has no image encoder here, so it cannot read pictures."
    for line in ("/image cat.png", "/image cat.png What?", "/file cat.png"):
        assert answer(talk, line).startswith(f"{said}\n")
    assert answer(talk, "cat.png").startswith(f"{said}\n")
    assert answer(talk, "cat.png").endswith(BACK)
    assert not talk.engine.requests
    assert answer(talk, "What is in cat.png?").startswith(
        f"Of cat.png only the name is sent: {said}"
    )
    assert sent(talk).parts == (Text("What is in cat.png?"),)


def test_taken_back_it_stays_attached() -> None:
    talk = Talk()
    answer(talk, "/image cat.png What is this?")
    assert answer(talk, "/undo") == (
        f'Taken back: "{CAT} What is this?" and its reply.\n'
        f"Attached to the next message: {CAT}; /image none takes that away.\n"
        "The conversation is empty now, and /chats does not list it.\n"
    )
    answer(talk, "What is that?")
    assert sent(talk) == Message("user", (PICTURE, Text("What is that?")))


def test_a_changed_message_keeps_it() -> None:
    talk = Talk()
    answer(talk, "/image cat.png What is this?")
    talk.console.edited = "What animal?"
    assert f">>> {CAT}\n... What animal?\n" in answer(talk, "/edit")
    assert sent(talk) == Message("user", (PICTURE, Text("What animal?")))


def test_another_reply_is_written_to_it() -> None:
    talk = Talk()
    answer(talk, "/image cat.png What is this?")
    answer(talk, "/regen")
    assert sent(talk).images == (PICTURE,)


def test_a_message_that_gets_no_word_keeps_what_was_attached() -> None:
    talk = Talk(Script(error="Broken."))
    answer(talk, "/image cat.png")
    answer(talk, "What is this?")
    assert [one for one in talk.chat.attached if isinstance(one, Image)] == [PICTURE]


def test_it_is_saved_shown_again_and_exported(tmp_path: Path) -> None:
    talk = Talk()
    answer(talk, "/image cat.png")
    answer(talk, "What is this?")
    saved = talk.chat.record.archive.read(talk.chat.record.id or 0)
    assert saved.turns[0].user == Message("user", (PICTURE, Text("What is this?")))
    assert saved.title == "What is this?"
    answer(talk, "/export md out.md")
    assert r"> *\[picture cat.png 640x480\]*" in (tmp_path / "out.md").read_text()
    answer(talk, "/export json out.json")
    exported = json.loads((tmp_path / "out.json").read_text())
    assert exported["turns"][0]["parts"][0]["media_type"] == "image/png"
    answer(talk, "/clear")
    assert f">>> {CAT}\n... What is this?\n" in answer(talk, f"/resume {saved.id}")
    answer(talk, "And?")
    assert [len(m.images) for m in talk.engine.requests[-1].messages] == [1, 0, 0]


def test_a_picture_alone_has_a_title() -> None:
    talk = Talk()
    answer(talk, "cat.png")
    assert talk.chat.record.archive.list("")[0].title == CAT


def test_a_message_that_got_no_word_brings_it_back() -> None:
    message = message_of([PICTURE], "What?")
    assert unanswered((Turn(message),)) == ((), message)
    assert shown(message) == f"{CAT}\nWhat?"
