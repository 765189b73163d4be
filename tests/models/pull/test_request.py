"""What is asked for ends in the store or in a folder to carry, or a sentence says why not."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from support import gguf_writer as writer
from support.hub_server import Hub, Stored
from support.pulls import Events, real_pair

from gemma_mtp import paths
from gemma_mtp.errors import BadPair, GemmaMtpError, ModelNotAvailable, NotPulled
from gemma_mtp.files.folder_lock import LOCK
from gemma_mtp.models import hub_names, inventory, leftovers
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.details import details
from gemma_mtp.models.machine import this_machine
from gemma_mtp.models.pair_record import (
    PairRecord,
    mark_unfinished,
    read_record,
    ready_files,
    write_unfinished,
)
from gemma_mtp.models.pull.request import PullRequest, fulfil
from gemma_mtp.models.store import Store
from gemma_mtp.options import Options

CARRIED: dict[str, Any] = {
    "name": "hf:o/r", "repo": "o/r", "revision": "main",
    "files": [
        {"role": "target", "path": "t.gguf", "bytes": 1, "sha256": "A" * 64},
        {"role": "drafter", "path": "MTP/d.gguf", "bytes": 1, "sha256": "b" * 64, "new": [1]},
    ],
}  # fmt: skip


def carried(folder: Path, text: str) -> Path:
    (folder / "pair.json").write_text(text)
    return folder


def test_what_a_folder_states_is_taken_when_it_has_the_declared_shape(tmp_path: Path) -> None:
    record = read_record(carried(tmp_path, json.dumps(CARRIED)))
    assert record is not None
    entry = hub_names.entry_of(record)
    assert entry is not None
    assert (entry.target.path, entry.target.sha256) == ("t.gguf", "a" * 64)


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../t.gguf"}, {"path": "/t.gguf"}, {"path": 3}, {"path": None},
        {"path": "t\n.gguf"}, {"path": "t\0.gguf"}, {"path": "\ud800.gguf"},
        {"path": "a/" * 1500 + "t.gguf"},
        {"bytes": "1"}, {"bytes": -1}, {"bytes": 1e300}, {"bytes": True}, {"bytes": 10**400},
        {"sha256": 5}, {"sha256": "x"}, {"sha256": None}, {"role": []}, {"quantization": 4},
        {"pinned": "x"}, {"origin": {}}, {"path": "MTP/D.gguf"},
    ],
)  # fmt: skip
def test_a_folder_with_a_file_that_cannot_be_holds_no_pair(
    tmp_path: Path, change: dict[str, Any], store: Store
) -> None:
    target, drafter = CARRIED["files"]
    stated = {**CARRIED, "files": [{**target, **change}, drafter]}
    carried(tmp_path, json.dumps(stated))
    with pytest.raises(ModelNotAvailable, match="does not hold a pair"):
        fulfil(None, PullRequest(source=tmp_path), store, Events().append)


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3}, {"name": None}, {"files": None}, {"files": {}}, {"files": [3]},
        {"files": CARRIED["files"] * 5000}, {"repo": "../.."}, {"repo": "o/r\n"}, {"repo": ["o/r"]},
        {"repo": "o/" + "r" * 5000}, {"revision": 7},
    ],
)  # fmt: skip
def test_a_folder_that_states_something_else_holds_no_pair(
    tmp_path: Path, change: dict[str, Any], store: Store
) -> None:
    carried(tmp_path, json.dumps({**CARRIED, **change}))
    with pytest.raises(ModelNotAvailable, match="does not hold a pair"):
        fulfil(None, PullRequest(source=tmp_path), store, Events().append)


@pytest.mark.parametrize("text", ["", "[1, {", "3", "[" * 50_000, '{"files": ' + "9" * 5000 + "}"])
def test_a_folder_that_states_nothing_that_can_be_read(tmp_path: Path, text: str) -> None:
    assert read_record(carried(tmp_path, text)) is None


def test_a_pipe_in_place_of_what_a_folder_states(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pair.json")
    assert read_record(tmp_path) is None


# --- from the hub to the store -------------------------------------------------------------------


@pytest.fixture
def store(hub: Hub, tmp_path: Path) -> Store:
    real = real_pair(tmp_path / "real")
    hub.files = {
        "gemma-4-12B-it-qat-UD-Q4_K_XL.gguf": Stored.of(real["target"]),
        "mtp-gemma-4-12B-it.gguf": Stored.of(real["drafter"]),
        "README.md": Stored.of(b"text"),
    }
    return Store(load_catalogue())


def test_a_repository_without_a_drafter_leads_to_the_known_pair(hub: Hub, store: Store) -> None:
    hub.repo = "mlx-community/gemma-4-12B-it-4bit"
    for missing in ("mtp-gemma-4-12B-it.gguf", "gemma-4-12B-it-qat-UD-Q4_K_XL.gguf"):
        del hub.files[missing]
        with pytest.raises(BadPair, match="holds no") as caught:
            fulfil(hub.repo, PullRequest(), store, Events().append)
        assert caught.value.hint == "The same model with its drafter: gemma-mtp pull 12b"


def test_a_repository_is_pulled_and_then_found_by_its_name(hub: Hub, store: Store) -> None:
    events = Events()
    name = fulfil("hf:org/pair", PullRequest(), store, events.append)
    assert name == "hf:org/pair:UD-Q4_K_XL"
    assert "gemma-4-12B-it-qat-UD-Q4_K_XL.gguf: the target, the only one there." in events.notes
    assert "its drafter, from the same repository and revision." in events.notes
    for spelling in (name, "hf:org/pair", "hf:ORG/Pair:ud-q4_k_xl"):
        files = store.resolve(spelling)
        assert files.name == name
        assert files.drafter is not None
        assert files.drafter.name == "mtp-gemma-4-12B-it.gguf"
    assert name in [entry.name for entry in store.ready()]
    hub.requests.clear()
    assert fulfil("hf:org/pair", PullRequest(), store, events.append) == name
    assert not hub.requests


def test_a_repository_that_was_not_pulled_names_the_command(store: Store) -> None:
    with pytest.raises(NotPulled) as caught:
        store.resolve("hf:org/pair:Q8_0")
    assert caught.value.hint == "gemma-mtp pull hf:org/pair:Q8_0"


def test_a_drafter_that_does_not_belong_is_refused(hub: Hub, store: Store, tmp_path: Path) -> None:
    other = writer.write(tmp_path / "o", *writer.drafter(target_width=64)).read_bytes()
    hub.files["mtp-gemma-4-12B-it.gguf"] = Stored.of(other)
    with pytest.raises(BadPair, match="does not belong"):
        fulfil("hf:org/pair", PullRequest(), store, Events().append)
    assert not store.ready()[1:]


def test_a_repository_that_is_not_there(hub: Hub, store: Store) -> None:
    with pytest.raises(GemmaMtpError, match="/org/other is not there") as caught:
        fulfil("hf:org/other", PullRequest(), store, Events().append)
    assert caught.value.hint == "Check the name."


def test_what_the_catalogue_names_and_is_gone_is_no_slip_of_the_user(
    hub: Hub, store: Store
) -> None:
    hub.repo = "org/moved"
    with pytest.raises(GemmaMtpError, match="is not there") as caught:
        fulfil("12b", PullRequest(), store, Events().append)
    assert "A newer gemma-mtp" in caught.value.hint
    assert "Check the name" not in caught.value.hint


def test_carrying_to_a_machine_without_a_network(
    hub: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = tmp_path / "stick"
    name = fulfil("hf:org/pair", PullRequest(to=stick), store, Events().append)
    (folder,) = stick.iterdir()
    assert {path.name for path in folder.iterdir()} >= {"pair.json", "SHA256SUMS"}
    assert not store.ready()[1:]
    hub.close()
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path / "other machine"))
    for asked in (name, None):
        assert fulfil(asked, PullRequest(source=stick), store, Events().append) == name
    assert store.resolve(name).target.is_file()


def test_a_pair_that_is_here_is_carried_without_asking(
    hub: Hub, store: Store, tmp_path: Path
) -> None:
    name = fulfil("hf:org/pair", PullRequest(), store, Events().append)
    hub.close()
    assert fulfil(name, PullRequest(to=tmp_path / "stick"), store, Events().append) == name
    entry = hub_names.find_pulled(name, paths.models_dir())
    assert entry is not None
    assert ready_files(entry, tmp_path / "stick" / store.folder(entry).name)


def test_a_carried_file_that_was_damaged_is_refused(
    hub: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = tmp_path / "stick"
    fulfil("hf:org/pair", PullRequest(to=stick), store, Events().append)
    file = next(stick.rglob("gemma*.gguf"))
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(GemmaMtpError, match="is not there with the sha256 that its"):
        fulfil(None, PullRequest(source=stick), store, Events().append)


@pytest.mark.parametrize("name", ["12b", None, "hf:org/pair"])
def test_a_folder_that_holds_nothing(store: Store, tmp_path: Path, name: str | None) -> None:
    with pytest.raises(ModelNotAvailable, match="does not hold"):
        fulfil(name, PullRequest(source=tmp_path / "none"), store, Events().append)


# --- models in several files ---------------------------------------------------------------------


@pytest.fixture
def split(hub: Hub, tmp_path: Path) -> dict[str, bytes]:
    """A repository whose target is in three parts and whose drafter is in two."""
    target = writer.write_split(tmp_path / "m-Q4_0.gguf", *writer.target())
    drafter = writer.write_split(tmp_path / "mtp-m.gguf", *writer.drafter(), parts=2)
    contents = {path.name: path.read_bytes() for path in (*drafter, *target)}
    hub.files = {
        f"Q4/{name}" if name.startswith("m-") else name: Stored.of(data)
        for name, data in contents.items()
    }
    return {name: stored.data for name, stored in hub.files.items()}


def test_all_parts_are_pulled_and_loaded_by_the_first(
    hub: Hub, split: dict[str, bytes], tmp_path: Path
) -> None:
    shop, events = Store(load_catalogue()), Events()
    name = fulfil("hf:org/pair", PullRequest(), shop, events.append)
    assert "Q4/m-Q4_0-00001-of-00003.gguf and 2 more: the target" in events.notes
    files, folder = shop.resolve(name), paths.models_dir() / "hf-org--pair-Q4_0"
    assert files.target == folder / "Q4/m-Q4_0-00001-of-00003.gguf"
    assert files.drafter == folder / "mtp-m-00001-of-00002.gguf"
    assert {path: (folder / path).read_bytes() for path in split} == split
    found = details(shop, name, this_machine, Options())
    shown = [(file["role"], Path(file["path"])) for file in found["files"]]
    names = [str(path.relative_to(folder)) for _, path in shown]
    assert [role for role, _ in shown] == ["target"] * 3 + ["drafter"] * 2
    assert names == sorted(split)
    (item,) = [item for item in inventory.items(shop) if item.name == name]
    assert (item.ready, item.bytes) == (True, sum(map(len, split.values())))
    assert len(inventory.check_sha256(item, lambda *_: None)) == 5
    assert inventory.remove(item) == item.bytes
    assert not folder.exists()


def test_a_part_that_is_damaged_is_fetched_alone(
    hub: Hub, split: dict[str, bytes], tmp_path: Path
) -> None:
    shop = Store(load_catalogue())
    name = fulfil("hf:org/pair", PullRequest(), shop, Events().append)
    shop.resolve(name)  # headers that passed are not read again, but for a change of any part
    part = paths.models_dir() / "hf-org--pair-Q4_0/Q4/m-Q4_0-00002-of-00003.gguf"
    part.write_bytes(bytes(part.stat().st_size))
    with pytest.raises(BadPair) as caught:
        shop.resolve(name)
    assert caught.value.hint == f"gemma-mtp pull {name}"
    hub.sent.clear()
    fulfil(name, PullRequest(), shop, Events().append)
    assert list(hub.sent) == ["Q4/m-Q4_0-00002-of-00003.gguf"]
    assert shop.resolve(name).target.is_file()


def test_parts_are_carried_to_a_machine_without_a_network(
    hub: Hub, split: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick, shop = tmp_path / "stick", Store(load_catalogue())
    name = fulfil("hf:org/pair", PullRequest(to=stick), shop, Events().append)
    hub.close()
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path / "other machine"))
    assert fulfil(None, PullRequest(source=stick), shop, Events().append) == name
    folder = paths.models_dir() / "hf-org--pair-Q4_0"
    assert {path: (folder / path).read_bytes() for path in split} == split


def test_a_part_that_the_repository_lacks_is_named(hub: Hub, split: dict[str, bytes]) -> None:
    del hub.files["Q4/m-Q4_0-00001-of-00003.gguf"]
    with pytest.raises(BadPair, match=r"does not hold Q4/m-Q4_0-00001-of-00003\.gguf"):
        fulfil("hf:org/pair", PullRequest(), Store(load_catalogue()), Events().append)
    assert not hub.sent


# --- pulls that were interrupted -----------------------------------------------------------------


def interrupted(hub: Hub, shop: Store, name: str = "hf:org/pair") -> None:
    """The target arrives, the drafter does not."""
    hub.faults.cdn = [0] + [403] * 9
    with pytest.raises(GemmaMtpError, match="refuses access"):
        fulfil(name, PullRequest(), shop, Events().append)
    hub.faults.cdn = []


def test_a_pull_that_was_interrupted_has_a_name(hub: Hub, store: Store) -> None:
    name = "hf:org/pair:UD-Q4_K_XL"
    interrupted(hub, store)
    (_, item) = inventory.items(store)
    assert (item.name, item.variant, item.ready) == (name, "ud-q4_k_xl", False)
    assert item.bytes > 0
    found = details(store, "hf:org/pair", this_machine, Options())
    assert found["state"].startswith("part of it is here")
    assert [file["role"] for file in found["files"]] == ["target", "drafter"]
    (left,) = leftovers.leftovers(store)
    assert left.why == f"part of {name}"
    with pytest.raises(NotPulled):
        store.resolve(name)
    assert [entry.name for entry in store.ready()] == ["tiny"]
    inventory.remove(inventory.find(store, "hf:org/pair"))
    assert not list(paths.models_dir().iterdir())


def test_a_pull_that_was_interrupted_goes_on_at_its_commit(hub: Hub, store: Store) -> None:
    interrupted(hub, store)
    hub.requests.clear()
    hub.sent.clear()
    assert fulfil("hf:org/pair", PullRequest(), store, Events().append) == "hf:org/pair:UD-Q4_K_XL"
    assert not hub.requests["API"]
    assert list(hub.sent) == ["mtp-gemma-4-12B-it.gguf"]
    assert inventory.items(store)[1].ready
    assert not leftovers.leftovers(store)


def test_a_complete_pair_comes_before_a_part_of_another(hub: Hub, store: Store) -> None:
    target = hub.files["gemma-4-12B-it-qat-UD-Q4_K_XL.gguf"]
    hub.files["gemma-4-12B-it-qat-Q2_K.gguf"] = target
    fulfil("hf:org/pair:UD-Q4_K_XL", PullRequest(), store, Events().append)
    fulfil("hf:org/pair:Q2_K", PullRequest(), store, Events().append)
    mark_unfinished(paths.models_dir() / "hf-org--pair-Q2_K")
    assert store.resolve("hf:org/pair").name == "hf:org/pair:UD-Q4_K_XL"


@pytest.mark.parametrize("fault", ["hub", "cdn", "room"])
def test_a_pull_that_fetched_nothing_leaves_nothing(
    hub: Hub, store: Store, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault == "room":
        usage = shutil.disk_usage("/")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    else:
        setattr(hub.faults, f"{fault}_always", 403)
    for name in ("hf:org/pair", "12b"):
        with pytest.raises(GemmaMtpError):
            fulfil(name, PullRequest(), store, Events().append)
    assert [item.name for item in inventory.items(store)] == ["tiny"]
    assert not paths.models_dir().exists() or not list(paths.models_dir().iterdir())


def test_a_pull_that_was_killed_before_its_first_byte_is_no_model(store: Store) -> None:
    folder = paths.models_dir() / "12b"
    folder.mkdir(parents=True)
    (folder / LOCK).touch()
    write_unfinished(folder, PairRecord("12b", "o/r", "main", ()))
    with open(folder / "t.gguf.partial", "wb") as file:
        file.truncate(1 << 20)
    (folder / "t.gguf.partial.journal").write_text("gemma-mtp partial file 1 - 1048576 -\n")
    assert [item.name for item in inventory.items(store)] == ["tiny"]
    assert [left.why for left in leftovers.leftovers(store)] == ["no model"]
