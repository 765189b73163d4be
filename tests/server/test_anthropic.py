"""Anthropic's dialect, spoken by Anthropic's own Python client and by requests as agents send them,
with the built-in pair."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic import Anthropic, APIStatusError, BadRequestError, NotFoundError
from support.fakes import Script
from support.serving import FakeEngines, serving
from support.waiting import PATIENCE, wait_until

from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.store import Store
from gemma_mtp.options import Options
from gemma_mtp.resident.identity import place
from gemma_mtp.resident.line import ask
from gemma_mtp.server import streams
from gemma_mtp.server.anthropic.replies import SIGNATURE
from gemma_mtp.server.engines import Engines

ASK: list[Any] = [{"role": "user", "content": "Name three fruits."}]
SUM: list[Any] = [{"role": "user", "content": "What is 17 plus 25?"}]
LONG: list[Any] = [{"role": "user", "content": "Count from 1 to 300."}]
FEW: dict[str, Any] = {"model": "tiny", "max_tokens": 8, "extra_body": {"seed": 1}}
MORE: dict[str, Any] = {**FEW, "max_tokens": 200}
GREEDY: dict[str, Any] = {**MORE, "extra_body": {"temperature": 0}}
THINK: Any = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture(scope="module")
def client(served: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=served, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def raw(served: str) -> Iterator[httpx.Client]:
    """For what the client does not send, or hides."""
    headers = {"anthropic-version": "2023-06-01"}
    with httpx.Client(base_url=served, timeout=60, headers=headers) as client:
        yield client


def events(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each event; every event has both, on lines of their own."""
    assert response.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    assert all(name == data["type"] for name, data in found)
    return found


def body(**more: Any) -> dict[str, Any]:
    return {"model": "tiny", "max_tokens": 8, "seed": 1, "messages": ASK, **more}


def refusal(response: httpx.Response, status: int = 400) -> str:
    """The sentence of an error, in Anthropic's form."""
    assert response.status_code == status, response.text
    found = response.json()
    assert (found["type"], sorted(found["error"])) == ("error", ["message", "type"])
    return str(found["error"]["message"])


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


# --- replies ---------------------------------------------------------------------------------


def test_a_message_in_one_piece(client: Anthropic) -> None:
    message = client.messages.create(messages=ASK, **FEW)
    assert (message._request_id or "").startswith("req_")
    assert (message.type, message.role, message.model) == ("message", "assistant", "tiny")
    assert message.id.startswith("msg_")
    assert [block.type for block in message.content] == ["text"]
    assert (message.stop_reason, message.stop_sequence) == ("max_tokens", None)
    usage = message.usage
    assert usage.output_tokens == 8
    read = (usage.input_tokens, usage.cache_read_input_tokens or 0)
    assert sum(read) == client.messages.count_tokens(model="tiny", messages=ASK).input_tokens
    assert message.model_extra
    assert message.model_extra["gemma_mtp"]["seed"] == 1
    assert message.model_extra["timings"]["predicted_n"] == 8


def test_a_stream_says_the_same(client: Anthropic) -> None:
    whole = client.messages.create(messages=ASK, **FEW)
    with client.messages.stream(messages=ASK, **FEW) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert len(pieces) > 2
    assert "".join(pieces) == text_of(message) == text_of(whole)
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 8)
    read = message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)
    assert read == client.messages.count_tokens(model="tiny", messages=ASK).input_tokens


