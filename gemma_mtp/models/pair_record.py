"""The files that say what a folder holds: a complete pair, or a pull on its way.

The marker of a complete pair is written last and moved into place, so that a folder is ready or it
is not. Knows nothing of how the files came there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gemma_mtp.api import PairFiles
from gemma_mtp.files import atomic, bounded, names
from gemma_mtp.files.schema import anything, rows, table, text, whole
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.catalogue_schema import MOST_BYTES

RECORD = "pair.json"
UNFINISHED = "pull.json"  # the same about a pair that is not complete yet
SUMS = "SHA256SUMS"

_HASH = r"[0-9a-fA-F]{64}"
_HELD = table(
    # A pull that has not ended may know no sum yet.
    {"path": anything, "bytes": whole(0, MOST_BYTES), "sha256": text(64, f"({_HASH})?")},
    {
        "time": whole(-1, 1 << 63),  # -1 where it was not there
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
class FileRecord:
    """One file that was verified, one part of a split model.

    `pinned`: what the catalogue asked for, if that was another. `time`: of the last change when it
    was verified, in ns; 0 where nothing was noted. `path` leads nowhere but below the folder of the
    marker: ValueError otherwise.
    """

    role: str
    path: str
    bytes: int
    sha256: str
    quantization: str = ""
    pinned: str = ""
    origin: str = "hub"
    time: int = 0

    def __post_init__(self) -> None:
        names.check(self.path)

    @property
    def asked(self) -> str:
        """The sha256 of the catalogue entry this file was fetched for."""
        return self.pinned or self.sha256


@dataclass(frozen=True)
class PairRecord:
    """A pair: its name, where it comes from, and its files."""

    name: str
    repo: str
    revision: str
    files: tuple[FileRecord, ...]


def read_record(folder: Path) -> PairRecord | None:
    """What `folder` says it holds, complete; None when it says nothing that can be understood."""
    marker = _read(folder / RECORD)
    return marker if marker and all(held.sha256 for held in marker.files) else None


def read_unfinished(folder: Path) -> PairRecord | None:
    """What a pull that has not ended yet wants to put into `folder`; its sizes may be 0."""
    return _read(folder / UNFINISHED)


def _read(path: Path) -> PairRecord | None:
    try:
        data = _MARKER(bounded.parse_json(bounded.read_text(path)), "")
        fields = FileRecord.__dataclass_fields__.keys()
        held = tuple(
            FileRecord(
                **{
                    "role": "",
                    **{k: v for k, v in f.items() if k in fields},
                    "sha256": f["sha256"].lower(),
                }
            )
            for f in data["files"]
        )
        return PairRecord(
            data.get("name", ""), data.get("repo", ""), data.get("revision", ""), held
        )
    except (OSError, ValueError):
        return None


def write_record(folder: Path, marker: PairRecord) -> None:
    """Declare the folder ready; a list that `sha256sum -c` reads stands beside it."""
    sums = "".join(f"{held.sha256}  {held.path}\n" for held in marker.files)
    atomic.write_text(folder / SUMS, sums)
    atomic.write_text(folder / RECORD, json.dumps(asdict(marker), indent=2) + "\n")


def write_unfinished(folder: Path, claim: PairRecord) -> None:
    """Say what a pull is about, so that what an interrupted one leaves has a name."""
    atomic.write_text(folder / UNFINISHED, json.dumps(asdict(claim), indent=2) + "\n")


def mark_unfinished(folder: Path) -> None:
    """The folder is not ready any more: a pull has to verify what it holds."""
    (folder / RECORD).replace(folder / UNFINISHED)


def is_unchanged(folder: Path, held: FileRecord) -> bool:
    """Neither size nor time of a file changed since its contents were verified."""
    try:
        status = (folder / held.path).stat()
    except OSError:
        return False
    return status.st_size == held.bytes and held.time in (0, status.st_mtime_ns)


def ready_files(entry: Entry, folder: Path) -> PairFiles | None:
    """The pair in `folder`, if a pull of exactly this entry was completed there."""
    marker = read_record(folder)
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


def pair_files(entry: Entry) -> tuple[RemoteFile, ...]:
    """The drafter first, as it is small: what is wrong with access or network shows early."""
    return *entry.drafter.parts, *entry.target.parts


def _is_there(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
