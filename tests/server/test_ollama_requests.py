"""What becomes of requests to Ollama's routes, over a scripted engine.

What the engine is asked for, and what is written where a reply does not come to its end.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace

import httpx
import pytest
from ollama import AsyncClient, Client, ResponseError
from support.fakes import Script
from support.serving import FakeEngines, leave
from support.waiting import PATIENCE

from gemma_mtp.settings import Sampling

SAID = [{"role": "user", "content": "Hi"}]
STORY = "Once there was a dragon. " * 400


@pytest.fixture
def client(url: str) -> Client:
    return Client(url)


def test_options_become_settings(engines: FakeEngines, client: Client) -> None:
    given = {"temperature": 0.5, "top_k": 7, "top_p": 0.8, "min_p": 0.1, "repeat_penalty": 1.5,
             "repeat_last_n": 9}  # fmt: skip
    client.chat("tiny", SAID, options={**given, "seed": 3, "num_predict": 5, "stop": ["x", "y"],
                                       "draft_num_predict": 2})  # fmt: skip
    assert engines.asked.sampling == Sampling(**given)  # type: ignore[arg-type]
    assert (engines.asked.seed, engines.asked.max_tokens) == (3, 5)
    assert (engines.asked.stop, engines.asked.draft) == (("x", "y"), 2)


def test_what_stands_for_no_value_is_none(engines: FakeEngines, client: Client) -> None:
    for num_predict in (-1, -2):
        client.generate("tiny", "Hi", options={"num_predict": num_predict, "seed": -1})
        assert (engines.asked.max_tokens, engines.asked.seed) == (None, None)
    client.generate("tiny", "Hi", options={"top_k": -1, "repeat_last_n": -1, "num_ctx": 0})
    assert engines.asked.sampling.top_k == 0
    assert engines.asked.sampling.repeat_last_n > 1_000_000
    assert engines.pairs[-1].options.context is None


def test_the_context_is_the_one_asked_for(engines: FakeEngines, client: Client) -> None:
    client.generate("tiny", "Hi", options={"num_ctx": 4096})
    assert engines.pairs[-1].options.context == 4096
    client.generate("tiny", "Hi", options={"num_ctx": 16})
    assert engines.pairs[-1].options.context == 256  # the smallest there is


@pytest.mark.parametrize(
    ("num_gpu", "gpu", "served", "layers"),
    [(7, True, None, 7), (0, True, None, 0), (9999, True, None, 1000), (-1, True, None, None),
     (None, True, None, None), (7, False, None, None), (0, False, None, 0), (7, True, 3, 3),
     (-1, True, 3, 3)],
)  # fmt: skip
def test_layers_are_those_asked_for_where_a_gpu_is_and_serve_was_told_none(
    engines: FakeEngines, client: Client, monkeypatch: pytest.MonkeyPatch,
    num_gpu: int | None, gpu: bool, served: int | None, layers: int | None,
) -> None:  # fmt: skip
    monkeypatch.setattr("gemma_mtp.server.engines.has_gpu", lambda: gpu)
    monkeypatch.setattr(engines, "served", replace(engines.served, gpu_layers=served))
    client.generate("tiny", "Hi", options={"num_gpu": num_gpu})
    assert engines.pairs[-1].options.gpu_layers == layers


@pytest.mark.parametrize(
    ("keep_alive", "seconds"),
    [(0, 0), (90, 90), ("5m", 300), ("1h30m", 5400), ("1.5s", 1.5), ("90", 90), (-1, -1),
     ("-1", -1), ("-1s", -1), ("250ms", 0.25), (None, 300)],
)  # fmt: skip
def test_how_long_the_model_is_to_stay(
    engines: FakeEngines, client: Client, keep_alive: float | str | None, seconds: float
) -> None:
    client.chat("tiny", SAID, keep_alive=keep_alive)
    assert engines.pairs[-1].keep == pytest.approx(seconds)


def test_thinking_is_the_servers_unless_asked_for(engines: FakeEngines, client: Client) -> None:
    for think, wanted in ((None, False), (True, True), ("high", True), (False, False)):
        client.chat("tiny", SAID, think=think)
        assert engines.asked.think is wanted


def test_messages_as_they_are_said(engines: FakeEngines, client: Client) -> None:
    said = [{"role": "system", "content": "Be brief."}, *SAID,
            {"role": "assistant", "content": "Yes?", "thinking": "Hm."},
            {"role": "user", "content": "Go on."}]  # fmt: skip
    client.chat("tiny", said)
    found = [(message.role, message.content) for message in engines.asked.messages]
    assert found == [(each["role"], each["content"]) for each in said]
    client.generate("tiny", "Hi", system="Be brief.")
    found = [(message.role, message.content) for message in engines.asked.messages]
    assert found == [("system", "Be brief."), ("user", "Hi")]


def test_a_raw_prompt_goes_without_a_template(engines: FakeEngines, client: Client) -> None:
    client.generate("tiny", "<|turn>user\nHi<turn|>\n", raw=True)
    assert engines.asked.prompt == "<|turn>user\nHi<turn|>\n"
    assert engines.asked.messages == ()
    with pytest.raises(ResponseError, match="system has no place in a prompt that is raw"):
        client.generate("tiny", "Hi", raw=True, system="Be brief.")


def test_thoughts_and_answer_in_their_fields(engines: FakeEngines, client: Client) -> None:
    engines.say(Script("Hello there.", thought="They greet me."))
    whole = client.chat("tiny", SAID, think=True).message
    assert (whole.content, whole.thinking) == ("Hello there.", "They greet me.")
    pieces = list(client.generate("tiny", "Hi", think=True, stream=True))
    assert "".join(piece.thinking or "" for piece in pieces) == "They greet me."
    assert "".join(piece.response or "" for piece in pieces) == "Hello there."


def test_fields_that_nobody_knows_are_noted(engines: FakeEngines, client: Client) -> None:
    client.generate("tiny", "Hi", options={"num_thread": 8, "num_batch": 512, "sparkle": 1})
    assert set(engines.record().passed_over) == {"options.num_thread", "options.sparkle"}


def test_an_engine_that_dies_is_an_error_in_the_stream(
    engines: FakeEngines, client: Client
) -> None:
    engines.say(Script("Hello there.", crash="The engine has ended."))
    stream = iter(client.chat("tiny", SAID, stream=True))
    assert next(stream).message.content == "Hello"
    with pytest.raises(ResponseError, match="The engine has ended"):
        list(stream)
    with pytest.raises(ResponseError) as caught:
        client.chat("tiny", SAID)
    assert caught.value.status_code >= 500


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("route", ["chat", "generate"])
def test_a_client_that_leaves_stops_its_reply(
    engines: FakeEngines, url: str, route: str, stream: bool
) -> None:
    engines.say(Script(STORY, delay=0.1))
    body = {"model": "tiny", "messages": SAID, "prompt": "Hi", "stream": stream}
    if stream:
        with httpx.stream("POST", f"{url}/api/{route}", json=body, timeout=PATIENCE) as response:
            assert not json.loads(next(response.iter_lines()))["done"]
    else:
        leave(f"{url}/api/{route}", body, engines.has_begun)
    assert engines.pairs[0].stopped.wait(PATIENCE)
    assert engines.pairs[0].closed.wait(PATIENCE)
    assert engines.record().left


def test_a_task_that_is_cancelled_stops_its_reply(engines: FakeEngines, url: str) -> None:
    engines.say(Script(STORY, delay=0.01))

    async def talk() -> None:
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in await AsyncClient(url).chat("tiny", SAID, stream=True):
                begun.set()

        task = asyncio.ensure_future(read())
        await begun.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(talk())
    assert engines.pairs[0].stopped.wait(PATIENCE)
    assert engines.record().left


def test_an_unknown_route_is_refused_in_the_dialects_form(url: str) -> None:
    response = httpx.get(f"{url}/api/nonsense")
    assert response.status_code == 404
    assert list(response.json()) == ["error"]
