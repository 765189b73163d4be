"""Answers in a given form, in each dialect, from the built-in pair."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

TEXT = {"type": "string", "maxLength": 10}
SCHEMA = {
    "type": "object",
    "properties": {"name": TEXT, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
SAID = [{"role": "user", "content": "Tell me about somebody."}]
SEEDED = {"seed": 3, "temperature": 1.0}
NAMED = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
FORMAT = {"type": "json_schema", "name": "person", "schema": SCHEMA}


def posted(http: httpx.Client, path: str, body: dict[str, Any]) -> Any:
    response = http.post(path, json={"model": "tiny", **body})
    assert response.status_code == 200, response.text
    return response.json()


def test_one_schema_in_every_dialect_gives_one_text(http: httpx.Client) -> None:
    chat = posted(
        http, "/v1/chat/completions", {"messages": SAID, "response_format": NAMED, **SEEDED}
    )
    responses = posted(http, "/v1/responses", {"input": SAID, "text": {"format": FORMAT}, **SEEDED})
    ollama = posted(
        http, "/api/chat", {"messages": SAID, "format": SCHEMA, "stream": False, "options": SEEDED}
    )
    anthropic = posted(
        http,
        "/v1/messages",
        {"messages": SAID, "max_tokens": 200, "output_config": {"format": FORMAT}, **SEEDED},
    )
    texts = [
        chat["choices"][0]["message"]["content"],
        responses["output"][-1]["content"][0]["text"],
        ollama["message"]["content"],
        anthropic["content"][-1]["text"],
    ]
    assert len(set(texts)) == 1
    found = json.loads(texts[0])
    assert [*found] == ["name", "age"]
    assert 0 <= found["age"] <= 120
    assert chat["choices"][0]["finish_reason"] == "stop"


def test_any_object(http: httpx.Client) -> None:
    chat = {"messages": SAID, "response_format": {"type": "json_object"}, "max_tokens": 40}
    text = posted(http, "/v1/chat/completions", chat)["choices"][0]["message"]["content"]
    assert text.startswith("{")
    ollama = {"prompt": "Hello", "format": "json", "stream": False, "options": {"num_predict": 40}}
    assert posted(http, "/api/generate", ollama)["response"].startswith("{")


@pytest.mark.parametrize("grammar", ['root ::= "up" | "down"', 'start: "up" | "down"'])
def test_a_grammar(http: httpx.Client, grammar: str) -> None:
    chat = {"messages": SAID, "grammar": grammar}
    assert posted(http, "/v1/chat/completions", chat)["choices"][0]["message"]["content"] in (
        "up",
        "down",
    )
    both = {"model": "tiny", **chat, "response_format": {"type": "json_object"}}
    refused = http.post("/v1/chat/completions", json=both)
    assert (refused.status_code, "grammar" in refused.text) == (400, True)


def test_an_answer_that_was_cut_says_so(http: httpx.Client) -> None:
    body = {"messages": SAID, "response_format": NAMED, "max_tokens": 4, **SEEDED}
    found = posted(http, "/v1/chat/completions", body)["choices"][0]
    assert found["finish_reason"] == "length"


def test_what_cannot_be_enforced_is_refused_by_name(http: httpx.Client) -> None:
    unique = {"type": "array", "uniqueItems": True}
    form = {"type": "json_schema", "json_schema": {"schema": unique}}
    body = {"model": "tiny", "messages": SAID, "response_format": form}
    refused = http.post("/v1/chat/completions", json=body)
    assert refused.status_code == 400
    assert "uniqueItems" in refused.json()["error"]["message"]
    refused = http.post("/api/chat", json={"model": "tiny", "messages": SAID, "format": unique})
    assert refused.status_code == 400
    assert "uniqueItems" in refused.json()["error"]
