"""Ollama's dialect, spoken by Ollama's own Python client and by requests as other programs send
them, with the built-in pair."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from ollama import AsyncClient, Client, ResponseError
from support.serving import serving
from support.waiting import wait_until

from gemma_mtp.models import last_used
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.store import BUILTIN_FOLDER, Store
from gemma_mtp.options import Options
from gemma_mtp.resident.identity import place
from gemma_mtp.resident.line import ask
from gemma_mtp.server.engines import Engines

ASK = [{"role": "user", "content": "Name three fruits."}]
FEW: dict[str, Any] = {"num_predict": 8, "seed": 1}
LONG = [{"role": "user", "content": "Count from 1 to 300."}]


@pytest.fixture
def client(served: str) -> Client:
    return Client(served)


@pytest.fixture
def raw(served: str) -> Iterator[httpx.Client]:
    """For what the client does not send."""
    with httpx.Client(base_url=served, timeout=60) as client:
        yield client


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in response.text.splitlines()]


def refusal(response: httpx.Response, status: int = 400) -> str:
    """The sentence of an error, in Ollama's form."""
    assert response.status_code == status, response.text
    body = response.json()
    assert list(body) == ["error"]
    return str(body["error"])


def engine() -> dict[str, Any]:
    status: dict[str, Any] = ask(place(), "status")
    return status


def test_a_reply_makes_the_model_one_that_was_used(client: Client) -> None:
    last_used.forget("tiny")
    client.chat("tiny", ASK, options=FEW)
    assert last_used.when("tiny") is not None


# --- replies ---------------------------------------------------------------------------------


def test_a_chat_in_one_piece_has_its_figures(client: Client) -> None:
    reply = client.chat("tiny", ASK, options=FEW)
    assert reply.message.role == "assistant"
    assert reply.message.content
    assert reply.message.thinking is None
    assert (reply.model, reply.done, reply.done_reason) == ("tiny", True, "length")
    assert reply.eval_count == 8
    assert (reply.prompt_eval_count or 0) > 5
    parts = (reply.load_duration, reply.prompt_eval_duration, reply.eval_duration)
    assert 0 < sum(part or 0 for part in parts) <= (reply.total_duration or 0)
    assert reply.created_at
    assert datetime.fromisoformat(reply.created_at).tzinfo is not None


def test_a_streamed_chat_says_the_same(client: Client) -> None:
    whole = client.chat("tiny", ASK, options=FEW)
    *pieces, last = client.chat("tiny", ASK, options=FEW, stream=True)
    assert len(pieces) > 2
    assert "".join(piece.message.content or "" for piece in pieces) == whole.message.content
    assert not any(piece.done for piece in pieces)
    assert (last.done, last.done_reason, last.eval_count) == (True, "length", 8)
    assert last.message.content == ""


def test_generate_says_the_same_as_a_chat_of_one_message(client: Client) -> None:
    whole = client.generate("tiny", "Name three fruits.", options=FEW)
    assert whole.response == client.chat("tiny", ASK, options=FEW).message.content
    *pieces, last = client.generate("tiny", "Name three fruits.", options=FEW, stream=True)
    assert "".join(piece.response or "" for piece in pieces) == whole.response
    assert (last.response, last.done_reason) == ("", "length")
    system = client.generate("tiny", "Name three fruits.", system="Be brief.", options=FEW)
    said = [{"role": "system", "content": "Be brief."}, *ASK]
    assert system.response == client.chat("tiny", said, options=FEW).message.content


def test_a_raw_prompt_is_read_as_it_is(client: Client) -> None:
    asked = client.generate("tiny", "Name three fruits.", options=FEW)
    prompt = "<|turn>user\nName three fruits.<turn|>\n<|turn>model\n"
    assert client.generate("tiny", prompt, raw=True, options=FEW).response == asked.response
    plain = client.generate("tiny", "Name three fruits.", raw=True, options=FEW)
    assert plain.prompt_eval_count != asked.prompt_eval_count


def test_without_a_word_about_it_a_reply_is_a_stream(raw: httpx.Client) -> None:
    response = raw.post("/api/chat", json={"model": "tiny", "messages": ASK, "options": FEW})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert lines(response)[-1]["done"]
    whole = {"model": "tiny", "messages": ASK, "options": FEW, "stream": False}
    assert raw.post("/api/chat", json=whole).headers["content-type"] == "application/json"


