"""Files that other programs hold already are found by their hash, linked, and left alone."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.hub_server import REVISION, Hub
from support.pulls import CONTENTS, ENTRY, Events, failure, fetch

from gemma_mtp import paths
from gemma_mtp.errors import UsageError
from gemma_mtp.models.pair_record import ready_files
from gemma_mtp.models.pull import reuse
from gemma_mtp.models.pull.options import PullOptions
from gemma_mtp.models.pull.pair import pull

TARGET = CONTENTS["target.gguf"]
SHA = ENTRY.target.sha256


def put(path: Path, data: bytes = TARGET) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def in_hub_cache(home: Path) -> Path:
    """As `hf download` leaves it: a blob, and a link with the file's name to it."""
    repo = home / "hf-cache" / "models--org--pair"
    blob = put(repo / "blobs" / SHA)
    link = repo / "snapshots" / REVISION / "target.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(Path("../../blobs") / SHA)
    return blob


def in_ollama(home: Path) -> Path:
    return put(home / ".ollama" / "models" / "blobs" / f"sha256-{SHA}")


@pytest.mark.parametrize(
    ("owner", "words"), [(in_hub_cache, "the Hugging Face cache"), (in_ollama, "Ollama's store")]
)
def test_what_another_program_fetched_is_linked(
    hub: Hub, machine: Path, tmp_path: Path, owner: object, words: str
) -> None:
    theirs = owner(machine)  # type: ignore[operator]
    before = theirs.stat()
    notes = fetch(tmp_path / "12b").notes
    assert f"target.gguf: linked from {words}, nothing to download." in notes
    assert hub.requests["CDN target.gguf"] == 0
    assert (tmp_path / "12b" / "target.gguf").samefile(theirs)
    assert theirs.read_bytes() == TARGET
    assert theirs.stat().st_mtime_ns == before.st_mtime_ns


def test_ollama_elsewhere(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "o"))
    put(tmp_path / "o" / "blobs" / f"sha256-{SHA}")
    assert "Ollama's store" in fetch(tmp_path / "12b").notes


@pytest.mark.parametrize("named", ["folder", "file"])
def test_a_file_given_by_path_may_have_any_name(hub: Hub, tmp_path: Path, named: str) -> None:
    theirs = put(tmp_path / "downloads" / "deep" / "weights.bin")
    put(tmp_path / "downloads" / "same-size.bin", bytes(len(TARGET)))
    place = theirs if named == "file" else tmp_path / "downloads"
    notes = fetch(tmp_path / "12b", PullOptions(reuse=(place,))).notes
    assert f"target.gguf: linked from {place}" in notes
    assert hub.requests["CDN target.gguf"] == 0


def test_a_path_to_nothing_is_a_mistake(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is nothing at"):
        pull(ENTRY, tmp_path / "12b", Events().append, PullOptions(reuse=(tmp_path / "no",)))


@pytest.mark.parametrize("data", [bytes(len(TARGET)), TARGET[:-1]])
def test_a_file_with_the_right_name_and_other_contents_is_passed_over(
    hub: Hub, machine: Path, tmp_path: Path, data: bytes
) -> None:
    theirs = in_ollama(machine)
    theirs.write_bytes(data)
    fetch(tmp_path / "12b")
    assert theirs.read_bytes() == data
    assert hub.sent["target.gguf"] == len(TARGET)


def test_another_pull_of_ours_shares_its_drafter(hub: Hub, tmp_path: Path) -> None:
    fetch(paths.models_dir() / "12b")
    other = replace(ENTRY, name="12b:other")
    events = fetch(paths.models_dir() / "12b-other", entry=other)
    assert "mtp-target.gguf: linked from the pull of 12b" in events.notes
    assert hub.requests["CDN mtp-target.gguf"] == 1


def test_without_a_network_what_is_here_is_enough(hub: Hub, machine: Path, tmp_path: Path) -> None:
    in_ollama(machine)
    drafter = put(tmp_path / "d.gguf", CONTENTS["mtp-target.gguf"])
    hub.close()
    fetch(tmp_path / "12b", PullOptions(reuse=(drafter,)))
    fetch(tmp_path / "13b", PullOptions(reuse=(drafter,), offline=True))
    assert "--offline was given" in str(failure(tmp_path / "14b", PullOptions(offline=True)))


def test_another_disk_gets_a_symbolic_link(
    hub: Hub, machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    theirs = in_ollama(machine)
    fetch(tmp_path / "12b")
    assert (tmp_path / "12b" / "target.gguf").readlink() == theirs
    fetch(tmp_path / "carried", PullOptions(symlinks=False))
    assert not (tmp_path / "carried" / "target.gguf").is_symlink()
    theirs.unlink()
    assert ready_files(ENTRY, tmp_path / "12b") is None  # so that a pull fetches it
    fetch(tmp_path / "12b")
    assert not (tmp_path / "12b" / "target.gguf").is_symlink()


def test_a_link_is_never_written_through(hub: Hub, machine: Path, tmp_path: Path) -> None:
    """A later pull of other contents must not reach into the other program's file."""
    theirs = in_ollama(machine)
    folder = tmp_path / "12b"
    fetch(folder)
    (folder / "pair.json").unlink()
    (folder / "target.gguf.partial").write_bytes(b"left over")
    theirs.unlink()
    data = bytearray(TARGET)
    data[0] ^= 1
    (folder / "target.gguf").unlink()
    theirs.write_bytes(data)
    os.link(theirs, folder / "target.gguf")
    fetch(folder)
    assert theirs.read_bytes() == bytes(data)
    assert (folder / "target.gguf.corrupt").samefile(theirs)


def test_a_partial_file_makes_way_for_a_link(hub: Hub, machine: Path, tmp_path: Path) -> None:
    hub.faults.cdn = [0, 0, 0] + [500] * 99
    hub.faults.cut_every = 64 << 10
    failure(tmp_path / "12b")
    in_ollama(machine)
    hub.faults.cdn, hub.faults.cut_every = [], 0
    fetch(tmp_path / "12b")


def test_named_folders_without_end_are_not_searched_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reuse, "LOOKED_AT", 3)
    for number in range(9):
        put(tmp_path / f"{number}.bin", b"1234")
    places = reuse.Places(tmp_path / "none", tmp_path / "none", (tmp_path,))
    assert len(list(places.candidates("0" * 64, 4))) == 3
