"""Models of Ollama's registry: what a manifest becomes, and how its layers come here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import gguf_writer as writer
from support.hub_server import Hub, Stored
from support.pulls import Events, sha256, store_with_official_drafter

from gemma_mtp import paths
from gemma_mtp.api import Preset
from gemma_mtp.errors import BadPair, GemmaMtpError, HubError, ModelNotAvailable, UsageError
from gemma_mtp.models import ollama_names
from gemma_mtp.models.pull import hub_responses, ollama_registry
from gemma_mtp.models.pull.request import PullRequest, fulfil
from gemma_mtp.models.store import Store
from gemma_mtp.options import Options

TARGET, DRAFTER = writer.contents(*writer.target()), writer.contents(*writer.drafter())
PARAMS = json.dumps(
    {"temperature": 0.5, "top_k": 20, "stop": ["<turn|>", "User:"], "num_ctx": 4096, "num_gpu": 9}
).encode()
SYSTEM = b"You are a pirate."
CONTRADICT = "its parameters, which contradict each other"
KINDS = {"model": TARGET, "draft": DRAFTER, "params": PARAMS, "system": SYSTEM,
         "template": b"{{ .Prompt }}"}  # fmt: skip


def manifest(**layers: bytes | list[bytes]) -> bytes:
    """One that names these layers by kind."""
    listed = [
        {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{sha256(body)}",
         "size": len(body)}
        for kind, bodies in layers.items()
        for body in (bodies if isinstance(bodies, list) else [bodies])
    ]  # fmt: skip
    return json.dumps({"schemaVersion": 2, "config": {}, "layers": listed}).encode()


@pytest.fixture
def store(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv(ollama_registry.VARIABLE, hub.url + "/")
    hub.files = {f"{kind}.bin": Stored.of(body) for kind, body in KINDS.items()}
    hub.manifests = {
        "library/gemma4/e2b": manifest(**KINDS),
        "library/gemma4/bare": manifest(model=TARGET),
        "me/tuned/latest": manifest(model=TARGET, draft=b"no GGUF"),
    }
    return store_with_official_drafter(hub, tmp_path)


def test_a_model_with_its_drafter_is_pulled_and_found_by_its_name(hub: Hub, store: Store) -> None:
    events = Events()
    name = fulfil("ollama:gemma4:e2b", PullRequest(), store, events.append)
    assert name == "ollama:gemma4:e2b"
    assert "drafter.gguf: the drafter of ollama:gemma4:e2b." in events.notes
    for spelling in (name, "OLLAMA:Gemma4:E2B", "ollama:library/gemma4:e2b"):
        files = store.resolve(spelling)
        assert files.name == name
        assert files.drafter is not None
        assert (files.target.read_bytes(), files.drafter.read_bytes()) == (TARGET, DRAFTER)
    hub.requests.clear()
    assert fulfil(name, PullRequest(), store, events.append) == name
    assert not hub.requests


def test_its_parameters_and_system_prompt_hold_and_what_is_left_out_is_named(
    hub: Hub, store: Store
) -> None:
    events = Events()
    name = fulfil("ollama:gemma4:e2b", PullRequest(), store, events.append)
    files = store.resolve(name)
    options = files.fill(Options())
    assert (options.temperature, options.top_k, options.top_p) == (0.5, 20, 0.95)
    assert (options.system, options.stop) == ("You are a pirate.", ("User:",))
    assert options.context == 4096
    assert (
        "Not taken over from ollama:gemma4:e2b: num_gpu, its template (that of the file is used)."
        in events.notes
    )
    mine = files.fill(Options().with_values(system="Be brief.", context=512))
    assert (mine.system, mine.context, mine.stop) == ("Be brief.", 512, ("User:",))


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ({"params": b"{"}, "its parameters, which cannot be used"),
        ({"params": b"[]"}, "its parameters, which cannot be used"),
        ({"params": b"[" * 20_000}, "its parameters, which cannot be used"),
        ({"params": b'{"think": true, "think_budget": 0}'}, CONTRADICT),
        ({"params": b'{"top_k": "many"}'}, "top_k"),
        ({"params": b'{"stop": 5}'}, "stop"),
        ({"params": json.dumps({"stop": ["x"] * 1000}).encode()}, "stop"),
        ({"params": b'{"num_ctx": 1e99}'}, "num_ctx"),
        ({"params": b'{"\\u001b]0;x": 1}'}, "a parameter of no known name"),
        ({"params": b'{"server": "http://evil"}'}, "server"),
        ({"params": b'{"num_predict": -1, "seed": -1}'}, ""),
        ({"system": b"\xff\xfe"}, "its system prompt, which cannot be used"),
        ({"system": b"x" * 40_000}, "its system prompt, which cannot be used"),
        (
            {"messages": b'[{"role": "system", "content": "x"}]'},
            "its messages, which cannot be used",
        ),
    ],
)
def test_what_cannot_be_a_setting_is_left_out(
    hub: Hub, store: Store, layers: dict[str, bytes], words: str
) -> None:
    hub.files |= {f"{kind}.odd": Stored.of(body) for kind, body in layers.items()}
    hub.manifests["library/gemma4/e2b"] = manifest(model=TARGET, draft=DRAFTER, **layers)
    events = Events()
    files = store.resolve(fulfil("ollama:gemma4:e2b", PullRequest(), store, events.append))
    assert files.published == Preset()
    assert events.notes.isprintable() or "\n" in events.notes
    left_out = f"Not taken over from ollama:gemma4:e2b: {words}." if words else "Not taken over"
    assert (left_out in events.notes) is bool(words)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ollama:gemma4:bare", "ollama:gemma4:bare has no drafter"),
        ("ollama:me/tuned", "ollama:me/tuned:latest has a drafter of the kind None"),
    ],
)
def test_without_a_drafter_that_can_be_loaded_the_catalogues_is_taken(
    hub: Hub, store: Store, name: str, why: str
) -> None:
    hub.files["draft.bin"] = Stored.of(b"no GGUF")
    if "tuned" in name:
        with pytest.raises(BadPair, match="is not a GGUF file"):
            fulfil(name, PullRequest(), store, Events().append)
        other = writer.contents(*writer.target())
        hub.manifests["me/tuned/latest"] = manifest(model=TARGET, draft=other)
        why = "ollama:me/tuned:latest has a drafter of the kind gemma4"
    events = Events()
    files = store.resolve(fulfil(name, PullRequest(), store, events.append))
    assert files.drafter is not None
    assert files.drafter.name == "mtp-official.gguf"
    assert why in events.notes
    assert "the drafter of 2b, which has the same shape" in events.notes


def test_a_transfer_that_is_cut_goes_on(hub: Hub, store: Store) -> None:
    big = TARGET + bytes(9 << 20)
    hub.files["model.bin"] = Stored.of(big)
    hub.manifests["library/gemma4/e2b"] = manifest(model=big, draft=DRAFTER)
    hub.faults.cut_every, hub.faults.cuts = 1 << 20, 5
    files = store.resolve(fulfil("ollama:gemma4:e2b", PullRequest(), store, Events().append))
    assert files.target.read_bytes() == big


def test_bytes_that_are_not_those_of_the_digest_are_refused(hub: Hub, store: Store) -> None:
    hub.faults.claim["model.bin"] = Stored.of(TARGET[:-1] + b"?")
    with pytest.raises(GemmaMtpError, match="arrived with other contents"):
        fulfil("ollama:gemma4:e2b", PullRequest(), store, Events().append)
    assert not any(entry.name.startswith("ollama:") for entry in store.ready())


def test_the_hubs_token_stays_with_the_hub(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fulfil("ollama:gemma4:e2b", PullRequest(), store, Events().append)
    assert not hub.tokens_at_cdn


@pytest.mark.parametrize(
    ("name", "place", "offline"),
    [
        ("ollama:gemma4:e2b", "library/gemma4/e2b", False),
        ("ollama:gemma4:e2b", "library/gemma4/e2b", True),
        ("ollama:me/tuned:latest", "me/tuned/latest", True),
    ],
)
def test_what_ollama_has_on_this_machine_is_linked(
    hub: Hub,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    place: str,
    offline: bool,
) -> None:
    theirs = tmp_path / "ollama"
    monkeypatch.setenv("OLLAMA_MODELS", str(theirs))
    (theirs / "blobs").mkdir(parents=True)
    for body in KINDS.values():
        (theirs / "blobs" / f"sha256-{sha256(body)}").write_bytes(body)
    named = theirs / "manifests" / "registry.ollama.ai" / place
    named.parent.mkdir(parents=True)
    named.write_bytes(manifest(**KINDS))
    before = {path: path.stat().st_mtime_ns for path in theirs.rglob("*") if path.is_file()}
    hub.close()
    events = Events()
    files = store.resolve(fulfil(name, PullRequest(offline=offline), store, events.append))
    assert f"{name} is in Ollama's store on this machine." in events.notes
    assert "linked from Ollama's store, nothing to download." in events.notes
    assert files.target.samefile(theirs / "blobs" / f"sha256-{sha256(TARGET)}")
    assert before == {path: path.stat().st_mtime_ns for path in theirs.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("layers", "words", "hint"),
    [
        (
            {"tensor": [b"1", b"2"]},
            "holds its weights as safetensors",
            "gemma-mtp pull ollama:gemma4:e2b",
        ),
        ({"license": b"x"}, "holds no weights", "gemma-mtp pull e2b"),
        ({"model": [TARGET, b"x"]}, "holds 2 files of weights", ""),
        ({"model": TARGET, "adapter": b"x"}, "holds an adapter", ""),
        ({"model": b"GGUF" + bytes(64)}, "has no drafter, and its shape is that of no model", ""),
    ],
)
def test_what_cannot_be_loaded_is_refused_before_its_bytes_come(
    hub: Hub, store: Store, layers: dict[str, Any], words: str, hint: str
) -> None:
    hub.manifests["library/gemma4/e2b-mlx"] = manifest(**layers)
    if isinstance(layers.get("model"), bytes):
        hub.files["model.bin"] = Stored.of(layers["model"])
    with pytest.raises(BadPair, match=words) as caught:
        fulfil("ollama:gemma4:e2b-mlx", PullRequest(), store, Events().append)
    assert hint in (caught.value.hint or "")
    assert not (paths.models_dir() / "ollama-gemma4-e2b-mlx").exists()


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"layers": 3}', b'{"layers": [{"mediaType": "x", "size": 1}]}',
     manifest(model=TARGET).replace(b"sha256:", b"md5:"),
     b'{"layers": [{"mediaType": "x", "digest": "sha256:' + b"A" * 64 + b'", "size": 1}]}'],
)  # fmt: skip
def test_what_is_no_manifest(hub: Hub, store: Store, body: bytes) -> None:
    hub.manifests["library/gemma4/e2b"] = body
    with pytest.raises(HubError, match="sends no manifest of a model"):
        fulfil("ollama:gemma4:e2b", PullRequest(), store, Events().append)


def test_a_model_that_the_registry_does_not_have(store: Store) -> None:
    with pytest.raises(GemmaMtpError, match="library/gemma4"):
        fulfil("ollama:gemma4:e99b", PullRequest(), store, Events().append)
    with pytest.raises(ModelNotAvailable, match="gemma-mtp runs Gemma 4 only"):
        fulfil("ollama:llama3.2:1b", PullRequest(), store, Events().append)
    with pytest.raises(UsageError, match="has no revisions"):
        fulfil("ollama:gemma4:e2b", PullRequest(revision="main"), store, Events().append)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("ollama:gemma4", "ollama:gemma4:latest"),
        ("ollama:library/gemma4:e2b", "ollama:gemma4:e2b"),
        ("ollama:me/x:q4", "ollama:me/x:q4"),
        ("ollama:", ""),
        ("ollama:registry.ollama.ai/library/gemma4:e2b", "ollama:gemma4:e2b"),
        ("ollama:https://ollama.com/me/x", "ollama:me/x:latest"),
        ("ollama:a/b/c/d", ""),
        ("ollama:x\x1b[2J", ""),
        ("ollama:../x", ""),
        ("ollama:x:", ""),
    ],
)
def test_names(typed: str, name: str) -> None:
    if name:
        assert ollama_names.read(typed).name == name
    else:
        with pytest.raises(UsageError, match="is not of the form ollama:MODEL:TAG"):
            ollama_names.read(typed)


def test_a_text_that_is_not_that_of_its_digest_is_refused(hub: Hub, store: Store) -> None:
    hub.faults.claim["system.bin"] = Stored.of(b"You are a parrot.")
    with pytest.raises(HubError, match="sends other contents of its system than its manifest says"):
        fulfil("ollama:gemma4:e2b", PullRequest(), store, Events().append)


@pytest.mark.parametrize(
    ("typed", "words", "hint"),
    [
        ("ollama:hf.co/me/x:Q4_0", "is a repository of the hub", "gemma-mtp pull hf:me/x:Q4_0"),
        ("ollama:example.org:5000/me/x", "example.org:5000 is another registry than Ollama's",
         "GEMMA_MTP_OLLAMA_REGISTRY=https://example.org:5000 gemma-mtp pull ollama:me/x"),
    ],
)  # fmt: skip
def test_other_registries(typed: str, words: str, hint: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        ollama_names.read(typed)
    assert caught.value.hint == hint


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/"])
def test_an_address_of_another_kind_is_not_followed(hub: Hub, store: Store, address: str) -> None:
    hub.redirect = address
    with pytest.raises(HubError, match="leads to an address of another kind") as caught:
        fulfil("ollama:gemma4:e2b", PullRequest(), store, Events().append)
    assert ollama_registry.VARIABLE in caught.value.hint


def test_a_manifest_without_end_or_as_a_web_page(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_responses, "LONGEST_LISTING", 1 << 20)
    hub.manifests["library/gemma4/e2b"] = b" " * (2 << 20)
    with pytest.raises(HubError, match="of more than 1 MB") as caught:
        fulfil("ollama:gemma4:e2b", PullRequest(), store, Events().append)
    assert ollama_registry.VARIABLE in caught.value.hint


def test_a_tag_that_is_not_there_is_named(hub: Hub, store: Store) -> None:
    with pytest.raises(HubError, match=r"/library/gemma4 has no tag nosuch\."):
        fulfil("ollama:gemma4:nosuch", PullRequest(), store, Events().append)