def test_the_events_of_a_stream_come_in_their_order(raw: httpx.Client) -> None:
    found = events(raw.post("/v1/messages", json=body(stream=True)))
    names = [name for name, _ in found]
    deltas = names.count("content_block_delta")
    assert deltas > 2
    assert names == [
        *("message_start", "ping", "content_block_start", *["content_block_delta"] * deltas),
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    start, last = found[0][1]["message"], found[-2][1]
    assert (start["content"], start["stop_reason"], start["usage"]["output_tokens"]) == (
        [],
        None,
        0,
    )
    assert found[2][1]["content_block"] == {"type": "text", "text": ""}
    assert {data["index"] for name, data in found if name.startswith("content_block")} == {0}
    assert last["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert last["usage"]["output_tokens"] == 8
    for field in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        assert last["usage"][field] == start["usage"][field]
    assert last["timings"]["draft_n"] == last["gemma_mtp"]["drafted"]


def test_a_long_silence_is_filled_with_pings(
    engines: FakeEngines, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(streams, "PING", 0.02)
    word = tmp_path / "One."
    word.touch()
    engines.say(Script("One.", hold=str(tmp_path)))
    names = []
    asked = body(stream=True)
    with httpx.stream("POST", f"{url}/v1/messages", json=asked, timeout=PATIENCE) as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
            if names.count("ping") == 3:
                word.unlink(missing_ok=True)
    until = names.index("content_block_start")
    assert names[0] == "message_start"
    assert names[1:until].count("ping") == until - 1 > 2


def test_a_reply_that_ends_by_itself_ends_its_turn(client: Anthropic) -> None:
    assert client.messages.create(messages=SUM, **MORE).stop_reason == "end_turn"


def test_the_stop_sequence_that_was_met_is_named(client: Anthropic) -> None:
    whole = text_of(client.messages.create(messages=LONG, **MORE))
    stop = whole[20:24]
    stopped = {**MORE, "stop_sequences": ["never said", stop]}
    message = client.messages.create(messages=LONG, **stopped)
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", stop)
    assert text_of(message) == whole.split(stop)[0]
    with client.messages.stream(messages=LONG, **stopped) as stream:
        streamed = stream.get_final_message()
    assert (streamed.stop_reason, streamed.stop_sequence) == ("stop_sequence", stop)


def test_a_full_context_is_told_from_max_tokens(home: Path) -> None:
    said: list[Any] = [{"role": "user", "content": "one " * 200 + "Count from 1 to 300."}]
    small = Engines(
        Store(load_catalogue()), Options(context=256, threads=1, keep_alive=300), "tiny"
    )
    with serving(small) as url, Anthropic(base_url=url, api_key="any", max_retries=0) as client:
        message = client.messages.create(messages=said, **{**MORE, "max_tokens": 4000})
        assert message.stop_reason == "model_context_window_exceeded"
        assert text_of(message)
        with pytest.raises(BadRequestError, match="the context holds 256"):
            client.messages.create(messages=[*said, *said], **MORE)


def test_a_last_message_of_the_assistant_is_continued(client: Anthropic) -> None:
    whole = text_of(client.messages.create(messages=LONG, **GREEDY))
    begun = whole[: len(whole) // 2].rstrip()
    said = [*LONG, {"role": "assistant", "content": begun}]
    rest = text_of(client.messages.create(messages=said, **GREEDY))
    assert rest
    assert not rest.startswith(begun[:10])


# --- thoughts --------------------------------------------------------------------------------


def test_thoughts_are_a_block_of_their_own(client: Anthropic) -> None:
    message = client.messages.create(messages=SUM, thinking=THINK, **MORE)
    assert [block.type for block in message.content] == ["thinking", "text"]
    thought = message.content[0]
    assert thought.type == "thinking"
    assert thought.thinking
    assert thought.signature == SIGNATURE
    details = message.usage.output_tokens_details
    assert details
    assert 4 < details.thinking_tokens < message.usage.output_tokens
    with client.messages.stream(messages=SUM, thinking={"type": "adaptive"}, **MORE) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_message()
    assert [block.type for block in streamed.content] == ["thinking", "text"]
    assert streamed.content[0] == thought
    assert text_of(streamed) == text_of(message)
    assert streamed.usage.output_tokens_details == details
    assert kinds.index("thinking") < kinds.index("signature") < kinds.index("text")


def test_blocks_are_numbered_and_closed_before_the_next_begins(raw: httpx.Client) -> None:
    asked = body(messages=SUM, thinking=THINK, max_tokens=200, stream=True)
    found = events(raw.post("/v1/messages", json=asked))
    blocks = [
        (n, d["index"]) for n, d in found if n in ("content_block_start", "content_block_stop")
    ]
    assert blocks == [(f"content_block_{what}", i) for i in (0, 1) for what in ("start", "stop")]
    at = [name for name, _ in found].index("content_block_stop")
    assert found[at - 1][1]["delta"] == {"type": "signature_delta", "signature": SIGNATURE}


def test_thoughts_are_left_out_where_a_client_wants_none_of_their_text(raw: httpx.Client) -> None:
    thinking = {"type": "adaptive", "display": "omitted"}
    asked = body(messages=SUM, thinking=thinking, max_tokens=200)
    hidden = {"type": "thinking", "thinking": "", "signature": SIGNATURE}
    assert raw.post("/v1/messages", json=asked).json()["content"][0] == hidden
    found = events(raw.post("/v1/messages", json={**asked, "stream": True}))
    assert "thinking_delta" not in [data.get("delta", {}).get("type") for _, data in found]


def test_thoughts_that_come_back_are_no_part_of_the_prompt(client: Anthropic) -> None:
    message = client.messages.create(messages=SUM, thinking=THINK, **MORE)
    after = {"role": "user", "content": "And 1 more?"}
    back: Any = [*SUM, message.to_param(), after]
    plain: Any = [*SUM, {"role": "assistant", "content": text_of(message)}, after]
    counted = [
        client.messages.count_tokens(model="tiny", messages=said).input_tokens
        for said in (back, plain)
    ]
    assert counted[0] == counted[1]


def test_thinking_is_counted_as_it_is_asked_for(client: Anthropic) -> None:
    count = client.messages.count_tokens
    off = count(model="tiny", messages=SUM, thinking={"type": "disabled"}).input_tokens
    on = count(model="tiny", messages=SUM, thinking=THINK).input_tokens
    usage = client.messages.create(messages=SUM, thinking=THINK, **FEW).usage
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == on != off


# --- prompts ---------------------------------------------------------------------------------


def test_text_and_blocks_mean_the_same(client: Anthropic) -> None:
    def count(system: Any, content: Any) -> int:
        said: Any = [{"role": "user", "content": content}]
        return client.messages.count_tokens(model="tiny", system=system, messages=said).input_tokens

    cached = {"cache_control": {"type": "ephemeral"}}
    block = {"type": "text", "text": "Be brief.", **cached}
    assert count("Be brief.", "Hi") == count([block], [{"type": "text", "text": "Hi", **cached}])
    assert count("Be brief.\nBe kind.", "Hi") == count([block, {**block, "text": "Be kind."}], "Hi")


def test_a_billing_line_does_not_hide_the_conversation_from_the_cache(client: Anthropic) -> None:
    rules = {"type": "text", "text": "Answer as a gardener would. " * 60}
    said: list[Any] = [{"role": "user", "content": "Which tree is that?"}]

    def turn(stamp: str) -> Any:
        line = f"x-anthropic-billing-header: cc_version=2.1; cch={stamp};"
        system: Any = [{"type": "text", "text": line}, rules]
        message = client.messages.create(messages=said, system=system, **FEW)
        said.extend([message.to_param(), {"role": "user", "content": "And this one?"}])
        return message.usage

    first = turn("00a1")
    second = turn("ff37c")
    assert first.input_tokens + first.cache_read_input_tokens > 200
    assert second.cache_read_input_tokens >= first.input_tokens + first.cache_read_input_tokens - 1
    assert second.input_tokens < 30


@pytest.mark.parametrize("line", ["x-anthropic-billing-header: a=b", "X-Anthropic-Billing-Header:"])
def test_a_billing_line_is_no_part_of_the_prompt(client: Anthropic, line: str) -> None:
    def count(system: Any) -> int:
        return client.messages.count_tokens(
            model="tiny", messages=ASK, **({"system": system} if system else {})
        ).input_tokens

    assert count(f"{line}\nBe brief.") == count("Be brief.")
    assert count([{"type": "text", "text": line}]) == count(None)
    assert count(f"Be brief.\n{line}") > count("Be brief.")


def test_messages_of_one_role_are_one_turn(client: Anthropic) -> None:
    two: Any = [{"role": "user", "content": text} for text in ("One.", "Two.")]
    one: Any = [{"role": "user", "content": "One.\n\nTwo."}]
    assert client.messages.count_tokens(model="tiny", messages=two) == (
        client.messages.count_tokens(model="tiny", messages=one)
    )


# --- models ----------------------------------------------------------------------------------


def test_the_models_that_are_here_are_listed(client: Anthropic) -> None:
    listed = client.models.list()
    assert [(model.id, model.type) for model in listed] == [("tiny", "model")]
    assert (listed.has_more, listed.first_id, listed.last_id) == (False, "tiny", "tiny")
    one = client.models.retrieve("tiny:latest")
    assert (one.id, one.display_name) == ("tiny", "tiny")
    assert one.created_at.tzinfo
    with pytest.raises(NotFoundError, match="nosuch"):
        client.models.retrieve("nosuch")


# --- what is refused, and what is passed over --------------------------------------------------

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
CALL = {"type": "tool_use", "id": "t", "name": "a", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": "42"}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"tools": [{"input_schema": {"type": "object"}}]}, "tools.0.name must be a text"),
        ({"tools": [{"type": "custom", "name": "a", "input_schema": 7}]}, "tools.0.input_schema"),
        ({"tools": [{"name": "a"}, {"name": "a"}]}, "Two tools are called a"),
        ({"tool_choice": {"type": "tool", "name": "b"}}, "tool_choice names b"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"output_config": {"format": {"type": "regex"}}}, "output_config.f"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management.e"),
        ({"mcp_servers": [{"name": "a"}]}, "mcp_servers"),
        (
            {"messages": [{"role": "user", "content": [IMAGE]}]},
            "messages.0.content.0.source.data is no picture",
        ),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, 'for the call "t"'),
        ({"messages": [{"role": "user", "content": [CALL]}]}, "is tool_use, which is nothing"),
        ({"system": [IMAGE]}, "system.0.type is image"),
        ({"temperature": -1}, "temperature must be"),
        ({"stop_sequences": [""]}, "stop_sequences must be"),
        ({"max_tokens": 0}, "max_tokens must be"),
        ({"messages": []}, "messages must hold"),
        ({"thinking": {"type": "between_tools"}}, "thinking.type"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role must be 'user'"),
        ({"messages": [{"role": "user"}]}, "messages.0.content is missing."),
        ({"messages": [{"role": "user", "content": 1}]}, "must be a text or a list."),
        ({"messages": [{"role": "user", "content": [3]}]}, "messages.0.content.0 must be"),
        ({"context_management": {"edits": 3}}, "context_management.edits must be"),
        ({"tool_choice": "auto"}, "tool_choice must be an object."),
        ({"max_tokens": "x"}, "max_tokens must be a whole number."),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    raw: httpx.Client, more: dict[str, Any], named: str
) -> None:
    for stream in (False, True):
        assert named in refusal(raw.post("/v1/messages", json=body(stream=stream, **more)))


def test_max_tokens_has_to_be_there(raw: httpx.Client) -> None:
    asked = body()
    del asked["max_tokens"]
    assert "max_tokens" in refusal(raw.post("/v1/messages", json=asked))


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [], "tool_choice": {"type": "auto"}, "mcp_servers": []},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"metadata": {"user_id": "u"}, "service_tier": "auto"},
        {"cache_control": {"type": "ephemeral"}},
        {"output_config": {"effort": "high"}},
        {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}},
        {"temperature": 0.5, "top_p": 0.9, "top_k": 20, "min_p": 0.1},
        {"a_field_of_tomorrow": 1},
    ],
)
def test_what_changes_nothing_or_can_be_had_is_accepted(
    raw: httpx.Client, more: dict[str, Any]
) -> None:
    response = raw.post("/v1/messages?beta=true", json=body(**more))
    assert response.status_code == 200, response.text


