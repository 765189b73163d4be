"""Presets as clients of Ollama's make, ask and remove them, with Ollama's own client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ollama import Client, ResponseError
from support.fakes import FakeEngine
from support.serving import FakeEngines, serving

from gemma_mtp.api import PairFiles
from gemma_mtp.models import presets
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.store import Store
from gemma_mtp.options import Options
from gemma_mtp.paths import HOME_VARIABLE
from gemma_mtp.server.engines import Engines

ASK = [{"role": "user", "content": "Who are you?"}]
FIRST = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy"}]


class Scripted(FakeEngines):
    """The store is the real one, the engine is not."""

    def __init__(self, served: Options) -> None:
        super().__init__(served)
        self.models = Store(load_catalogue())

    def find(self, model: str | None) -> PairFiles:
        return Engines.find(self, model)


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FakeEngine, str]]:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    there = Scripted(Options().configured(temperature=0.5, top_k=9))
    with serving(there) as url:
        yield there.engine, url


def make(client: Client, **more: Any) -> None:
    wanted: dict[str, Any] = {
        "from_": "tiny",
        "system": "You are a pirate.",
        "parameters": {"temperature": 0.25, "stop": ["A", "B"], "num_ctx": 512},
        "messages": FIRST,
    }
    client.create("pirate", **{**wanted, **more})


def test_what_is_created_answers_with_its_settings(engines: tuple[FakeEngine, str]) -> None:
    engine, url = engines
    client = Client(url)
    make(client)
    assert [m.model for m in client.list().models] == ["tiny:latest", "pirate:latest"]
    client.chat("pirate", ASK)
    request = engine.requests[-1]
    assert (request.sampling.temperature, request.sampling.top_k) == (0.25, 9)
    assert request.stop == ("A", "B")
    said = [(m.role, m.content) for m in request.messages]
    opening = [(m["role"], m["content"]) for m in FIRST]
    assert said == [("system", "You are a pirate."), *opening, ("user", "Who are you?")]
    client.chat("pirate:latest", [{"role": "system", "content": "Mine."}, *ASK],
                options={"temperature": 1.5})  # fmt: skip
    request = engine.requests[-1]
    assert (request.messages[0].content, request.sampling.temperature) == ("Mine.", 1.5)
    assert [m.content for m in request.messages[1:3]] == ["Hi", "Ahoy"]


def test_the_other_dialects_know_it_too(engines: tuple[FakeEngine, str]) -> None:
    engine, url = engines
    make(Client(url))
    with httpx.Client(base_url=url) as raw:
        assert [m["id"] for m in raw.get("/v1/models").json()["data"]] == ["tiny", "pirate"]
        body = {"model": "pirate", "messages": ASK}
        assert raw.post("/v1/chat/completions", json=body).json()["model"] == "pirate"
        assert engine.requests[-1].messages[0].content == "You are a pirate."
        answer = raw.post("/v1/messages", json={**body, "max_tokens": 9}).json()
    assert answer["model"] == "pirate"
    assert [m.content for m in engine.requests[-1].messages[1:3]] == ["Hi", "Ahoy"]


def test_show_tells_what_it_is(engines: tuple[FakeEngine, str]) -> None:
    _, url = engines
    client = Client(url)
    make(client)
    found = client.show("pirate")
    assert found.details is not None
    assert found.details.parent_model == "tiny:latest"
    assert found.parameters is not None
    assert "0.25" in found.parameters
    assert found.modelfile is not None
    assert 'SYSTEM """You are a pirate."""' in found.modelfile
    assert 'MESSAGE assistant """Ahoy"""' in found.modelfile


def test_a_copy_stays_when_the_first_is_deleted(engines: tuple[FakeEngine, str]) -> None:
    engine, url = engines
    client = Client(url)
    make(client)
    client.copy("pirate", "corsair")
    client.delete("pirate")
    with pytest.raises(ResponseError) as caught:
        client.chat("pirate", ASK)
    assert caught.value.status_code == 404
    client.chat("corsair", ASK)
    assert engine.requests[-1].sampling.temperature == 0.25
    client.create("corsair", from_="corsair", parameters={"temperature": 0.75})
    client.chat("corsair", ASK)
    assert engine.requests[-1].sampling.temperature == 0.75
    assert engine.requests[-1].messages[0].content == "You are a pirate."


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"from_": "nosuchmodel"}, 404, "no model called"),
        ({"from_": "/etc/passwd"}, 404, "no model called"),
        ({"parameters": {"temperature": 1000}}, 400, "temperature must be"),
        ({"parameters": {"temprature": 1}}, 400, "temperature"),
        ({"messages": FIRST[:1]}, 400, "end with one of the assistant's"),
        ({"parameters": {"temperature": [0.25, 0.5]}}, 400, "temperature must be"),
        ({"parameters": {"stop": [["A"]]}}, 400, "stop must be"),
        ({"messages": [{**FIRST[0], "images": ["aGk="]}, FIRST[1]]}, 400, "images cannot be kept"),
        ({"files": {"x.gguf": "sha256:00"}}, 501, "takes no files"),
        ({"quantize": "q4_0"}, 400, "quantize is not supported"),
    ],
)
def test_what_cannot_be_made_is_refused(
    engines: tuple[FakeEngine, str], more: dict[str, Any], status: int, said: str
) -> None:
    with pytest.raises(ResponseError) as caught:
        make(Client(engines[1]), **more)
    assert (caught.value.status_code, said in caught.value.error) == (status, True), caught.value
    assert presets.names() == []


def test_a_name_of_a_model_is_refused(engines: tuple[FakeEngine, str]) -> None:
    with pytest.raises(ResponseError) as caught:
        Client(engines[1]).create("e2b", from_="tiny")
    assert caught.value.status_code == 400
    assert "is the name of a model" in caught.value.error


def test_a_template_of_ollamas_is_left_out_and_said(engines: tuple[FakeEngine, str]) -> None:
    told = Client(engines[1]).create(
        "x", from_="tiny", template="{{ .Prompt }}", license="MIT", stream=True
    )
    said = [str(line.status) for line in told]
    assert said[0].startswith("TEMPLATE is left out")
    assert said[-1] == "success"
    body = {"model": "x", "from": "tiny", "template": "{{ .Prompt }}", "license": "MIT"}
    answer = httpx.post(f"{engines[1]}/api/create", json={**body, "stream": False}).json()
    assert answer == {"status": "success", "gemma_mtp": {"notes": said[:-1]}}
    quiet = {"model": "x", "from": "tiny", "stream": False}
    assert httpx.post(f"{engines[1]}/api/create", json=quiet).json() == {"status": "success"}
