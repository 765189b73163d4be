"""Both headers are read and checked before the weights come, and nothing is fetched twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import gguf_writer as writer
from support.hub_server import Hub, Stored
from support.pulls import ENTRY, Events, fetch, sha256

from gemma_mtp.errors import BadPair
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.pull import beginnings
from gemma_mtp.models.pull.events import PullProgress
from gemma_mtp.models.pull.pair import pull

WEIGHTS = bytes(range(256)) * (1 << 13)  # 2 MB behind a header


def published(hub: Hub, target: Any, drafter: Any, **metadata: Any) -> Entry:
    """A pair on the hub; `metadata` is added to the target's."""
    target = target[0] | metadata, target[1]
    files = {"target.gguf": writer.contents(*target), "mtp-target.gguf": writer.contents(*drafter)}
    bodies = {name: body + WEIGHTS for name, body in files.items()}
    hub.files = {name: Stored.of(body) for name, body in bodies.items()}
    known = {"target": ENTRY.target, "drafter": ENTRY.drafter}
    for role, file in known.items():
        body = bodies[file.path]
        known[role] = replace(file, sha256=sha256(body), bytes=len(body))
    return replace(ENTRY, **known)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"general.architecture": "llama"}, "is a model of architecture 'llama', not Gemma 4"),
        ({"general.architecture": "clip"}, "is an image encoder"),
        ({"general.architecture": "gemma4-assistant"}, "is an MTP drafter, not a target"),
        ({"general.type": "adapter"}, "is a LoRA adapter"),
        ({"general.type": "imatrix"}, "is an importance matrix"),
        ({"general.type": "vocab"}, "holds a vocabulary and no weights"),
        ({"gemma4.attention.head_count": 0}, "head_count"),
    ],
)
def test_a_target_that_cannot_be_loaded_is_refused_by_its_header(
    hub: Hub, tmp_path: Path, metadata: dict[str, Any], words: str
) -> None:
    entry = published(hub, writer.target(), writer.drafter(), **metadata)
    with pytest.raises(BadPair, match=words):
        pull(entry, tmp_path / "pair", Events().append)
    assert hub.sent["target.gguf"] <= beginnings.STEPS[0]
    assert not hub.sent["mtp-target.gguf"]
    assert not (tmp_path / "pair").exists()


@pytest.mark.parametrize(
    ("drafter", "words"),
    [
        (writer.drafter(target_width=64), "made for width 64, the target has 32"),
        (writer.target(), "is a target, not an MTP drafter"),
    ],
)
def test_a_drafter_of_another_target_is_refused_by_its_header(
    hub: Hub, tmp_path: Path, drafter: Any, words: str
) -> None:
    entry = published(hub, writer.target(), drafter)
    with pytest.raises(BadPair, match=words):
        pull(entry, tmp_path, Events().append)
    assert max(hub.sent.values()) <= beginnings.STEPS[0]
    assert not list(tmp_path.glob("mtp-target*"))


@pytest.mark.parametrize("long", [300 << 10, 17 << 20])
def test_a_header_is_fetched_once_as_part_of_the_file(hub: Hub, tmp_path: Path, long: int) -> None:
    template = {"tokenizer.chat_template": "x" * long}
    entry = published(hub, writer.target(), writer.drafter(), **template)
    events = Events()
    pull(entry, tmp_path, events.append)
    assert hub.sent == {name: stored.size for name, stored in hub.files.items()}
    first = next(event for event in events if isinstance(event, PullProgress))
    assert (first.file, first.beginning) == ("target.gguf", True)
    for name, stored in hub.files.items():
        assert (tmp_path / name).read_bytes() == stored.data


def test_a_header_that_is_cut_on_its_way_goes_on(hub: Hub, tmp_path: Path) -> None:
    template = {"tokenizer.chat_template": "x" * (3 << 20)}
    entry = published(hub, writer.target(), writer.drafter(), **template)
    hub.faults.cut_every, hub.faults.cuts = 200 << 10, 8
    pull(entry, tmp_path, Events().append)
    assert (tmp_path / "target.gguf").read_bytes() == hub.files["target.gguf"].data


def test_a_server_without_ranges_sends_no_more_than_the_header_at_first(
    hub: Hub, tmp_path: Path
) -> None:
    hub.faults.ranges = False
    entry = published(hub, writer.target(), writer.drafter(), **{"general.type": "adapter"})
    with pytest.raises(BadPair, match="is a LoRA adapter"):
        pull(entry, tmp_path, Events().append)
    pull(published(hub, writer.target(), writer.drafter()), tmp_path, Events().append)


def test_a_header_without_end_is_given_up(hub: Hub, tmp_path: Path) -> None:
    entry = published(hub, writer.target(), writer.drafter())
    endless = b"GGUF" + (3).to_bytes(4, "little") + (1).to_bytes(8, "little")
    key = (1).to_bytes(8, "little") + writer.string("k") + (8).to_bytes(4, "little")
    texts = ((4 << 10).to_bytes(8, "little") + bytes(4 << 10)) * (65 << 8)  # some 65 MiB
    body = endless + key + (1 << 30).to_bytes(8, "little") + texts
    hub.files["target.gguf"] = Stored.of(body)
    target = replace(entry.target, sha256=sha256(body), bytes=len(body))
    with pytest.raises(BadPair, match="its header exceeds 64 MiB"):
        pull(replace(entry, target=target), tmp_path, Events().append)


def test_parts_of_a_split_target_are_all_looked_at(hub: Hub, tmp_path: Path) -> None:
    entry = published(hub, writer.target(), writer.drafter())
    parts = writer.write_split(tmp_path / "target.gguf", *writer.target())
    bodies = [part.read_bytes() + WEIGHTS for part in parts]
    bodies[1] = bodies[2]
    for part, body in zip(parts, bodies, strict=True):
        hub.files[part.name] = Stored.of(body)
    files = [
        replace(entry.target, path=part.name, sha256=sha256(body), bytes=len(body))
        for part, body in zip(parts, bodies, strict=True)
    ]
    split = replace(entry, target=replace(files[0], rest=tuple(files[1:])))
    with pytest.raises(BadPair, match="is not part 2 of 3"):
        pull(split, tmp_path / "pair", Events().append)
    assert max(hub.sent.values()) <= beginnings.STEPS[0]


def test_what_fetches_a_pair_says_nothing_of_headers_where_it_is_here(
    hub: Hub, tmp_path: Path
) -> None:
    fetch(tmp_path)
    assert fetch(tmp_path) == []