def test_errors_are_those_of_the_client(client: Anthropic, raw: httpx.Client) -> None:
    with pytest.raises(NotFoundError, match="nosuch") as missing:
        client.messages.create(model="nosuch", max_tokens=8, messages=ASK)
    assert (missing.value.request_id or "").startswith("req_")
    assert missing.value.body == {
        "type": "error",
        "error": {"type": "not_found_error", "message": missing.value.body["error"]["message"]},
    }
    with pytest.raises(BadRequestError, match="top_p must be"):
        client.messages.create(messages=ASK, **{**FEW, "extra_body": {"top_p": 7}})
    assert "no JSON object" in refusal(raw.post("/v1/messages", content=b"{"))


def test_an_engine_that_dies_is_an_error_event(client: Anthropic) -> None:
    def watch() -> None:
        with client.messages.stream(messages=LONG, **{**MORE, "max_tokens": 2000}) as stream:
            for _ in stream.text_stream:
                kill_engine()

    with pytest.raises(APIStatusError, match="has ended"):
        watch()
    assert text_of(client.messages.create(messages=ASK, **FEW))


def kill_engine() -> None:
    status: Any = ask(place(), "status")
    if status is not None:
        os.kill(status["pid"], signal.SIGKILL)


def test_a_client_that_leaves_stops_its_reply(client: Anthropic) -> None:
    with client.messages.stream(messages=LONG, **{**MORE, "max_tokens": 5000}) as stream:
        next(iter(stream.text_stream))
    wait_until(lambda: not ask(place(), "status")["busy_for"])  # type: ignore[index]
