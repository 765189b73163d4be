"""The file that says a folder holds a complete pair, and what exactly is in it.

Written last and moved into place, so that a folder is ready or it is not. Knows nothing of how
the files came there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gemma_mtp import atomic, bounded, names
from gemma_mtp.catalogue import Entry, RemoteFile
from gemma_mtp.catalogue_schema import MOST_BYTES
from gemma_mtp.options import PairFiles
from gemma_mtp.schema import anything, rows, table, text, whole

MARKER = "pair.json"
SUMS = "SHA256SUMS"

_HASH = r"[0-9a-fA-F]{64}"
_HELD = table(
    {"path": anything, "bytes": whole(0, MOST_BYTES), "sha256": text(64, _HASH)},
    {
        "role": text(40),
        "quantization": text(64),
        "pinned": text(64, f"({_HASH})?"),
        "origin": text(5000, any_character=True),  # a path of the user's, perhaps
    },
    others=True,  # of a newer version
)
_MARKER = table(
    {"files": rows(_HELD, most=500)},
    {"name": text(300), "repo": text(200), "revision": text(100)},
    others=True,
)


@dataclass(frozen=True)
class Held:
    """One file that was verified. `pinned`: what the catalogue asked for, if that was another.

    `path` leads nowhere but below the folder of the marker: ValueError otherwise.
    """

    role: str
    path: str
    bytes: int
    sha256: str
    quantization: str = ""
    pinned: str = ""
    origin: str = "hub"

    def __post_init__(self) -> None:
        names.check(self.path)

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
        data = _MARKER(bounded.parse_json(bounded.read_text(folder / MARKER)), "")
        fields = Held.__dataclass_fields__.keys()
        held = tuple(
            Held(
                **{
                    "role": "",
                    **{k: v for k, v in f.items() if k in fields},
                    "sha256": f["sha256"].lower(),
                }
            )
            for f in data["files"]
        )
        return Marker(data.get("name", ""), data.get("repo", ""), data.get("revision", ""), held)
    except (OSError, ValueError):
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
