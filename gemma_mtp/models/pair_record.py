"""The files that say what a folder holds: a complete pair, or one whose pull has not ended.

A pull writes them, `store` and `inventory` read them. The record of a complete pair, `pair.json`,
is written last and moved into place, so that a folder is ready or it is not. Knows nothing of how
the files came there.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gemma_mtp.api import PairFiles
from gemma_mtp.errors import UsageError
from gemma_mtp.files import atomic, bounded, disk, names
from gemma_mtp.files.schema import Misfit, anything, rows, table, text, truth, whole
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.catalogue_schema import MOST_BYTES
from gemma_mtp.models.preset_data import preset_of

RECORD = "pair.json"
UNFINISHED = "pull.json"  # the same about a pair that is not complete yet
SUMS = "SHA256SUMS"

_SHA256 = r"[0-9a-fA-F]{64}"
_FILE = table(
    # A pull that has not ended may know no sum yet.
    {"path": anything, "bytes": whole(0, MOST_BYTES), "sha256": text(64, f"({_SHA256})?")},
    {
        "time": whole(-1, 1 << 63),  # -1 where it was not there
        "role": text(40),
        "quantization": text(64),
        "pinned": text(64, f"({_SHA256})?"),
        "origin": text(5000, any_character=True),  # a path of the user's, perhaps
        "repo": text(200),
        "revision": text(100),
    },
    others=True,  # of a newer version
)


def _preset(value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise Misfit(f"{where} must be a table")
    try:
        preset_of("", value)
    except UsageError as error:
        raise Misfit(f"{where}: {error}") from error
    return value


_PAIR = table(
    {"files": rows(_FILE, most=500)},
    {
        "name": text(300),
        "repo": text(200),
        "revision": text(100),
        "published": _preset,
        "asked_encoder": truth,
    },
    others=True,
)


@dataclass(frozen=True)
class FileRecord:
    """One file that was verified: a part of a target or a drafter, or an image encoder.

    `pinned`: what the catalogue asked for, if that was another sha256. `time`: of the last change
    when it was verified, in ns; 0 where nothing was noted. `origin`: "hub", or who had it already.
    `repo` and `revision`: where it comes from, if that is not where the pair does.
    Raises ValueError where `path` leads out of the folder of the record.
    """

    role: str
    path: str
    bytes: int
    sha256: str
    quantization: str = ""
    pinned: str = ""
    origin: str = "hub"
    time: int = 0
    repo: str = ""
    revision: str = ""

    def __post_init__(self) -> None:
        names.check(self.path)

    @property
    def asked(self) -> str:
        """The sha256 of the catalogue entry this file was fetched for."""
        return self.pinned or self.sha256

    def is_unchanged(self, folder: Path) -> bool:
        """Neither size nor time changed since the contents were verified."""
        path = folder / self.path
        return disk.size_of(path) == self.bytes and self.time in (0, modified_at(path))


@dataclass(frozen=True)
class PairRecord:
    """A pair: its name, where it comes from, its files, and the settings that came with it, where
    some did, as `preset_data` has them. `asked_encoder` as that of `Entry`."""

    name: str
    repo: str
    revision: str
    files: tuple[FileRecord, ...]
    published: dict[str, Any] = field(default_factory=dict)
    asked_encoder: bool = False

    def is_about(self, entry: Entry) -> bool:
        """It names the target and the drafter that `entry` does; where the entry knows no sha256,
        any will do."""
        return all(map(self.names, needed_files(entry)))

    def is_whole(self, entry: Entry) -> bool:
        """It names all files that `entry` does, the image encoder included."""
        return all(map(self.names, pair_files(entry)))

    def names(self, file: RemoteFile) -> bool:
        """Whether it is about this very file."""
        asked = {each.path: each.asked for each in self.files}
        return file.path in asked and file.sha256 in ("", asked[file.path])


def read_record(folder: Path) -> PairRecord | None:
    """What `folder` says it holds, complete; None when it says nothing that can be understood."""
    record = _read(folder / RECORD)
    return record if record and all(file.sha256 for file in record.files) else None


def read_unfinished(folder: Path) -> PairRecord | None:
    """What a pull that has not ended yet wants to put into `folder`; its sizes may be 0."""
    return _read(folder / UNFINISHED)


def _read(path: Path) -> PairRecord | None:
    try:
        data = _PAIR(bounded.parse_json(bounded.read_text(path)), "")
        known = FileRecord.__dataclass_fields__.keys()
        files = tuple(
            FileRecord(**{"role": "", **{k: v for k, v in file.items() if k in known},
                          "sha256": file["sha256"].lower()})
            for file in data["files"]
        )  # fmt: skip
        name, repo, revision = (data.get(key, "") for key in ("name", "repo", "revision"))
        asked = data.get("asked_encoder", False)
        return PairRecord(name, repo, revision, files, data.get("published", {}), asked)
    except (OSError, ValueError):
        return None


def write_record(folder: Path, record: PairRecord) -> None:
    """Declare the folder ready, beside a list that `sha256sum -c` reads. Raises OSError."""
    sums = "".join(f"{file.sha256}  {file.path}\n" for file in record.files)
    atomic.write_text(folder / SUMS, sums)
    atomic.write_text(folder / RECORD, json.dumps(asdict(record), indent=2) + "\n")


def write_unfinished(folder: Path, record: PairRecord) -> None:
    """Give a name to what an interrupted pull will leave. Raises OSError."""
    atomic.write_text(folder / UNFINISHED, json.dumps(asdict(record), indent=2) + "\n")


def mark_unfinished(folder: Path) -> None:
    """The folder is not ready any more: a pull has to verify what it holds. Raises OSError."""
    (folder / RECORD).replace(folder / UNFINISHED)


def ready_files(entry: Entry, folder: Path) -> PairFiles | None:
    """The pair in `folder`, if a pull of exactly this entry was completed there; it may have gone
    without the image encoder."""
    record = read_record(folder)
    if record is None or not record.is_about(entry):
        return None
    sizes = {file.path: file.bytes for file in record.files}

    def is_here(file: RemoteFile) -> bool:
        return disk.size_of(folder / file.path) == sizes[file.path]

    if not all(map(is_here, needed_files(entry))):
        return None
    target, drafter = (folder / file.path for file in (entry.target, entry.drafter))
    found = PairFiles(entry.name, target, drafter, published=entry.published)
    if entry.encoder is None or not record.names(entry.encoder) or not is_here(entry.encoder):
        return found
    return replace(found, encoder=folder / entry.encoder.path)


def pair_files(entry: Entry) -> tuple[RemoteFile, ...]:
    """All files of a pair, or its drafter alone. The drafter comes first, as it is small: what is
    wrong with access or network shows early."""
    encoder = entry.encoder.parts if entry.encoder else ()
    return *entry.drafter.parts, *encoder, *_target_files(entry)


def needed_files(entry: Entry) -> tuple[RemoteFile, ...]:
    """Those without which there is no pair."""
    return *entry.drafter.parts, *_target_files(entry)


def _target_files(entry: Entry) -> tuple[RemoteFile, ...]:
    return () if entry.drafter_alone else entry.target.parts


def modified_at(path: Path) -> int:
    """The time of the last change of a file in ns; -1 where it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1