def test_the_last_line_has_the_figures_of_drafting(raw: httpx.Client) -> None:
    found = lines(raw.post("/api/chat", json={"messages": LONG, "options": {"num_predict": 80}}))
    last = found[-1]
    assert last["gemma_mtp"]["rounds"] > 0
    assert last["timings"]["draft_n"] == last["gemma_mtp"]["drafted"]
    assert last["timings"]["draft_n_accepted"] == last["gemma_mtp"]["accepted"]


def test_a_conversation_reads_only_what_is_new(raw: httpx.Client) -> None:
    said = [{"role": "user", "content": "Tell me about rivers. " * 40}]
    body = {"model": "tiny", "messages": said, "options": {"num_predict": 20}, "stream": False}
    first = raw.post("/api/chat", json=body).json()
    said += [first["message"], {"role": "user", "content": "And lakes?"}]
    second = raw.post("/api/chat", json=body).json()
    assert second["prompt_eval_count"] > first["prompt_eval_count"] > 100
    assert second["timings"]["prompt_n"] < 60


def test_thoughts_have_a_field_of_their_own(client: Client) -> None:
    said = [{"role": "user", "content": "What is 17 plus 25?"}]
    reply = client.chat("tiny", said, think=True, options={"seed": 1, "num_predict": 200})
    streamed = list(
        client.chat("tiny", said, think="low", options={"seed": 1, "num_predict": 200}, stream=True)
    )
    thoughts = "".join(piece.message.thinking or "" for piece in streamed)
    assert (reply.message.thinking or "") == thoughts != ""
    assert reply.message.content == "".join(piece.message.content or "" for piece in streamed)
    single = client.generate("tiny", said[0]["content"], think=True,
                             options={"seed": 1, "num_predict": 200})  # fmt: skip
    assert single.thinking == thoughts


def test_stop_ends_a_reply_before_itself(client: Client) -> None:
    whole = client.chat("tiny", LONG, options={"seed": 1, "num_predict": 60}).message.content or ""
    word = whole[len(whole) // 2 :].split()[0]
    for stop in ([word], word):
        reply = client.chat("tiny", LONG, options={"seed": 1, "num_predict": 60, "stop": stop})
        assert reply.done_reason == "stop"
        assert word not in (reply.message.content or "")


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0, "top_k": -1, "top_p": 1, "min_p": 0.1},
        {"repeat_penalty": 1.2, "repeat_last_n": -1},
        {"repeat_penalty": 1.2, "repeat_last_n": 0},
        {"seed": -1},
        {"num_ctx": 0},
        {"num_ctx": 64},
        {"draft_num_predict": 0},
        {"draft_num_predict": 99, "seed": 3.0},
        {"mirostat": 0, "mirostat_tau": 5.0, "mirostat_eta": 0.1, "tfs_z": 1.0, "typical_p": 1.0},
        {"presence_penalty": 0.0, "frequency_penalty": 0, "penalize_newline": True},
        {"num_gpu": 1, "num_thread": 8, "num_batch": 512, "main_gpu": 0, "use_mmap": True},
        {"low_vram": False, "numa": False, "num_keep": 5, "f16_kv": True, "use_mlock": False},
        {"an_option_of_tomorrow": 1},
        {"stop": []},
    ],
)
def test_options_that_are_taken(client: Client, options: dict[str, Any]) -> None:
    reply = client.generate("tiny", "Hello", options={**options, "num_predict": 2})
    assert reply.eval_count in (1, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mirostat": 2}, "options.mirostat is not supported."),
        ({"tfs_z": 0.5}, "options.tfs_z is not supported."),
        ({"typical_p": 0.7}, "options.typical_p is not supported."),
        ({"presence_penalty": 1.5}, "options.presence_penalty is not supported."),
        ({"frequency_penalty": 1}, "options.frequency_penalty is not supported."),
        ({"penalize_newline": False}, "options.penalize_newline is not supported."),
        ({"num_predict": 0}, "options.num_predict must be -1, -2 (both: no limit) or"),
        ({"num_predict": "many"}, "options.num_predict must be "),
        ({"num_ctx": -1}, "options.num_ctx must be"),
        ({"num_ctx": 2**21}, "options.num_ctx must be"),
        ({"num_ctx": 8193}, "options.num_ctx must be at most 8192, the context that tiny was"),
        ({"temperature": -1}, "options.temperature must be"),
        ({"top_p": 0}, "options.top_p must be"),
        ({"repeat_last_n": 2**30}, "options.repeat_last_n must be"),
        ({"stop": [""]}, "options.stop must be"),
    ],
)
def test_options_that_are_refused_by_name(
    raw: httpx.Client, options: dict[str, Any], said: str
) -> None:
    body = {"model": "tiny", "prompt": "Hello", "options": options}
    assert refusal(raw.post("/api/generate", json=body)).startswith(said)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("suffix", "}"),
        ("template", "{{ .Prompt }}"),
        ("context", [1, 2, 3]),
        ("logprobs", True),
        ("top_logprobs", 3),
    ],
)
def test_fields_that_would_change_the_reply_are_refused_by_name(
    raw: httpx.Client, field: str, value: object
) -> None:
    body = {"model": "tiny", "prompt": "Hello", "messages": ASK, field: value}
    for route in ("/api/generate", "/api/chat"):
        refused = refusal(raw.post(route, json=body))
        assert refused.startswith(field)
        assert "is not supported" in refused or "are not supported" in refused


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            {"role": "user", "content": "?", "images": ["aGVsbG8="]},
            "messages.1.images.0 is neither a picture nor a recording",
        ),
        ({"role": "boss", "content": "Go."}, "messages.1.role must be "),
    ],
)
def test_messages_that_are_refused_by_name(
    raw: httpx.Client, message: dict[str, Any], said: str
) -> None:
    body = {"model": "tiny", "messages": [*ASK, message]}
    assert refusal(raw.post("/api/chat", json=body)).startswith(said)


