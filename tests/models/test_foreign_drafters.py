"""A drafter that was written for another program is converted in the cache, and drafts the same."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.fakes import invoke
from support.gguf_writer import split
from support.hub_server import Hub, Stored
from support.pairs import TINY
from support.pulls import Events

from gemma_mtp import paths
from gemma_mtp.api import End, LoadOptions, Message, PairFiles, Request, Sampling
from gemma_mtp.cli.environment import Environment
from gemma_mtp.engine.loading import load
from gemma_mtp.errors import BadPair, GemmaMtpError
from gemma_mtp.files import atomic
from gemma_mtp.models import converted_drafter, drafter_offer, gguf, pair_check
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.gguf_header import NUMBERS
from gemma_mtp.models.gguf_parser import raw_values
from gemma_mtp.models.gguf_writer import Raw, head, padded, size_of
from gemma_mtp.models.inventory import find, remove
from gemma_mtp.models.leftovers import leftovers
from gemma_mtp.models.pull.request import PullRequest, fulfil
from gemma_mtp.models.store import Store

assert TINY.drafter is not None
OWN = gguf.read_header(TINY.drafter)
ARCH = "gemma4-assistant"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path / "home"))
    shutil.copyfile(TINY.target, tmp_path / "model.gguf")
    return tmp_path / "home"


def rewritten(
    path: Path,
    arch: str = ARCH,
    keys: Callable[[str], str | None] = lambda key: key,
    tensors: Callable[[str], str | None] = lambda name: name,
    more: dict[str, Any] | None = None,
    more_tensors: dict[str, tuple[tuple[int, ...], str]] | None = None,
) -> Path:
    """The built-in drafter as another program writes it: `keys`, without the name of the
    architecture, and `tensors` have another name, or None for what is left out."""
    with open(OWN.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        values, whole = raw_values(data, "own"), bytes(data)
    metadata: dict[str, Any] = {"general.architecture": arch}
    for key, value in values.items():
        own = key.removeprefix(f"{ARCH}.")
        if key != "general.architecture" and (new := keys(own)):
            metadata[new if own == key else f"{arch}.{new}"] = Raw(value)
    metadata |= {f"{arch}.{key}": value for key, value in (more or {}).items()}
    infos, weights = {}, []
    for name, info in OWN.tensors.items():
        if new_name := tensors(name):
            start = OWN.data_offset + info.offset
            infos[new_name] = (info.shape, NUMBERS[info.type])
            weights.append(whole[start : start + padded(info.bytes)])
    added = {name: (shape, NUMBERS[kind]) for name, (shape, kind) in (more_tensors or {}).items()}
    # In front of the others, so that what follows lies elsewhere than in the file it is from.
    room = [bytes(padded(size_of(*tensor))) for tensor in added.values()]
    path.write_bytes(head(metadata, added | infos) + b"".join([*room, *weights]))
    return path


def centroids(begin: str, ordering: str) -> dict[str, tuple[tuple[int, ...], str]]:
    return {f"{begin}centroids.weight": ((96, 64), "Q8_0"), f"{begin}{ordering}": ((2048,), "I32")}


def first_converter(path: Path) -> Path:
    """As the first converters for llama.cpp wrote it."""
    renamed = {"embedding_length_out": "n_embd_backbone", "nextn_predict_layers": None}
    names = {f"nextn.{n}_projection.weight": f"mtp.{n}_projection.weight" for n in ("pre", "post")}
    return rewritten(
        path,
        "gemma4_assistant",
        lambda key: renamed.get(key, key),
        lambda name: names.get(name, name),
        {"n_centroids": 64, "centroid_top_k": 8, "use_ordered_embeddings": True,
         "requires_target_arch": "gemma4"},
        centroids("mtp.", "token_ordering.weight"),
    )  # fmt: skip


def ik_llama(path: Path) -> Path:
    """As ik_llama.cpp's converter writes it: without what the drafter has from its target."""
    left_out = ("nextn_predict_layers", "attention.shared_kv_layers", "vocab_size",
                "embedding_length_per_layer_input", "attention.key_length_swa")  # fmt: skip
    renamed = {"embedding_length_out": "backbone_embedding_length", **dict.fromkeys(left_out)}
    names = {f"nextn.{n}_projection.weight": f"mtp_{n}_proj.weight" for n in ("pre", "post")}
    return rewritten(
        path,
        "gemma4_mtp",
        lambda key: renamed.get(key, key),
        lambda name: None if name == "rope_freqs.weight" else names.get(name, name),
        {"centroid_count": 64, "centroid_top_k": 8},
        centroids("mtp_", "token_ordering.weight"),
    )


def with_centroids(path: Path) -> Path:
    """As llama.cpp's converter wrote it for a while."""
    return rewritten(path, more_tensors=centroids("masked_embd_", "ordering"))


WRITERS = [first_converter, ik_llama, with_centroids]


def resolve(target: Path, drafter: Path | None = None) -> PairFiles:
    return Store(load_catalogue()).resolve(str(target), drafter)


