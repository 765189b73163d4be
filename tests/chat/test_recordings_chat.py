"""Recordings in a chat, beside pictures and without an encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.drawn import png
from support.sounds import flac, mp3, wav
from support.talk import BACK, Talk

from gemma_mtp.api import Audio, Image, Message, Text
from gemma_mtp.terminal.prompt.completion import paths

DATA = wav(12.3)
MEMO = "[recording memo.wav 0:12]"
ATTACHED = f"attached: {MEMO}, 100 tokens of 8192\n"
RECORDING = Audio(DATA, "audio/wav", "memo.wav")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memo.wav").write_bytes(DATA)
    (tmp_path / "a song.mp3").write_bytes(mp3(75))
    (tmp_path / "short.flac").write_bytes(flac(0.4))
    (tmp_path / "cat.png").write_bytes(png(640, 480))
    (tmp_path / "old.m4a").write_bytes(b"\0\0\0\x18ftypM4A " + bytes(40))
    monkeypatch.chdir(tmp_path)


def answer(talk: Talk, line: str) -> str:
    return talk.run(line).removeprefix(f">>> {line}\n")


def sent(talk: Talk) -> Message:
    return talk.engine.requests[-1].messages[-1]


def test_it_goes_along_behind_the_text_and_pictures_before_it() -> None:
    talk = Talk()
    assert answer(talk, "/audio memo.wav") == ATTACHED
    answer(talk, "/image cat.png")
    answer(talk, "What is this?")
    cat = Image(png(640, 480), "image/png", "cat.png")
    assert sent(talk) == Message("user", (cat, Text("What is this?"), RECORDING))


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("/audio memo.wav What is said?", MEMO),
        ("/audio a song.mp3 What is said?", "[recording a song.mp3 1:15]"),
        ("/audio short.flac What is said?", "[recording short.flac 0:01]"),
        ("/file memo.wav", MEMO),
        ("'a song.mp3'", "[recording a song.mp3 1:15]"),
        ("memo.wav cat.png", f"{MEMO}, 100 tokens of 8192\nattached: [picture cat.png 640x480]"),
        ("What is said in ./memo.wav?", MEMO),
        ("/add memo.wav", MEMO),
    ],
)
def test_ways_to_attach_one(line: str, shown: str) -> None:
    assert answer(Talk(), line).startswith(f"attached: {shown}, 100 tokens of 8192\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/audio nope.wav", "nope.wav cannot be read: No such file or directory.\n"),
        ("/audio cat.png", "cat.png is a picture, not a recording.\n/image FILE shows it"),
        ("/image memo.wav", "memo.wav is a recording, not a picture.\n/audio FILE plays it"),
        (
            "/audio old.m4a",
            "old.m4a is an M4A recording (AAC), which cannot be read here.\nWAV, MP3",
        ),
        ("/read memo.wav", "memo.wav is a recording.\nNothing was sent; /file attaches"),
        ("/audio -", "- names no file.\n"),
    ],
)
def test_what_cannot_be_heard_is_named(line: str, said: str) -> None:
    talk = Talk()
    assert answer(talk, line).startswith(said)
    assert not talk.engine.requests
    assert not talk.chat.attached


def test_without_an_encoder_nothing_is_lost() -> None:
    talk = Talk()
    talk.engine.audio = False
    said = "tiny has no audio encoder here, so it cannot hear recordings."
    for line in ("/audio memo.wav", "/audio memo.wav What?", "/file memo.wav"):
        assert answer(talk, line).startswith(f"{said}\n")
    assert answer(talk, "memo.wav").startswith(f"{said}\n")
    assert answer(talk, "memo.wav").endswith(BACK)
    assert not talk.engine.requests
    assert answer(talk, "/image cat.png").startswith("attached: [picture cat.png")


def test_a_model_that_cannot_hear_what_was_played_says_so_at_once() -> None:
    talk = Talk()
    answer(talk, "/audio memo.wav What is said?")
    talk.engine.audio = False
    said = "There are recordings in this conversation, and tiny has no audio encoder here. /model"
    assert said in answer(talk, "/model tiny")
    talk.engine.audio = True
    answer(talk, "/new")
    answer(talk, "/audio memo.wav")
    talk.engine.audio = False
    said = (
        "tiny has no audio encoder here, so it cannot hear recordings. /audio none takes away what"
    )
    assert said in answer(talk, "/model tiny")


def test_taken_back_and_sent_again_and_changed() -> None:
    talk = Talk()
    answer(talk, "/audio memo.wav What is said?")
    answer(talk, "/regen")
    assert sent(talk).audio == (RECORDING,)
    talk.console.edited = "Who speaks?"
    assert f">>> {MEMO}\n... Who speaks?\n" in answer(talk, "/edit")
    assert sent(talk) == Message("user", (Text("Who speaks?"), RECORDING))
    assert f"Attached to the next message: {MEMO}; /audio none takes that away." in (
        answer(talk, "/undo")
    )
    answer(talk, "Write it down.")
    assert sent(talk) == Message("user", (Text("Write it down."), RECORDING))


def test_it_is_saved_shown_again_and_exported(tmp_path: Path) -> None:
    talk = Talk()
    answer(talk, "/audio memo.wav What is said?")
    saved = talk.chat.record.archive.read(talk.chat.record.id or 0)
    assert saved.turns[0].user == Message("user", (Text("What is said?"), RECORDING))
    assert saved.title == "What is said?"
    answer(talk, "/export md out.md")
    assert r"> *\[recording memo.wav 0:12\]*" in (tmp_path / "out.md").read_text()
    answer(talk, "/export json out.json")
    part = json.loads((tmp_path / "out.json").read_text())["turns"][0]["parts"][1]
    assert (part["type"], part["media_type"], part["name"]) == ("audio", "audio/wav", "memo.wav")
    answer(talk, "/clear")
    assert f">>> {MEMO}\n... What is said?\n" in answer(talk, f"/resume {saved.id}")
    answer(talk, "And?")
    assert [len(m.audio) for m in talk.engine.requests[-1].messages] == [1, 0, 0]


def test_a_recording_alone_has_a_title() -> None:
    talk = Talk()
    answer(talk, "memo.wav")
    assert talk.chat.record.archive.list("")[0].title == MEMO


def test_paths_of_recordings_are_completed() -> None:
    assert [found.text for found in paths("me")] == ["memo.wav"]