def test_neutral_values_are_taken(raw: httpx.Client) -> None:
    body = {"model": "tiny", "messages": [{**ASK[0], "images": [], "tool_calls": None}],
            "format": "", "tools": [], "options": {**FEW, "num_ctx": None}, "think": None,
            "keep_alive": None, "stream": None, "logprobs": False, "truncate": True,
            "shift": True}  # fmt: skip
    assert lines(raw.post("/api/chat", json=body))[-1]["done"]
    body = {"model": "tiny", "prompt": "Hello", "suffix": "", "system": "", "template": "",
            "context": [], "images": None, "raw": False, "format": None,
            "options": FEW}  # fmt: skip
    assert lines(raw.post("/api/generate", json=body))[-1]["done"]


def test_what_does_not_fit_the_context_is_refused_and_not_cut(raw: httpx.Client) -> None:
    said = [{"role": "user", "content": "word " * 9000}]
    body = {"model": "tiny", "messages": said, "truncate": True, "stream": True}
    assert "context" in refusal(raw.post("/api/chat", json=body))


def test_a_model_that_is_not_here_is_a_404(client: Client, raw: httpx.Client) -> None:
    for name in ("nonsense", "e2b", "gemma4:e2b", "llama3.2:3b"):
        with pytest.raises(ResponseError) as caught:
            client.chat(name, ASK)
        assert caught.value.status_code == 404
        with pytest.raises(ResponseError) as caught:
            next(iter(client.chat(name, ASK, stream=True)))
        assert caught.value.status_code == 404
        for route in ("/api/show", "/api/generate"):
            assert refusal(raw.post(route, json={"model": name, "prompt": "Hello"}), 404)


def test_no_client_learns_of_files(raw: httpx.Client) -> None:
    there = str(BUILTIN_FOLDER / "tiny-target.gguf")
    for name in (there, "/etc/passwd", "./nothing.gguf", "../up/tiny"):
        for route in ("/api/show", "/api/chat", "/api/pull", "/api/delete"):
            method = "DELETE" if route.endswith("delete") else "POST"
            body = {"model": name, "messages": ASK, "stream": False}
            assert "There is no model called" in refusal(raw.request(method, route, json=body), 404)


def test_the_file_that_serve_was_started_with(home: Path) -> None:
    there = str(BUILTIN_FOLDER / "tiny-target.gguf")
    with serving(Engines(Store(load_catalogue()), Options(), there)) as url:
        client = Client(url)
        names = [model.model or "" for model in client.list().models]
        assert names == ["tiny:latest", there]
        assert client.show(there).details == client.show("tiny").details
        assert client.chat(there, ASK, options=FEW).message.content
        loaded = client.ps().models[0]
        assert (loaded.name, loaded.digest) == (there, client.list().models[1].digest)
        assert client.generate(there, keep_alive=0).done_reason == "unload"


def test_a_file_that_was_used_last_is_listed_as_it_answers_where_none_is_named(home: Path) -> None:
    there = str(BUILTIN_FOLDER / "tiny-target.gguf")
    store = Store(load_catalogue())
    store.remember_used(there)
    try:
        with serving(Engines(store, Options())) as url:
            assert [model.model for model in Client(url).list().models] == ["tiny:latest", there]
            listed = httpx.get(f"{url}/v1/models").json()["data"]
            assert [model["id"] for model in listed if model["default"]] == [there]
    finally:
        store.remember_used("tiny")


