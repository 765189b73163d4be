"""The file that says a folder holds a complete pair, and what exactly is in it.

Written last and moved into place, so that a folder is ready or it is not. Knows nothing of how
the files came there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gemma_mtp import atomic
from gemma_mtp.catalogue import Entry, RemoteFile
from gemma_mtp.options import PairFiles

MARKER = "pair.json"
SUMS = "SHA256SUMS"


@dataclass(frozen=True)
class Held:
    """One file that was verified. `pinned`: what the catalogue asked for, if that was another."""

    role: str
    path: str
    bytes: int
    sha256: str
    quantization: str = ""
    pinned: str = ""
    origin: str = "hub"

    @property
    def asked(self) -> str:
        """The sha256 of the catalogue entry this file was fetched for."""
        return self.pinned or self.sha256


@dataclass(frozen=True)
class Marker:
    """A complete pair: its name, where it comes from, and both files."""

    name: str
    repo: str
    revision: str
    files: tuple[Held, ...]


def read_marker(folder: Path) -> Marker | None:
    """What `folder` claims to hold; None when it claims nothing that can be understood."""
    try:
        data = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        fields = Held.__dataclass_fields__.keys()
        held = tuple(
            Held(**{"role": "", **{k: v for k, v in f.items() if k in fields}})
            for f in data["files"]
        )
        return Marker(data.get("name", ""), data.get("repo", ""), data.get("revision", ""), held)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_marker(folder: Path, marker: Marker) -> None:
    """Declare the folder ready; a list that `sha256sum -c` reads stands beside it."""
    sums = "".join(f"{held.sha256}  {held.path}\n" for held in marker.files)
    atomic.write_text(folder / SUMS, sums)
    atomic.write_text(folder / MARKER, json.dumps(asdict(marker), indent=2) + "\n")


def ready_files(entry: Entry, folder: Path) -> PairFiles | None:
    """The pair in `folder`, if a pull of exactly this entry was completed there."""
    marker = read_marker(folder)
    if marker is None:
        return None
    held = {file.path: file for file in marker.files}
    for file in pair_files(entry):
        known = held.get(file.path)
        if known is None or file.sha256 not in ("", known.asked):  # "": the entry names no hash
            return None
        if not _is_there(folder / file.path, known.bytes):
            return None
    return PairFiles(entry.name, folder / entry.target.path, folder / entry.drafter.path)


def pair_files(entry: Entry) -> tuple[RemoteFile, RemoteFile]:
    """The small one first: what is wrong with access or network shows early."""
    return entry.drafter, entry.target


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
