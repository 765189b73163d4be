"""`run` and `chat` with `--audio`, and lines of a batch with recordings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.drawn import base64_of, png
from support.fakes import FakeEngine, FakeEnvironment, invoke
from support.sounds import wav

from gemma_mtp.api import Audio, Image, Message, PairFiles, Text
from gemma_mtp.cli.fetch_encoder import with_encoder
from gemma_mtp.errors import ModelNotAvailable
from gemma_mtp.files import media, reading
from gemma_mtp.files.media import PICTURE, RECORDING
from gemma_mtp.options import Options

DATA, CAT = wav(1.0), png(8, 6)
M4A = b"\0\0\0\x18ftypM4A " + bytes(40)
MEMO = Audio(DATA, "audio/wav", "memo.wav")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memo.wav").write_bytes(DATA)
    (tmp_path / "cat.png").write_bytes(CAT)
    (tmp_path / "cat.webp").write_bytes(b"RIFF\x20\0\0\0WEBPVP8 " + bytes(20))
    (tmp_path / "old.m4a").write_bytes(M4A)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("command", ["run", "chat"])
def test_recordings_come_behind_the_text(command: str) -> None:
    engine = FakeEngine()
    words = ("tiny", "What?", "--audio", "~/memo.wav", "--image", "cat.png", "--audio", "memo.wav")
    outcome = invoke(command, *words, env=FakeEnvironment(engine))
    assert (outcome.status, outcome.stdout) == (0, "Hello there.\n")
    parts = engine.requests[-1].messages[-1].parts
    assert [part.type for part in parts] == ["image", "text", "audio", "audio"]
    assert parts[3] == MEMO


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--audio", "nope.wav"], "nope.wav cannot be read: No such file or directory."),
        (["--audio", "cat.png"], "cat.png is a picture, not a recording.\n  --image FILE shows it"),
        (["--image", "memo.wav"], "memo.wav is a recording, not a picture.\n  --audio FILE plays"),
        (["--audio", "cat.webp"], "cat.webp is a WebP picture, which cannot be read here.\n  PNG"),
        (["--image", "old.m4a"], "old.m4a is an M4A recording (AAC), which cannot be read here"),
        (["--audio", "-"], "- names no file.\n  /dev/stdin names what is piped in, ./- a file"),
        (["-f", "memo.wav"], "memo.wav is a recording.\n  --audio FILE plays it to the model."),
        (["--batch", "b.jsonl", "--audio", "memo.wav"], "With --batch, the prompts are those"),
    ],
)
def test_what_cannot_be_played(words: list[str], said: str) -> None:
    outcome = invoke("run", "tiny", *([] if "--batch" in words else ["What?"]), *words)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(f"gemma-mtp: {said}")


def test_paths_in_a_prompt_stay_text_and_a_path_alone_needs_the_flag() -> None:
    outcome = invoke("run", "tiny", "What is in memo.wav and cat.png?")
    assert outcome.status == 0
    assert outcome.stderr == (
        "gemma-mtp: Of cat.png only the name is sent: --image FILE shows a picture to the model.\n"
        "gemma-mtp: Of memo.wav only the name is sent: --audio FILE plays a recording to the "
        "model.\n"
    )
    assert invoke("run", "tiny", "memo.wav").stderr == (
        "gemma-mtp: memo.wav is a recording.\n  --audio memo.wav plays it to the model.\n"
    )
    for words in (["old.m4a"], ["What?", "-f", "old.m4a"]):
        assert invoke("run", "tiny", *words).stderr.startswith(
            "gemma-mtp: old.m4a is an M4A recording (AAC), which cannot be read here.\n"
        )
    assert invoke("run", "tiny", "What?", stdin=M4A).stderr == (
        "gemma-mtp: What was piped in is an M4A recording (AAC), which cannot be read here.\n"
        "  WAV, MP3 and FLAC are.\n"
    )
    assert invoke("run", "tiny", "What?", stdin=DATA).stderr == (
        "gemma-mtp: What was piped in is a recording.\n"
        "  --audio FILE plays one, from a file, or from /dev/stdin.\n"
    )


def test_one_that_is_too_large_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGEST", 1 << 10)
    outcome = invoke("run", "tiny", "What?", "--audio", "memo.wav")
    assert outcome.stderr.endswith("\n  It is smaller as MP3: ffmpeg -i FILE -ac 1 memo.mp3\n")
    monkeypatch.setattr(media, "LARGEST", 1 << 10)
    with pytest.raises(media.UsageError, match=r"are the most for a recording\."):
        RECORDING.made(DATA)


def test_lines_of_a_batch() -> None:
    content = [
        {"type": "text", "text": "What?"},
        {"type": "input_audio", "input_audio": {"data": base64_of(DATA), "format": "wav"}},
    ]
    body = {"messages": [{"role": "user", "content": content}]}
    lines: list[dict[str, object]] = [
        {"prompt": "What?", "audio": ["memo.wav"], "images": ["cat.png"]},
        {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body},
        {"prompt": "What?", "audio": ["cat.png"]},
        {"prompt": "What?", "audio": "memo.wav"},
    ]
    for these in (lines[:1], lines[1:2], lines[2:]):
        Path("b.jsonl").write_text("".join(json.dumps(line) + "\n" for line in these))
        engine = FakeEngine()
        outcome = invoke("run", "tiny", "--batch", "b.jsonl", env=FakeEnvironment(engine))
        said = [request.messages[-1] for request in engine.requests]
        if these == lines[:1]:
            cat = Image(CAT, "image/png", "cat.png")
            assert said == [Message("user", (cat, Text("What?"), MEMO))]
        elif these == lines[1:2]:
            assert said == [Message("user", (Text("What?"), replace(MEMO, name="")))]
        else:
            answers = [json.loads(line)["error"] for line in outcome.stdout.splitlines()]
            assert [answer["message"].split(".")[0] for answer in answers] == [
                "cat", "audio must be a list"
            ]  # fmt: skip


def test_a_model_that_would_not_hear_is_not_pulled_for_it() -> None:
    outcome = invoke("run", "31b", "What?", "--audio", "memo.wav", "--yes")
    assert (outcome.status, outcome.stderr) == (
        4,
        "gemma-mtp: 31b has no audio encoder here, so it cannot hear recordings.\n"
        "  E2B, E4B and 12B hear: gemma-mtp pull e2b\n",
    )


def test_a_pair_whose_encoder_is_for_pictures_alone_is_not_loaded() -> None:
    pair = PairFiles("26b-a4b", Path("t"), Path("d"), encoder=Path("e"), no_audio="e2b hears.")
    asked = FakeEnvironment(FakeEngine())
    assert with_encoder(asked, pair, Options(), [PICTURE]) == pair  # type: ignore[arg-type]
    with pytest.raises(ModelNotAvailable, match="26b-a4b has no audio encoder here") as error:
        with_encoder(asked, pair, Options(yes=True), [PICTURE, RECORDING])  # type: ignore[arg-type]
    assert error.value.hint == "e2b hears."
