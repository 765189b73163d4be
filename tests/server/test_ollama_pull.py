"""Pulls and removals over Ollama's routes, from the hub of the tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ollama import Client, ResponseError
from support.hub_server import Hub
from support.pulls import catalogue_of, real_pair
from support.serving import leave, serving
from support.waiting import wait_until

from gemma_mtp import paths
from gemma_mtp.models.catalogue import Catalogue
from gemma_mtp.models.pair_record import UNFINISHED
from gemma_mtp.models.store import BUILTIN_FOLDER, Store
from gemma_mtp.options import Options
from gemma_mtp.resident.identity import place
from gemma_mtp.resident.line import ask
from gemma_mtp.server.engines import Engines

PADDING = bytes(3 << 20)  # after a file's header, so that it does not come in one piece
SLOW = 128 << 10  # bytes a second for each connection: nobody waits here until all has come


@pytest.fixture
def served(hub: Hub, tmp_path: Path) -> Engines:
    """Engines whose only model is on the hub of this test."""
    return engines_of(hub, real_pair(tmp_path / "real"))


def engines_of(hub: Hub, real: dict[str, bytes]) -> Engines:
    catalogue = catalogue_of(hub, real["target"] + PADDING, real["drafter"])
    return Engines(Store(catalogue), Options())


@pytest.fixture
def url(served: Engines) -> Iterator[str]:
    with serving(served) as found:
        yield found


@pytest.fixture
def client(url: str) -> Client:
    return Client(url)


def folder() -> Path:
    return paths.models_dir() / "12b"


def test_a_pull_tells_its_progress_and_ends_with_success(client: Client, hub: Hub) -> None:
    events = list(client.pull("12b", stream=True))
    assert events[0].status == "pulling manifest"
    assert events[-1].status == "success"
    said = [event.status for event in events]
    assert "verifying sha256 digest" in said
    assert said.count("reading the header of target.gguf") == 1
    target = hub.files["target.gguf"]
    of_target = [event for event in events if event.digest == f"sha256:{target.sha256}"]
    assert {event.status for event in of_target} == {"pulling target.gguf"}
    assert {event.total for event in of_target} == {target.size}
    done = [event.completed or 0 for event in of_target]
    assert done == sorted(done)
    listed = client.list().models
    assert [model.model for model in listed] == ["12b:latest"]
    assert listed[0].size == sum(stored.size for stored in hub.files.values())
    assert client.show("12b:latest").capabilities


def test_a_pull_in_one_piece(client: Client, hub: Hub) -> None:
    assert client.pull("12b:latest").status == "success"
    asked = sum(hub.requests.values())
    again = list(client.pull("gemma4:12b", stream=True))
    assert [event.status for event in again] == ["pulling manifest", "success"]
    assert sum(hub.requests.values()) == asked


def test_a_repository_has_the_name_that_ollama_gives_it(url: str, hub: Hub) -> None:
    hub.files["target-Q4_0.gguf"] = hub.files.pop("target.gguf")
    with serving(Engines(Store(Catalogue("model = []\n[sampling]")), Options())) as other:
        client = Client(other)
        asked = {"model": "hf.co/org/pair", "stream": False}
        pulled = httpx.post(f"{other}/api/pull", json=asked, timeout=60).json()
        assert pulled["status"] == "success"
        assert any("the target" in note for note in pulled["gemma_mtp"]["notes"])
        name = client.list().models[0].model or ""
        assert name == "hf.co/org/pair:Q4_0"
        assert client.show(name).details == client.show("hf.co/org/pair:latest").details
        assert client.delete(name).status == "success"
        assert client.list().models == []


def test_what_a_pull_cannot_get_is_an_error_in_the_stream(client: Client, hub: Hub) -> None:
    with pytest.raises(ResponseError, match="nonsense"):
        list(client.pull("nonsense", stream=True))
    with pytest.raises(ResponseError) as caught:
        client.pull("nonsense")
    assert caught.value.status_code == 404
    hub.gated = True
    with pytest.raises(ResponseError):
        list(client.pull("12b", stream=True))
    with pytest.raises(ResponseError) as caught:
        client.pull("12b")
    assert caught.value.status_code == 503
    assert client.list().models == []


def test_what_would_help_is_said_for_who_sits_in_front_of_another_program(
    client: Client,
) -> None:
    with pytest.raises(ResponseError) as caught:
        client.pull("llama3:8b")
    assert caught.value.error.endswith(": gemma-mtp pull 12b (on the machine of the server)")


def test_a_client_that_leaves_stops_the_pull_and_the_part_stays(
    url: str, client: Client, hub: Hub
) -> None:
    hub.faults.rate = SLOW
    with httpx.stream("POST", f"{url}/api/pull", json={"model": "12b"}, timeout=60) as response:
        for line in response.iter_lines():
            if json.loads(line).get("completed", 0) > 200_000:
                break
    wait_until(lambda: hub.connections == 0)
    assert (folder() / UNFINISHED).is_file()
    kept = hub.sent["target.gguf"]
    assert 0 < kept < hub.files["target.gguf"].size
    hub.faults.rate = 0
    assert client.pull("12b").status == "success"
    assert hub.sent["target.gguf"] < kept + hub.files["target.gguf"].size


def test_one_that_waits_for_all_of_it_stops_it_too(url: str, hub: Hub) -> None:
    hub.faults.rate = SLOW
    asked = {"model": "12b", "stream": False}
    leave(f"{url}/api/pull", asked, lambda: hub.sent["target.gguf"] > 0)
    wait_until(lambda: hub.connections == 0)
    assert 0 < hub.sent["target.gguf"] < hub.files["target.gguf"].size


def test_a_server_that_is_stopped_stops_the_pull(served: Engines, client: Client, hub: Hub) -> None:
    hub.faults.rate = SLOW
    events = client.pull("12b", stream=True)
    while not next(events).completed:
        pass
    served.stopping = True
    with pytest.raises(ResponseError, match=r"is being stopped\. What has arrived is kept"):
        list(events)
    assert hub.sent["target.gguf"] < hub.files["target.gguf"].size


def test_two_pulls_at_once_fetch_it_once(client: Client, url: str, hub: Hub) -> None:
    hub.faults.rate = SLOW
    said: list[list[Any]] = [[], []]

    def pull(statuses: list[Any]) -> None:
        statuses.extend(event.status for event in Client(url).pull("12b", stream=True))

    threads = [threading.Thread(target=pull, args=(statuses,)) for statuses in said]
    for thread in threads:
        thread.start()
    wait_until(lambda: any("Another pull of 12b is running; waiting for it." in s for s in said))
    hub.faults.rate = 0
    for thread in threads:
        thread.join(60)
    assert [statuses[-1] for statuses in said] == ["success", "success"]
    assert hub.sent["target.gguf"] == hub.files["target.gguf"].size


def test_a_model_is_deleted(client: Client) -> None:
    client.pull("12b")
    assert client.delete("12b:latest").status == "success"
    assert client.list().models == []
    assert not folder().exists()
    with pytest.raises(ResponseError) as caught:
        client.delete("12b")
    assert caught.value.status_code == 404


def test_a_model_that_is_loaded_is_unloaded_and_deleted(hub: Hub) -> None:
    roles = ("target", "drafter")
    files = {role: (BUILTIN_FOLDER / f"tiny-{role}.gguf").read_bytes() for role in roles}
    with serving(engines_of(hub, files)) as url:
        client = Client(url)
        client.pull("12b")
        assert client.generate("12b", "Hello", options={"num_predict": 2}).response
        assert [model.name for model in client.ps().models] == ["12b:latest"]
        away = folder().rename(folder().with_name("away"))  # as `gemma-mtp rm` might do meanwhile
        loaded = client.ps().models[0]
        assert (loaded.name, len(loaded.digest or "")) == ("12b:latest", 64)
        away.rename(folder())
        assert client.delete("12b").status == "success"
        assert client.ps().models == []
    assert not folder().exists()
    ask(place(), "stop")


def test_a_model_that_is_just_pulled_is_not_deleted(url: str, client: Client, hub: Hub) -> None:
    hub.faults.rate = SLOW
    with httpx.stream("POST", f"{url}/api/pull", json={"model": "12b"}, timeout=60) as response:
        for line in response.iter_lines():
            if json.loads(line).get("completed"):
                break
        with pytest.raises(ResponseError) as caught:
            client.delete("12b")
    assert caught.value.status_code == 400
    assert "just being pulled" in caught.value.error