def test_where_that_file_is_gone_the_other_models_are_listed(home: Path) -> None:
    with serving(Engines(Store(load_catalogue()), Options(), str(home / "gone.gguf"))) as url:
        assert [model.model for model in Client(url).list().models] == ["tiny:latest"]
        answer = httpx.get(f"{url}/v1/models")
        assert [model["id"] for model in answer.json()["data"]] == ["tiny"]


def test_bodies_that_are_none(raw: httpx.Client) -> None:
    for content in (b"", b"{", b"[]", b'{"model": "tiny", "messages": "Hello"}'):
        assert refusal(raw.post("/api/chat", content=content))
    body = {"model": "tiny", "messages": ASK, "keep_alive": "soon"}
    assert refusal(raw.post("/api/chat", json=body)).startswith("keep_alive must be")
    body = {"model": "tiny", "messages": ASK, "think": "a little"}
    assert refusal(raw.post("/api/chat", json=body)).startswith("think")


def test_curl_sends_json_as_a_form(raw: httpx.Client) -> None:
    """As all examples of Ollama's documentation do."""
    body = json.dumps({"model": "tiny", "prompt": "Hello", "options": FEW})
    for kind in ("application/x-www-form-urlencoded", "text/plain", ""):
        headers = {"content-type": kind} if kind else None
        response = raw.post("/api/generate", content=body, headers=headers)
        assert lines(response)[-1]["done"]


def test_bodies_that_cannot_be_read_at_all(raw: httpx.Client) -> None:
    """Those that are no text, and those that Python's parser gives up on."""
    deep, long = b"[" * 100_000, b'{"model": ' + b"9" * 5000 + b"}"
    for content in (b"\xff", deep, long):
        response = raw.post("/api/chat", content=content)
        assert response.status_code == 400
        assert "The body cannot be read" in refusal(response)
    packed = raw.post("/api/chat", content=b"\x1f\x8b\x08", headers={"content-encoding": "gzip"})
    assert "content-encoding gzip" in refusal(packed, 415)


@pytest.mark.parametrize("name", ["\ud800", "\ud800/x", "/x\x00"])
def test_a_name_that_is_no_text_names_no_model(raw: httpx.Client, name: str) -> None:
    for path in ("/api/show", "/api/chat", "/v1/chat/completions", "/v1/messages"):
        body = {"model": name, "messages": ASK, "max_tokens": 1}
        response = raw.post(path, content=json.dumps(body))
        assert response.status_code == 404, response.text


# --- loading, unloading, leaving -------------------------------------------------------------


@pytest.mark.parametrize("keep", [1e10, 1e14, "99999999999h", 1e300])
def test_a_time_longer_than_anybody_waits_is_one_without_end(
    client: Client, keep: float | str
) -> None:
    client.generate("tiny", "Hi", options=FEW, keep_alive=keep)
    before = engine()["pid"]
    loaded = client.ps().models[0]
    assert loaded.expires_at is not None
    assert loaded.expires_at.year > 2100
    client.generate("tiny", "Hi", options=FEW, keep_alive="5m")
    assert engine()["pid"] == before


def test_an_empty_request_loads_and_unloads(client: Client) -> None:
    assert client.generate("tiny", keep_alive=0).done_reason == "unload"
    assert engine()["model"] is None
    loaded = client.generate("tiny")
    assert (loaded.done_reason, loaded.response) == ("load", "")
    assert engine()["model"] == "tiny"
    assert client.chat("tiny", keep_alive="0s").done_reason == "unload"
    assert engine()["model"] is None
    assert client.chat("tiny", []).done_reason == "load"
    assert engine()["model"] == "tiny"


def test_a_smaller_context_takes_nothing_away_and_a_larger_one_comes(client: Client) -> None:
    client.generate("tiny", keep_alive=0)
    sizes = []
    for num_ctx in (1024, 512, 2048, 1024, None):
        client.generate("tiny", "Hello", options={**FEW, "num_ctx": num_ctx})
        sizes.append(client.ps().models[0].context_length)
    assert sizes == [1024, 1024, 2048, 2048, 8192]


@pytest.mark.parametrize("keep_alive", [-1, "-1", "-1s", "-5m"])
def test_below_0_the_model_stays(client: Client, keep_alive: float | str) -> None:
    client.chat("tiny", ASK, options=FEW, keep_alive=keep_alive)
    assert engine()["seconds_left"] is None
    expires = client.ps().models[0].expires_at
    assert expires is not None
    assert expires.year > datetime.now(UTC).year + 100


