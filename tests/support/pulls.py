"""A pair on the hub of the tests, and what tests of pulls have in common."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from support import gguf_writer as writer
from support.hub_server import KAGGLE, REPO, REVISION, Hub, Stored

from gemma_mtp.api import PairFiles
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.models.catalogue import Catalogue, Entry, RemoteFile, load_catalogue
from gemma_mtp.models.gguf import read_header
from gemma_mtp.models.hyperparameters import shape_of
from gemma_mtp.models.pair_record import UNFINISHED, ready_files
from gemma_mtp.models.pull.events import PullEvent, PullNote
from gemma_mtp.models.pull.options import PullOptions
from gemma_mtp.models.pull.pair import pull
from gemma_mtp.models.store import Store

CONTENTS = {  # headers of a pair, and more bytes than these need
    "target.gguf": writer.contents(*writer.target()) + bytes(range(256)) * 12_000 + b"target",
    "mtp-target.gguf": writer.contents(*writer.drafter()) + b"drafter " * 10_000,
}


CATALOGUE = """
[sampling]
temperature = 1.0

[[model]]
name = "12b"
title = "A small one"
parameters = "1M"
context_length = 4096
[[model.source]]
repo = "org/pair"
revision = "0123456789abcdef0123456789abcdef01234567"
qat = true
drafter = {{ file = "mtp-target.gguf", quantization = "Q4_0", bytes = {d.size}, sha256 = "{d.sha256}" }}
targets = [
  {{ tag = "qat", file = "target.gguf", quantization = "Q4_0", bytes = {t.size}, sha256 = "{t.sha256}" }}
]
"""  # noqa: E501


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def remote(path: str) -> RemoteFile:
    body = CONTENTS[path]
    return RemoteFile(path, "Q4_0", sha256(body), len(body))


ENTRY = Entry(
    name="12b",
    title="Gemma 4 12B",
    parameters="11.9B",
    context_length=262144,
    repo=REPO,
    revision=REVISION,
    qat=True,
    target=remote("target.gguf"),
    drafter=remote("mtp-target.gguf"),
    default=True,
    builtin=False,
    spellings=("12b",),
)


def catalogue_of(hub: Hub, target: bytes, drafter: bytes, more: str = "") -> Catalogue:
    """A catalogue of a pair with these contents, 12b, which is all that is on the hub, and `more`
    entries."""
    hub.files = {"target.gguf": Stored.of(target), "mtp-target.gguf": Stored.of(drafter)}
    entry = CATALOGUE.format(t=hub.files["target.gguf"], d=hub.files["mtp-target.gguf"])
    return Catalogue(entry + more)


def store_with_official_drafter(hub: Hub, tmp_path: Path) -> Store:
    """A store whose catalogue has a model of the size of `writer.target()`, with a drafter that
    lies in another repository of the hub."""
    file, body = tmp_path / "target.gguf", writer.contents(*writer.drafter())
    file.write_bytes(writer.contents(*writer.target()))
    drafter = RemoteFile("mtp-official.gguf", "Q8_0", sha256(body), len(body))
    official = replace(ENTRY, name="2b", repo="org/official", drafter=drafter, spellings=("2b",),
                       shape=shape_of(read_header(file)), revision=REVISION)  # fmt: skip
    hub.others["org/official"] = {"mtp-official.gguf": Stored.of(body)}
    catalogue = load_catalogue()
    catalogue.entries.append(official)
    return Store(catalogue)


def entry_at(place: str) -> Entry:
    """The same pair, at "the hub", in "Ollama's registry" or at "Kaggle"."""
    if place == "Ollama's registry":
        return replace(ENTRY, repo=f"ollama:{REPO}", revision="sha256:0")
    if place == "Kaggle":  # which states no sha256
        both = {"target": replace(ENTRY.target, sha256=""),
                "drafter": replace(ENTRY.drafter, sha256="")}  # fmt: skip
        return replace(ENTRY, repo=f"kaggle:{KAGGLE}", revision="1", **both)
    return ENTRY


class Events(list[PullEvent]):
    """What a pull reported."""

    @property
    def notes(self) -> str:
        return "\n".join(event.text for event in self if isinstance(event, PullNote))


def fetch(folder: Path, options: PullOptions | None = None, entry: Entry = ENTRY) -> Events:
    """A pull that succeeds and leaves nothing but the pair."""
    events = Events()
    files = pull(entry, folder, events.append, options)
    assert ready_files(entry, folder) == files
    check(files)
    left = {path.name for path in folder.iterdir() if path.is_file()}
    assert UNFINISHED not in left
    assert not {name for name in left if name.endswith((".partial", ".journal", ".tmp", ".linked"))}
    return events


def check(files: PairFiles) -> None:
    assert files.target.read_bytes() == CONTENTS["target.gguf"]
    assert files.drafter is not None
    assert files.drafter.read_bytes() == CONTENTS["mtp-target.gguf"]


def failure(
    folder: Path, options: PullOptions | None = None, entry: Entry = ENTRY
) -> GemmaMtpError:
    """A pull that fails with one sentence and something to do next, and leaves no ready pair."""
    with pytest.raises(GemmaMtpError) as caught:
        pull(entry, folder, Events().append, options)
    assert ready_files(entry, folder) is None
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


def real_pair(folder: Path) -> dict[str, bytes]:
    """The bytes of a small target and its drafter whose headers belong together."""
    folder.mkdir(exist_ok=True)
    target = writer.write(folder / "t", *writer.target()).read_bytes()
    drafter = writer.write(folder / "d", *writer.drafter()).read_bytes()
    return {"target": target, "drafter": drafter}
