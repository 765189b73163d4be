"""Streams whose reply is long in coming: they begin, say that they live, and tell of errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import httpx
import openai
import pytest
from support.fakes import Script
from support.serving import FakeEngines, body
from support.waiting import PATIENCE

from gemma_mtp.server import streams


def lines(url: str, path: str = "/v1/chat/completions") -> Iterator[str]:
    """Those of a stream that are not empty, as they come."""
    asked = body(stream=True)
    with httpx.stream("POST", f"{url}{path}", json=asked, timeout=PATIENCE) as reply:
        assert reply.status_code == 200
        yield from filter(None, reply.iter_lines())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PATIENCE", 0.05)
    monkeypatch.setattr(streams, "PING", 0.05)


@pytest.mark.usefixtures("impatient")
def test_a_stream_says_that_it_lives_while_the_prompt_is_read(
    engines: FakeEngines, url: str, tmp_path: Path
) -> None:
    word = tmp_path / "One"
    word.touch()
    engines.say(Script("One two.", hold=str(tmp_path)))
    said = []
    for line in lines(url):
        said.append(line)
        if said.count(": ping") == 2:
            word.unlink(missing_ok=True)
    assert said[-1] == "data: [DONE]"
    chunks = [line for line in said if line.startswith("data: {")]
    assert any('"finish_reason": "stop"' in chunk for chunk in chunks)


@pytest.mark.usefixtures("impatient")
def test_pings_are_nothing_to_a_client(engines: FakeEngines, url: str) -> None:
    engines.say(Script("One two.", prefill_delay=0.15))
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
    chunks = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "One two."


@pytest.mark.usefixtures("impatient")
def test_lines_of_json_have_no_place_for_pings(engines: FakeEngines, url: str) -> None:
    engines.say(Script("One two.", prefill_delay=0.15))
    assert all(line.startswith("{") for line in lines(url, "/api/chat"))


@pytest.mark.usefixtures("impatient")
def test_an_error_that_is_long_in_coming_is_in_the_stream(
    engines: FakeEngines, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines.say(Script(error="The pair is broken."))
    connect, seen = engines.connect, Event()

    def slow(*asked: object) -> object:
        pair = connect(*asked)  # type: ignore[arg-type]
        reply = pair.reply

        def wait(*more: object) -> object:
            assert seen.wait(PATIENCE)
            return reply(*more)  # type: ignore[arg-type]

        monkeypatch.setattr(pair, "reply", wait)
        return pair

    monkeypatch.setattr(engines, "connect", slow)
    said = []
    for line in lines(url):
        said.append(line)
        if line == ": ping":
            seen.set()
    assert '"The pair is broken. Try something else."' in said[-1]


def test_a_quick_stream_has_no_pings(engines: FakeEngines, url: str) -> None:
    engines.say("One two.")
    assert ": ping" not in lines(url)