def test_with_0_the_model_goes_after_the_reply(client: Client) -> None:
    assert client.chat("tiny", ASK, options=FEW, keep_alive=0).message.content
    wait_until(lambda: ask(place(), "status") is None or engine()["model"] is None)


def test_the_asynchronous_client(served: str) -> None:
    async def talk() -> None:
        client = AsyncClient(served)
        replies = await asyncio.gather(*(client.chat("tiny", ASK, options=FEW) for _ in range(3)))
        assert len({reply.message.content for reply in replies}) == 1
        pieces = await client.chat("tiny", ASK, options=FEW, stream=True)
        text = "".join([piece.message.content or "" async for piece in pieces])
        assert text == replies[0].message.content

    asyncio.run(talk())


# --- models ----------------------------------------------------------------------------------


def test_names_of_the_list_work_everywhere(client: Client) -> None:
    listed = client.list().models
    assert [model.model for model in listed] == ["tiny:latest"]
    model = listed[0]
    assert len(model.digest or "") == 64
    assert (model.size or 0) > 1_000_000
    assert model.modified_at is not None
    assert model.details is not None
    assert (model.details.family, model.details.quantization_level) == ("gemma4", "Q4_0")
    assert (model.details.format, model.details.parameter_size) == ("gguf", "14.9M")
    for name in ("tiny:latest", "tiny"):
        assert client.show(name).details == model.details
        assert client.chat(name, ASK, options=FEW).model == name
    loaded = client.ps().models[0]
    assert (loaded.model, loaded.name) == ("tiny:latest", "tiny:latest")
    assert (loaded.digest, loaded.details) == (model.digest, model.details)
    assert (loaded.context_length, loaded.size_vram) == (8192, 0)
    assert (loaded.size or 0) > (model.size or 0)
    assert loaded.expires_at is not None
    assert loaded.expires_at > datetime.now(UTC)


def test_what_a_model_is(client: Client, raw: httpx.Client) -> None:
    found = client.show("tiny:latest")
    assert found.capabilities == ["completion", "thinking"]
    info = found.modelinfo
    assert info is not None
    assert info["general.architecture"] == "gemma4"
    assert info["general.basename"] == "tiny"
    assert info["general.parameter_count"] > 10_000_000
    assert (info["gemma4.context_length"], info["gemma4.embedding_length"]) == (8192, 448)
    assert "tokenizer.ggml.tokens" not in info
    assert "enable_thinking" in (found.template or "")
    parameters = dict(line.split() for line in (found.parameters or "").splitlines())
    assert (parameters["num_ctx"], parameters["temperature"]) == ("8192", "1.0")
    assert "FROM " in (found.modelfile or "")
    assert found.license == "Apache-2.0"
    more = raw.post("/api/show", json={"name": "tiny", "verbose": True}).json()
    assert more["tensors"][0].keys() == {"name", "type", "shape"}


def test_nothing_is_loaded_after_unloading(client: Client) -> None:
    client.generate("tiny", keep_alive=0)
    assert client.ps().models == []


def test_heads_and_the_root(raw: httpx.Client) -> None:
    for path in ("/", "/api/version", "/api/tags"):
        response = raw.head(path)
        assert (response.status_code, response.content) == (200, b"")
    assert raw.get("/").text.startswith("Ollama is running")
    found = [int(part) for part in raw.get("/api/version").json()["version"].split(".")]
    assert found >= [0, 13, 4]


def test_the_built_in_model_cannot_be_deleted(client: Client) -> None:
    with pytest.raises(ResponseError) as caught:
        client.delete("tiny")
    assert caught.value.status_code == 400
    assert "belongs to the program" in caught.value.error
    with pytest.raises(ResponseError) as caught:
        client.delete("e2b")
    assert caught.value.status_code == 404


def test_what_is_not_made_here_says_so(client: Client, raw: httpx.Client) -> None:
    for attempt in (
        lambda: client.embed("tiny", "Hello"),
        lambda: client.embeddings("tiny", "Hello"),
        lambda: client.create("mine", files={"target.gguf": "sha256:00"}),
        lambda: client.push("tiny"),
    ):
        with pytest.raises(ResponseError) as caught:
            attempt()
        assert caught.value.status_code == 501
        assert "gemma-mtp" in caught.value.error
    assert raw.head("/api/blobs/sha256:00").status_code == 404
