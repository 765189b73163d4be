"""Ollama's own Python package against `serve`, which it takes for Ollama."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

ollama = pytest.importorskip("ollama")
from support.server_process import (  # noqa: E402
    ENDLESS,
    SEED,
    SOME,
    STORY,
    Server,
    assert_stops,
)

SAID = [{"role": "user", "content": STORY}]
OPTIONS = {"seed": SEED, "exact": False, **ENDLESS}
LONG: dict[str, Any] = {"model": "tiny", "messages": SAID, "options": OPTIONS}
SHORT = {**LONG, "options": {**OPTIONS, "num_predict": SOME}}


@pytest.fixture
def client(server: Server) -> Any:
    return ollama.Client(server.url)


def test_the_address_may_come_from_ollamas_variable(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server.url.removeprefix("http://"))
    assert ollama.Client().list().models


def test_a_model_is_listed_shown_and_seen_at_work(client: Any) -> None:
    (tiny,) = client.list().models
    assert tiny.model == "tiny:latest"
    assert tiny.details.format == "gguf"
    assert client.show("tiny").modelinfo["gemma4.context_length"] == 8192
    client.generate("tiny", "Hi", options={"num_predict": 1})
    (running,) = client.ps().models
    assert running.model == "tiny:latest"
    assert running.expires_at


def test_replies_whole_and_in_pieces_are_the_same(client: Any) -> None:
    options = {"num_predict": 40, "temperature": 0}
    whole = client.chat("tiny", SAID, options=options)
    pieces = list(client.chat("tiny", SAID, options=options, stream=True))
    assert "".join(piece.message.content for piece in pieces) == whole.message.content
    assert (whole.done_reason, whole.eval_count) == ("length", 40)
    assert (pieces[-1].done, pieces[-1].eval_count) == (True, 40)
    assert len(pieces) > 20


def test_generate_whole_and_in_pieces(client: Any) -> None:
    options = {"num_predict": 20, "temperature": 0}
    whole = client.generate("tiny", "Tell me a story.", system="You tell.", options=options)
    pieces = client.generate(
        "tiny", "Tell me a story.", system="You tell.", options=options, stream=True
    )
    assert "".join(piece.response for piece in pieces) == whole.response


def test_a_stream_that_is_left_stops_the_engine(client: Any, server: Server) -> None:
    def leave() -> None:
        stream = client.chat(**LONG, stream=True)
        next(stream)
        stream.close()

    assert_stops(server, lambda: client.chat(**SHORT), leave)


def test_an_asynchronous_reply_that_is_cancelled_stops_the_engine(
    client: Any, server: Server
) -> None:
    async def cancelled() -> None:
        asked = asyncio.create_task(ollama.AsyncClient(server.url).chat(**LONG))
        await asyncio.sleep(0.1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    assert_stops(server, lambda: client.chat(**SHORT), lambda: asyncio.run(cancelled()))


@pytest.mark.parametrize(
    ("asked", "status", "named"),
    [
        ({"model": "nope"}, 404, "nope"),
        ({"options": {"temperature": -1}}, 400, "temperature"),
        ({"options": {"mirostat": 2}}, 400, "mirostat"),
        ({"format": {"not": {}}}, 400, "schema"),
        ({"keep_alive": "5x"}, 400, "keep_alive"),
        ({"messages": [{"role": "user", "content": "fox " * 9000}]}, 400, "context"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_a_response_error(
    client: Any, asked: dict[str, Any], status: int, named: str, stream: bool
) -> None:
    request = {"model": "tiny", "messages": SAID, "stream": stream, **asked}
    with pytest.raises(ollama.ResponseError, match=named) as raised:
        list(client.chat(**request))
    assert raised.value.status_code == status


def test_a_pull_of_what_is_here_ends_well_and_of_nothing_fails(client: Any) -> None:
    assert [step.status for step in client.pull("tiny", stream=True)][-1] == "success"
    with pytest.raises(ollama.ResponseError, match="nope"):
        client.pull("nope")


def test_a_long_conversation_is_not_read_anew_each_time(client: Any, server: Server) -> None:
    said: list[Any] = [{"role": "user", "content": "Tell me a long story about two owls."}]
    for _ in range(5):
        reply = client.chat("tiny", said, options={"num_predict": 60})
        said += [reply.message.model_dump(exclude_none=True)]
        said += [{"role": "user", "content": "What happened then?"}]
    body = {"model": "tiny", "messages": said, "stream": False, "options": {"num_predict": 1}}
    last = httpx.post(f"{server.url}/api/chat", json=body, timeout=60).json()
    assert last["prompt_eval_count"] > 150
    assert last["timings"]["cache_n"] >= reply.prompt_eval_count - 2


def test_a_model_is_unloaded_when_it_is_told_not_to_stay(client: Any) -> None:
    client.generate("tiny", "Hi", options={"num_predict": 1}, keep_alive=0)
    assert client.ps().models == []
    client.generate("tiny", "Hi", options={"num_predict": 1}, keep_alive="5m")
    assert client.ps().models
