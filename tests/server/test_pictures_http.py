"""Pictures in the requests of all dialects, as their own clients and other programs send them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic import Anthropic
from ollama import Client
from openai import OpenAI
from support.drawn import address, base64_of, png, webp
from support.serving import FakeEngines

from gemma_mtp.api import Image, Message, Part, Text, ToolCall, ToolResult

CAT, DOG = png(4, 3), png(3, 4, (0, 0, 0))
SEEN_CAT, SEEN_DOG = Image(CAT, "image/png"), Image(DOG, "image/png")
WHAT = Text("What is this?")


def said(engines: FakeEngines) -> tuple[Part, ...]:
    """The last message that the engine got."""
    return engines.asked.messages[-1].parts


def test_chat_completions(engines: FakeEngines, url: str) -> None:
    parts: Any = [
        {"type": "text", "text": WHAT.text},
        {"type": "image_url", "image_url": {"url": address(CAT), "detail": "low"}},
        {"type": "image_url", "image_url": {"url": address(DOG)}},
        {"type": "text", "text": "And"},
        {"type": "text", "text": "that?"},
    ]
    with OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": parts}])
    assert said(engines) == (WHAT, SEEN_CAT, SEEN_DOG, Text("And\nthat?"))


def test_responses(engines: FakeEngines, url: str) -> None:
    parts: Any = [
        {"type": "input_text", "text": WHAT.text},
        {"type": "input_image", "image_url": address(CAT), "detail": "auto"},
    ]
    with OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        client.responses.create(model="tiny", input=[{"role": "user", "content": parts}])
    assert said(engines) == (WHAT, SEEN_CAT)


def test_messages_of_anthropic(engines: FakeEngines, url: str) -> None:
    source: Any = {"type": "base64", "media_type": "image/png", "data": base64_of(CAT)}
    parts: Any = [{"type": "image", "source": source}, {"type": "text", "text": WHAT.text}]
    with Anthropic(base_url=url, api_key="any", max_retries=0) as client:
        client.messages.create(
            model="tiny", max_tokens=9, messages=[{"role": "user", "content": parts}]
        )
    assert said(engines) == (SEEN_CAT, WHAT)


def test_a_picture_in_a_result_of_a_tool_is_shown_below_it(engines: FakeEngines, url: str) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": base64_of(CAT)}
    used = {"type": "tool_use", "id": "c", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c",
              "content": [{"type": "image", "source": source}]}  # fmt: skip
    messages = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": [result]},
    ]
    body = {"model": "tiny", "max_tokens": 9, "messages": messages}
    assert httpx.post(f"{url}/v1/messages", json=body, timeout=30).is_success
    below = "(The result is the picture below.)"
    assert engines.asked.messages[1:] == (
        Message("assistant", (ToolCall("c", "look", "{}"),)),
        Message("tool", (ToolResult("c", below),)),
        Message("user", (SEEN_CAT,)),
    )


def test_ollama(engines: FakeEngines, url: str, tmp_path: Path) -> None:
    (tmp_path / "dog.png").write_bytes(DOG)
    client = Client(url)
    shown: Any = {"role": "user", "content": WHAT.text,
                  "images": [CAT, str(tmp_path / "dog.png")]}  # fmt: skip
    client.chat("tiny", messages=[shown])
    assert said(engines) == (SEEN_CAT, SEEN_DOG, WHAT)
    client.generate("tiny", WHAT.text, images=[CAT])
    assert said(engines) == (SEEN_CAT, WHAT)
    client.generate("tiny", images=[base64_of(CAT)])
    assert said(engines) == (SEEN_CAT,)


def test_base64_may_have_line_ends_and_a_data_address_may_have_none(
    engines: FakeEngines, url: str
) -> None:
    wrapped = base64.encodebytes(png(60, 60)).decode()
    body = {"model": "tiny", "prompt": "?", "images": [wrapped, address(CAT)]}
    assert httpx.post(f"{url}/api/generate", json=body, timeout=30).is_success
    assert said(engines)[:2] == (Image(png(60, 60), "image/png"), SEEN_CAT)


OF_OPENAI = "/v1/chat/completions", "messages.0.content.0.image_url.url "
FETCH = "is an address elsewhere: a picture must be in the request itself, in base64"


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ({"url": "https://example.org/cat.png"}, FETCH),
        ({"url": "file:///etc/passwd"}, FETCH),
        ({"url": "cat.png"}, "is no data: address: one begins with data:image/png;base64,"),
        ({"url": base64_of(png())}, "is no data: address: one begins with data:image/png;base64,"),
        ({"url": "data:image/png;base64"}, "is no data: address"),
        ({"url": "data:image/png;base64,####"}, "is no base64"),
        ({"url": "data:;base64," * 2000}, "is no base64"),
        ({"url": "data:,\ud800"}, "is no picture that can be read here."),
        ({"url": "data:;base64,\ud800"}, "is no base64"),
        ({"url": "data:," + "%41" * 400_000}, "is too long to be written without base64"),
        ({"url": "data:image/png;base64,aGVsbG8="}, "is no picture that can be read here."),
        ({"url": address(webp())}, "is a WebP picture, which cannot be read here. PNG, JPEG, GIF"),
        ({}, "must be a picture as a data: address"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(
    engines: FakeEngines, url: str, part: dict[str, str], why: str
) -> None:
    path, field = OF_OPENAI
    content = [{"type": "image_url", "image_url": part}]
    body = {"model": "tiny", "messages": [{"role": "user", "content": content}]}
    refused = httpx.post(url + path, content=json.dumps(body), timeout=30)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith(field + why)
    assert refused.json()["error"]["param"] == field.strip()
    assert engines.engine.requests == []


@pytest.mark.parametrize(
    ("path", "message", "why"),
    [
        (
            "/v1/responses",
            {"content": [{"type": "input_image", "file_id": "file-1"}]},
            "input.0.content.0.file_id names a file, and no files are kept here.",
        ),
        (
            "/v1/messages",
            {"content": [{"type": "image", "source": {"type": "url", "url": "http://a/b"}}]},
            f"messages.0.content.0.source.url {FETCH}.",
        ),
        (
            "/v1/chat/completions",
            {"role": "system", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]},
            "messages.0.content.0.type is image_url: pictures belong to what the user says.",
        ),
        (
            "/v1/chat/completions",
            {"content": [{"type": "video_url", "video_url": {}}]},
            "messages.0.content.0.type is video_url: text, pictures and recordings are understood.",
        ),
        (
            "/api/chat",
            {"role": "assistant", "content": "", "images": [base64_of(CAT)]},
            "messages.0.images belong to what the user says.",
        ),
        (
            "/api/chat",
            {"content": "?", "images": ["https://example.org/cat.png"]},
            f"messages.0.images.0 {FETCH}.",
        ),
        ("/api/chat", {"content": "?", "images": [7]}, "messages.0.images.0 must be a picture"),
    ],
)
def test_where_there_can_be_none(
    engines: FakeEngines, url: str, path: str, message: dict[str, Any], why: str
) -> None:
    name = "input" if path == "/v1/responses" else "messages"
    body = {"model": "tiny", "max_tokens": 9, name: [{"role": "user", **message}]}
    refused = httpx.post(url + path, json=body, timeout=30)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error if isinstance(error, str) else error["message"]).startswith(why)
    assert engines.engine.requests == []


def test_pictures_have_no_place_beside_the_messages_nor_in_a_raw_prompt(url: str) -> None:
    for path, more, why in (
        ("/api/chat", {"messages": [{"role": "user", "content": "?"}]}, "belong into messages"),
        ("/api/generate", {"prompt": "?", "raw": True}, "have no place in a prompt that is raw"),
    ):
        body = {"model": "tiny", "images": [base64_of(CAT)], **more}
        refused = httpx.post(url + path, json=body, timeout=30)
        assert (refused.status_code, why in refused.json()["error"]) == (400, True)
