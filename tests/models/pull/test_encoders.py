"""Image encoders: which one is taken, when it comes, and what happens where it cannot be had."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support import gguf_writer as writer
from support.encoder import write_encoder
from support.hub_server import Hub, Stored
from support.pulls import CONTENTS, ENTRY, Events, fetch, real_pair, sha256

from gemma_mtp.errors import BadPair
from gemma_mtp.models import gguf, gguf_names, inventory
from gemma_mtp.models.catalogue import Entry, RemoteFile, load_catalogue
from gemma_mtp.models.encoder_check import check_encoder
from gemma_mtp.models.pair_record import read_record
from gemma_mtp.models.pull import ollama_registry
from gemma_mtp.models.pull.freshness import changed
from gemma_mtp.models.pull.options import PullOptions
from gemma_mtp.models.pull.pair import pull
from gemma_mtp.models.pull.request import PullRequest, fulfil
from gemma_mtp.models.store import Store

NAME = "mmproj-F16.gguf"


@pytest.fixture
def encoder(tmp_path: Path) -> bytes:
    return write_encoder(tmp_path / "encoder", writer.WIDTH).read_bytes()


@pytest.fixture
def entry(hub: Hub, encoder: bytes) -> Entry:
    """A pair with an encoder, which the hub has."""
    hub.files[NAME] = Stored.of(encoder)
    return replace(ENTRY, encoder=RemoteFile(NAME, "F16", sha256(encoder), len(encoder)))


def test_it_comes_with_the_pair_and_its_size_is_said_before(entry: Entry, tmp_path: Path) -> None:
    events = fetch(tmp_path / "pair", entry=entry)
    assert (tmp_path / "pair" / NAME).is_file()
    said = events.notes.splitlines()
    assert [line for line in said if "--no-images" in line] == [
        "To download: 4 MB; 815 kB of it are the image encoder, which --no-images leaves out."
    ]
    record = read_record(tmp_path / "pair")
    assert record is not None
    assert [file.role for file in record.files] == ["drafter", "encoder", "target"]


def test_a_pair_that_was_pulled_without_it_gets_it_alone(
    hub: Hub, entry: Entry, tmp_path: Path
) -> None:
    folder = tmp_path / "pair"
    fetch(folder, entry=replace(entry, encoder=None))
    assert not (folder / NAME).exists()
    hub.sent.clear()
    fetch(folder, entry=entry)
    assert (folder / NAME).is_file()
    assert [*hub.sent] == [NAME]
    hub.requests.clear()
    fetch(folder, entry=entry)
    fetch(folder, entry=replace(entry, encoder=None))
    assert not hub.requests
    assert (folder / NAME).is_file()


def test_a_pair_without_it_is_ready_and_offline_it_stays_so(entry: Entry, tmp_path: Path) -> None:
    folder = tmp_path / "pair"
    fetch(folder, entry=replace(entry, encoder=None))
    events = Events()
    files = pull(entry, folder, events.append, PullOptions(offline=True))
    assert files.encoder is None
    assert "is not on this machine, and --offline was given. It is left out" in events.notes


@pytest.mark.parametrize("width", [writer.WIDTH, 3 * writer.WIDTH])
def test_one_that_cannot_be_had_or_does_not_fit_is_left_out_with_a_sentence(
    hub: Hub, tmp_path: Path, width: int
) -> None:
    body = write_encoder(tmp_path / "encoder", width).read_bytes()
    if width != writer.WIDTH:
        hub.files[NAME] = Stored.of(body)
    entry = replace(ENTRY, encoder=RemoteFile(NAME, "F16", sha256(body), len(body)))
    events = Events()
    files = pull(entry, tmp_path / "pair", events.append)
    assert files.encoder is None
    assert (files.target.name, files.drafter and files.drafter.name) == tuple(CONTENTS)
    assert ". It is left out, so that no pictures can be read." in events.notes
    if width != writer.WIDTH:
        assert f"it is made for width {width}, the target has {writer.WIDTH}" in events.notes
    assert not (tmp_path / "pair" / NAME).exists()


def test_a_damaged_one_is_fetched_again(hub: Hub, entry: Entry, tmp_path: Path) -> None:
    folder = tmp_path / "pair"
    fetch(folder, entry=entry)
    whole = (folder / NAME).read_bytes()
    (folder / NAME).write_bytes(whole[:-1] + b"\xff")
    fetch(folder, entry=entry)
    assert (folder / NAME).read_bytes() == whole


# --- of a repository -----------------------------------------------------------------------------


@pytest.fixture
def store(hub: Hub, tmp_path: Path, encoder: bytes) -> Store:
    real = real_pair(tmp_path / "real")
    hub.files = {
        "gemma-4-12B-it-qat-UD-Q4_K_XL.gguf": Stored.of(real["target"]),
        "mtp-gemma-4-12B-it.gguf": Stored.of(real["drafter"]),
        "mmproj-BF16.gguf": Stored.of(encoder + b"\0" * 32),
        NAME: Stored.of(encoder),
    }
    return Store(load_catalogue())


def test_one_that_was_changed_since_is_not_used(store: Store) -> None:
    """llama.cpp might end the process over it."""
    name = fulfil("hf:org/pair", PullRequest(), store, Events().append)
    place = store.resolve(name).encoder
    assert place is not None
    place.write_bytes(place.read_bytes().replace(b"patch_size", b"patch_sizf"))
    files = store.resolve(name)
    assert (files.encoder, files.no_encoder) == (None, f"gemma-mtp pull {name}")


def test_that_of_a_repository_comes_along(hub: Hub, store: Store) -> None:
    events = Events()
    name = fulfil("hf:org/pair", PullRequest(), store, events.append)
    assert f"{NAME}: its image encoder." in events.notes
    files = store.resolve(name)
    assert files.encoder is not None
    assert (files.encoder.name, files.no_encoder) == (NAME, "")
    item = inventory.find(store, name)
    assert [file.role for file in item.files] == ["target", "drafter", "encoder"]
    assert item.bytes == sum(file.path.stat().st_size for file in item.files)
    hub.requests.clear()
    assert fulfil(name, PullRequest(), store, events.append) == name
    assert not hub.requests
    assert changed(item_entry(store, name), events.append) == ()
    hub.files[NAME] = hub.files["mmproj-BF16.gguf"]
    assert changed(item_entry(store, name), events.append) == ("encoder",)


def item_entry(store: Store, name: str) -> Entry:
    found = store.find(name)
    assert found is not None
    return found


def test_without_images_it_stays_away_and_the_next_pull_brings_it(store: Store) -> None:
    events = Events()
    name = fulfil("hf:org/pair", PullRequest(images=False), store, events.append)
    files = store.resolve(name)
    assert (files.encoder, files.no_encoder) == (None, f"gemma-mtp pull {name}")
    fulfil(name, PullRequest(), store, events.append)
    assert store.resolve(name).encoder is not None


def test_a_pair_of_an_older_version_gets_it(hub: Hub, store: Store) -> None:
    events = Events()
    name = fulfil("hf:org/pair", PullRequest(images=False), store, events.append)
    place = store.folder(item_entry(store, name)) / "pair.json"
    record = json.loads(place.read_text())
    del record["asked_encoder"]
    place.write_text(json.dumps(record))
    hub.requests.clear()
    fulfil(name, PullRequest(), store, events.append)
    assert store.resolve(name).encoder is not None


def test_a_repository_without_one_is_asked_once(hub: Hub, store: Store) -> None:
    for name in ("mmproj-BF16.gguf", NAME):
        del hub.files[name]
    events = Events()
    fulfil("hf:org/pair", PullRequest(), store, events.append)
    hub.requests.clear()
    fulfil("hf:org/pair", PullRequest(), store, events.append)
    assert not hub.requests


def test_a_carried_pair_brings_it_or_goes_without(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events()
    for images in (False, True):
        away = tmp_path / f"away {images}"
        fulfil("hf:org/pair", PullRequest(to=away, images=images), store, events.append)
        monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path / f"home {images}"))
        name = fulfil(None, PullRequest(source=away, offline=True), store, events.append)
        assert (store.resolve(name).encoder is not None) == images


def test_ollama_calls_it_a_projector(
    hub: Hub, tmp_path: Path, encoder: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ollama_registry.VARIABLE, hub.url + "/")
    real = real_pair(tmp_path / "real")
    bodies = {"model": real["target"], "draft": real["drafter"], "projector": encoder}
    hub.files = {f"{kind}.bin": Stored.of(body) for kind, body in bodies.items()}
    layers = [
        {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{sha256(body)}",
         "size": len(body)}
        for kind, body in bodies.items()
    ]  # fmt: skip
    manifest = {"schemaVersion": 2, "config": {}, "layers": layers}
    hub.manifests = {"library/gemma4/e2b": json.dumps(manifest).encode()}
    store, events = Store(load_catalogue()), Events()
    name = fulfil("ollama:gemma4:e2b", PullRequest(images=False), store, events.append)
    assert store.resolve(name).encoder is None
    fulfil(name, PullRequest(), store, events.append)
    found = store.resolve(name).encoder
    assert found is not None
    assert found.read_bytes() == encoder
    assert "encoder.gguf: the image encoder of ollama:gemma4:e2b." in events.notes


# --- which one belongs to a target ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoders", "target", "best"),
    [
        ("mmproj-BF16.gguf mmproj-F16.gguf mmproj-F32.gguf", "gemma-4-12B-it.gguf", NAME),
        ("mmproj-BF16.gguf mmproj-F32.gguf", "m.gguf", "mmproj-BF16.gguf"),
        ("mmproj-m-Q8_0.gguf mmproj-m-f16.gguf", "m-Q4_0.gguf", "mmproj-m-f16.gguf"),
        (
            "mmproj-gemma-4-E2B-it-F16.gguf mmproj-gemma-4-E4B-it-Q8_0.gguf",
            "gemma-4-E4B-it-Q4_0.gguf",
            "mmproj-gemma-4-E4B-it-Q8_0.gguf",
        ),
        ("a/mmproj-F16.gguf b/mmproj-BF16.gguf", "b/m.gguf", "b/mmproj-BF16.gguf"),
        ("mmproj-F16-00001-of-00002.gguf", "m.gguf", ""),
        ("", "m.gguf", ""),
    ],
)
def test_the_one_rule(encoders: str, target: str, best: str) -> None:
    assert gguf_names.best_encoder(target, encoders.split()) == best


def test_the_one_beside_a_file_is_taken_if_it_fits(tmp_path: Path) -> None:
    store = Store(load_catalogue())
    target = writer.write(tmp_path / "gemma-4-E2B-it-Q4_0.gguf", *writer.target())
    files = store.resolve(str(target))
    assert files.encoder is None
    assert files.no_encoder == "Its mmproj-*.gguf is looked for in the folder of the model file."
    write_encoder(tmp_path / "mmproj-F16.gguf", 3 * writer.WIDTH)
    (tmp_path / "mmproj-broken.gguf").write_bytes(b"GGUF")
    for _ in range(2):  # found out, and remembered
        files = store.resolve(str(target))
        assert files.encoder is None
        assert files.no_encoder.startswith(
            f"mmproj-F16.gguf does not belong to {target.name}: it is made for width"
        )
    fits = write_encoder(tmp_path / "mmproj-BF16.gguf", writer.WIDTH, "gemma4uv")
    assert store.resolve(str(target)).encoder == fits
    fits.unlink()
    assert store.resolve(str(target)).encoder is None


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"general.architecture": "gemma4"}, "is no encoder of pictures or recordings"),
        ({"clip.has_vision_encoder": False}, "is no encoder of pictures or recordings"),
        ({"clip.vision.projector_type": "gemma3"}, "of the kind 'gemma3', not Gemma 4's"),
        ({"clip.vision.projection_dim": 7}, "it is made for width 7, the target has 32"),
    ],
)
def test_what_does_not_belong(tmp_path: Path, metadata: dict[str, object], why: str) -> None:
    target = gguf.read_header(writer.write(tmp_path / "t.gguf", *writer.target()))
    header = gguf.read_header(write_encoder(tmp_path / "e.gguf", writer.WIDTH))
    check_encoder(target, header)
    with pytest.raises(BadPair, match=why):
        check_encoder(target, replace(header, metadata=header.metadata | metadata))