def drafts(files: PairFiles) -> tuple[tuple[int, ...], int, int]:
    """What a reply of a fixed draft length is, how much was drafted, and how much accepted."""
    engine = load(files, LoadOptions(context=512, threads=1))
    request = Request(
        (Message.text("user", "Tell me a story."),), sampling=Sampling(temperature=1.0), draft=3,
        seed=5, max_tokens=60,
    )  # fmt: skip
    try:
        assert engine.info.plain_reason == ""
        end = next(event for event in engine.reply(request) if isinstance(event, End))
    finally:
        engine.close()
    return end.token_ids, end.stats.drafted, end.stats.accepted


@pytest.mark.parametrize("write", WRITERS)
def test_it_is_converted_and_drafts_as_the_original_does(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    theirs = write(tmp_path / "their-drafter.gguf")
    before = theirs.read_bytes()
    with pytest.raises(BadPair):
        pair_check.check_drafter(gguf.read_header(theirs))  # llama.cpp could not load it
    files = resolve(tmp_path / "model.gguf")
    assert files.drafter is not None
    assert files.drafter.is_relative_to(paths.cache_dir() / "converted")
    assert files.drafter.name == theirs.name
    assert "a converted copy of it, in the cache, is used" in files.note
    assert theirs.read_bytes() == before
    assert weights(files.drafter) == weights(OWN.path)
    assert drafts(files) == drafts(TINY)


def weights(path: Path) -> dict[str, bytes]:
    header, data = gguf.read_header(path), path.read_bytes()
    return {
        name: data[header.data_offset + info.offset :][: info.bytes]
        for name, info in header.tensors.items()
    }


def test_one_that_is_as_it_should_be_is_used_itself(tmp_path: Path) -> None:
    own = rewritten(tmp_path / "drafter.gguf")
    files = resolve(tmp_path / "model.gguf")
    assert (files.drafter, files.note) == (own, "")
    assert not (paths.cache_dir() / "converted").exists()


def test_a_drafter_that_is_named_is_converted(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    theirs = ik_llama(tmp_path / "elsewhere" / "theirs.gguf")
    files = resolve(tmp_path / "model.gguf", theirs)
    assert files.drafter is not None
    assert converted_drafter.original(files.drafter) == theirs


def test_what_it_has_of_a_split_target_is_read_from_the_part_that_holds_it(tmp_path: Path) -> None:
    (tmp_path / "apart").mkdir()
    parts = split(TINY.target, tmp_path / "apart" / "model.gguf", parts=20)
    assert "rope_freqs.weight" not in gguf.read_file(parts[0]).tensors
    files = resolve(parts[0], ik_llama(tmp_path / "apart" / "theirs.gguf"))
    assert files.drafter is not None
    assert weights(files.drafter) == weights(OWN.path)


def test_a_copy_is_made_once_and_again_where_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_converter(tmp_path / "theirs.gguf")
    made = resolve(tmp_path / "model.gguf").drafter
    assert made is not None
    when = made.stat().st_mtime_ns
    assert resolve(tmp_path / "model.gguf").drafter == made
    assert made.stat().st_mtime_ns == when
    made.unlink()
    assert resolve(tmp_path / "model.gguf").drafter == made
    assert made.is_file()


def test_it_is_known_by_its_contents(tmp_path: Path) -> None:
    theirs = first_converter(tmp_path / "theirs.gguf")
    made = resolve(tmp_path / "model.gguf").drafter
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "model.gguf").rename(moved / "model.gguf")
    theirs.rename(moved / "theirs.gguf")
    assert resolve(moved / "model.gguf").drafter == made
    assert made is not None
    assert converted_drafter.original(made) == moved / "theirs.gguf"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"tensors": lambda name: None if name == "blk.1.ffn_up.weight" else name},
         "cannot be converted: it lacks the tensor blk.1.ffn_up.weight"),
        ({"more_tensors": {"blk.0.attn_k.weight": ((96, 64), "Q8_0")}},
         "cannot be converted: it has a tensor 'blk.0.attn_k.weight' that"),
        ({"keys": lambda key: None if key == "rope.freq_base" else key,
          "more": {"rope.freq_base": 5000.0}},
         "cannot be converted: it has rope.freq_base 5000.0, its target 1000000.0"),
        ({"keys": lambda key: None if key == "embedding_length_out" else key},
         "cannot be converted: it lacks the hyperparameter embedding_length_out"),
    ],
)  # fmt: skip
def test_what_differs_in_more_than_names_is_refused(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    theirs = rewritten(tmp_path / "theirs.gguf", "gemma4_assistant", **change)
    with pytest.raises(BadPair) as failed:
        resolve(tmp_path / "model.gguf", theirs)
    assert why in str(failed.value)
    assert failed.value.hint == "Use the drafter that gemma-mtp pull gets."


def test_one_of_another_size_is_refused_as_that(tmp_path: Path) -> None:
    theirs = rewritten(
        tmp_path / "theirs.gguf", "gemma4_assistant",
        lambda key: None if key == "embedding_length_out" else key, more={"n_embd_backbone": 512},
    )  # fmt: skip
    with pytest.raises(BadPair):
        resolve(tmp_path / "model.gguf", theirs)


def test_on_a_full_disk_decoding_is_plain_unless_the_drafter_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = first_converter(tmp_path / "theirs.gguf")
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda place: shutil._ntuple_diskusage(9, 9, 9))  # type: ignore[attr-defined]
        why = "A converted copy of theirs.gguf needs "
        with pytest.raises(GemmaMtpError, match=why):
            resolve(tmp_path / "model.gguf", theirs)
        files = resolve(tmp_path / "model.gguf")
    assert files.drafter is None
    assert files.no_drafter.startswith(f"its drafter cannot be converted (theirs.gguf): {why}")
    assert drafter_offer.offer(files, load_catalogue()) is None  # another one would not be taken
    assert not list((paths.cache_dir() / "converted").rglob("*.gguf"))
    assert resolve(tmp_path / "model.gguf").drafter is not None  # there is room again


