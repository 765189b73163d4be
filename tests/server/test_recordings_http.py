"""Recordings in the requests of the dialects that have them, and transcriptions."""

from __future__ import annotations

import random
from typing import Any

import httpx
import pytest
from ollama import Client
from openai import OpenAI
from support.drawn import base64_of, png
from support.serving import FakeEngines
from support.sounds import flac, wav

from gemma_mtp.api import Audio, Image, Part, Text

MEMO, CAT = wav(0.5), png(4, 3)
HEARD, SEEN = Audio(MEMO, "audio/wav"), Image(CAT, "image/png")
WHAT = Text("What is said?")
INPUT: Any = {"type": "input_audio", "input_audio": {"data": base64_of(MEMO), "format": "wav"}}


def said(engines: FakeEngines) -> tuple[Part, ...]:
    return engines.asked.messages[-1].parts


def test_openai(engines: FakeEngines, url: str) -> None:
    parts: Any = [{"type": "text", "text": WHAT.text}, INPUT]
    with OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": parts}])
        assert said(engines) == (WHAT, HEARD)
        parts = [INPUT, {"type": "input_text", "text": WHAT.text}]
        client.responses.create(model="tiny", input=[{"role": "user", "content": parts}])
    assert said(engines) == (HEARD, WHAT)


def test_ollama_sends_both_as_images(engines: FakeEngines, url: str) -> None:
    client = Client(url)
    shown: Any = {"role": "user", "content": WHAT.text, "images": [MEMO, CAT]}
    client.chat("tiny", messages=[shown])
    assert said(engines) == (SEEN, WHAT, HEARD)
    client.generate("tiny", WHAT.text, images=[flac(0.5)])
    assert said(engines) == (WHAT, Audio(flac(0.5), "audio/flac"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"OggS" + bytes(20), "images.0 is an OGG recording (Opus or Vorbis), which cannot be"),
        (b"%PDF-1.7", "images.0 is a PDF document, which cannot be read here. PNG, JPEG, GIF and"),
        (b"Hello.", "images.0 is neither a picture nor a recording that can be read here. PNG, JP"),
    ],
)
def test_what_ollama_sends_is_called_what_it_is(url: str, data: bytes, why: str) -> None:
    body = {"model": "tiny", "prompt": WHAT.text, "images": [base64_of(data)]}
    refused = httpx.post(f"{url}/api/generate", json=body, timeout=30)
    assert (refused.status_code, refused.json()["error"][: len(why)]) == (400, why)


@pytest.mark.parametrize(
    ("path", "part", "why"),
    [
        ("/v1/messages", INPUT, "messages.0.content.0.type is input_audio, which Anthropic's mess"),
        (
            "/v1/messages",
            {"type": "tool_result", "tool_use_id": "c", "content": [INPUT]},
            "messages.0.content.0.content.0.type is input_audio: recordings belong to what the",
        ),
        (
            "/v1/chat/completions",
            {**INPUT, "input_audio": {"data": base64_of(b"OggS" + bytes(20)), "format": "wav"}},
            "messages.0.content.0.input_audio.data is an OGG recording (Opus or Vorbis), which",
        ),
        (
            "/v1/chat/completions",
            {**INPUT, "input_audio": {"format": "wav"}},
            "messages.0.content.0.input_audio.data must be a recording in base64.",
        ),
        (
            "/v1/messages",
            {"type": "audio", "source": {"type": "base64", "data": base64_of(MEMO)}},
            "messages.0.content.0.type is audio, which Anthropic's messages do not have: POST",
        ),
        (
            "/v1/messages",
            {"type": "image", "source": {"type": "base64", "data": base64_of(MEMO)}},
            "messages.0.content.0.source.data is a recording, not a picture.",
        ),
        (
            "/v1/chat/completions",
            {**INPUT, "input_audio": {"data": base64_of(CAT), "format": "wav"}},
            "messages.0.content.0.input_audio.data is a picture, not a recording.",
        ),
        (
            "/v1/chat/completions",
            {**INPUT, "input_audio": "x"},
            "messages.0.content.0.input_audio must be an object.",
        ),
    ],
)
def test_what_is_no_recording_is_refused_by_name(
    engines: FakeEngines, url: str, path: str, part: dict[str, Any], why: str
) -> None:
    messages = [{"role": "user", "content": [part]}]
    body = {"model": "tiny", "max_tokens": 9, "messages": messages}
    refused = httpx.post(url + path, json=body, timeout=30)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith(why)
    assert not engines.engine.requests


def test_a_transcription(engines: FakeEngines, url: str) -> None:
    engines.say(" Four score. ")
    noise = random.Random(1).randbytes(30_000)  # with all that may end a line
    data = wav(data=noise)
    with OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        ask = client.audio.transcriptions.create
        found = ask(model="tiny", file=("mémo.wav", data), language="en", prompt="Gettysburg")
        assert found.text == "Four score."
        asked = engines.asked
        text, heard = asked.messages[-1].parts
        assert isinstance(text, Text)
        assert text.text.startswith("Transcribe the following speech segment")
        assert "en." in text.text
        assert text.text.endswith("Gettysburg")
        assert isinstance(heard, Audio)
        assert (heard.data, heard.media_type) == (data, "audio/wav")
        assert (asked.sampling.temperature, asked.thinks) == (0.0, False)
        plain = ask(model="tiny", file=data, response_format="text", temperature=0.5)
        assert plain == "Four score.\n"
        assert engines.asked.sampling.temperature == 0.5


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"response_format": "srt"}, "response_format is srt: it must be json or text"),
        ({"stream": "true"}, "stream must be false: a transcription comes in one piece"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities is not supported"),
        ({"temperature": "warm"}, "temperature must be a number."),
        ({"temperature": "-1"}, "temperature must be"),
    ],
)
def test_what_a_transcription_cannot_have(
    engines: FakeEngines, url: str, fields: dict[str, str], why: str
) -> None:
    where = f"{url}/v1/audio/transcriptions"
    refused = httpx.post(where, data=fields, files={"file": ("a.wav", MEMO)}, timeout=30)
    assert (refused.status_code, refused.json()["error"]["message"][: len(why)]) == (400, why)
    assert not engines.engine.requests


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ({"json": {"file": "a"}}, "The body must be a form (multipart/form-data) with the reco"),
        ({"files": {"sound": ("a.wav", MEMO)}}, "The body must be a form (multipart/form-data)"),
        ({"files": {"file": ("a.ogg", b"OggS" + bytes(9))}}, "file a.ogg is an OGG recording"),
        ({}, "The body must be a form"),
        (
            {"files": [("file", ("a.wav", MEMO)), ("file", ("b.wav", MEMO))]},
            "The body must be a form (multipart/form-data) with the recording as its field file, o",
        ),
    ],
)
def test_a_transcription_needs_a_recording(url: str, sent: dict[str, Any], why: str) -> None:
    refused = httpx.post(f"{url}/v1/audio/transcriptions", timeout=30, **sent)
    assert (refused.status_code, refused.json()["error"]["message"][: len(why)]) == (400, why)


def test_a_transcription_that_is_cut_is_an_error(engines: FakeEngines, url: str) -> None:
    engines.say("One two three four five six.")
    where = f"{url}/v1/audio/transcriptions"
    fields = {"max_tokens": "2"}
    refused = httpx.post(where, data=fields, files={"file": ("a.wav", MEMO)}, timeout=30)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("The transcription was cut")


def form(*parts: bytes, boundary: str = "B") -> dict[str, Any]:
    """A request with these parts, each with its headers."""
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    line = f"--{boundary}".encode()
    ends = b"\r\n" + line + b"--\r\n"
    return {"content": line + (b"\r\n" + line).join(parts) + ends, "headers": kind}


def part(name: str, data: bytes, more: bytes = b"") -> bytes:
    about = f'\r\nContent-Disposition: form-data; name="{name}"'.encode()
    return about + more + b"\r\n\r\n" + data


def test_the_bytes_of_a_part_are_those_between_two_boundaries(
    engines: FakeEngines, url: str
) -> None:
    data = wav(data=b"\n--B--\r\n--C\r\n\r\n" * 900 + b"\r\n")
    sent = form(b"", part("file", data), part("language", b"fr"))
    answer = httpx.post(f"{url}/v1/audio/transcriptions", timeout=30, **sent)
    assert answer.status_code == 200
    assert engines.asked.messages[-1].audio[0].data == data
    assert "fr." in engines.asked.messages[-1].content


@pytest.mark.parametrize(
    "sent",
    [
        form(*(part("x", b"") for _ in range(101)), part("file", MEMO)),
        form(part("file", MEMO, b'; a="b"' * 300_000)),
        form(part("file", MEMO, b"\r\na: b" * 300_000)),
        form(part("x", b"\r\n\r\n" * 300_000)),
        form(part("file", MEMO), boundary=""),
        form(
            *(
                b"\r\nContent-Type: multipart/mixed; boundary=B%d\r\n\r\n--B%d" % (n, n)
                for n in range(90)
            )
        ),
        {**form(part("file", MEMO)), "headers": {"Content-Type": "multipart/form-data"}},
    ],
    ids=["parts", "parameters", "headers", "lines", "boundary", "nested", "none"],
)
def test_a_form_that_is_made_to_be_read_for_hours(url: str, sent: dict[str, Any]) -> None:
    refused = httpx.post(f"{url}/v1/audio/transcriptions", timeout=30, **sent)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith(("The form", "The body", "file is"))