def test_where_no_copy_can_be_written_a_reply_comes_all_the_same(tmp_path: Path) -> None:
    first_converter(tmp_path / "theirs.gguf")
    place = paths.cache_dir() / "converted"
    place.parent.mkdir(parents=True)
    place.write_text("a file where the folder would be")
    answered = invoke("run", str(tmp_path / "model.gguf"), "Hi", "--max-tokens", "4",
                      env=Environment())  # fmt: skip
    assert answered.status == 0
    assert answered.stdout.strip()
    said = " ".join(answered.stderr.split())
    reason = "its drafter cannot be converted (theirs.gguf): Cannot write to"
    assert said.count(f"No drafts, plain decoding only: {reason}") == 1


def test_a_drafter_in_parts_that_was_not_named_leaves_plain_decoding(tmp_path: Path) -> None:
    whole = rewritten(tmp_path / "whole.gguf", "gemma4_assistant")
    parts = split(whole, tmp_path / "theirs.gguf", parts=2)
    whole.unlink()
    files = resolve(tmp_path / "model.gguf")
    assert (files.drafter, "in several parts" in files.no_drafter) == (None, True)
    with pytest.raises(BadPair, match="in several parts"):
        resolve(tmp_path / "model.gguf", parts[0])


def test_what_was_pulled_stays_as_it_is_and_rm_removes_the_copy_too(
    hub: Hub, tmp_path: Path
) -> None:
    theirs = first_converter(tmp_path / "theirs.gguf").read_bytes()
    target = TINY.target.read_bytes()
    hub.files = {"a-Q4_0.gguf": Stored.of(target), "mtp-a.gguf": Stored.of(theirs)}
    shop = Store(load_catalogue())
    name = fulfil(f"hf:{hub.repo}", PullRequest(), shop, Events().append)
    pulled = find(shop, name)
    made = shop.resolve(name).drafter
    assert made is not None
    assert made.parent.parent == paths.cache_dir() / "converted"
    assert {file.path.read_bytes() for file in pulled.files} == {target, theirs}
    assert remove(pulled) >= pulled.bytes + OWN.tensors["token_embd.weight"].bytes
    assert not made.parent.exists()


def test_show_says_what_it_was_converted_from(tmp_path: Path) -> None:
    theirs = first_converter(tmp_path / "theirs.gguf")
    shown = invoke("show", str(tmp_path / "model.gguf"), env=Environment())
    assert f"from {theirs}, converted" in " ".join(shown.stdout.split())


def test_prune_removes_copies_of_what_is_gone(tmp_path: Path) -> None:
    theirs = first_converter(tmp_path / "theirs.gguf")
    made = resolve(tmp_path / "model.gguf").drafter
    assert made is not None
    shop = Store(load_catalogue())
    assert leftovers(shop) == []
    theirs.unlink()
    assert [leftover.path for leftover in leftovers(shop)] == [made.parent]
    assert invoke("prune", "--yes", env=Environment()).status == 0
    assert not made.parent.exists()


@pytest.mark.skipif(os.name != "posix", reason="locks of files")
def test_a_conversion_that_was_killed_leaves_nothing_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_converter(tmp_path / "theirs.gguf")
    program = """
import os, signal, sys
from gemma_mtp.files import atomic
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.store import Store
named = atomic._named
def killed(temporary, place, wanted):
    if place.suffix == ".gguf":
        os.kill(os.getpid(), signal.SIGKILL)
    named(temporary, place, wanted)
atomic._named = killed
Store(load_catalogue()).resolve(sys.argv[1])
"""
    command = [sys.executable, "-c", program, str(tmp_path / "model.gguf")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (part,) = (paths.cache_dir() / "converted").rglob("*.tmp")
    shop = Store(load_catalogue())
    assert leftovers(shop) == []  # it may be at work
    monkeypatch.setattr(atomic, "MOMENT", 0.0)
    assert [leftover.path for leftover in leftovers(shop)] == [part.parent]
    made = resolve(tmp_path / "model.gguf").drafter
    assert made is not None
    assert {path.name for path in made.parent.iterdir()} == {made.name, converted_drafter.ORIGIN}
    part.touch()
    assert [leftover.path for leftover in leftovers(shop)] == [part]
