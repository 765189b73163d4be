"""Copies of drafters that were written for other programs, as llama.cpp can load them.

They lie in the cache, one folder for each by its contents; the file itself is never touched. Only
what stands before the weights is written anew, the weights are copied. `store` asks for one,
`inventory` and `leftovers` remove them.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gemma_mtp import paths
from gemma_mtp.errors import BadPair
from gemma_mtp.files import atomic, disk, json_file
from gemma_mtp.files.checksum import state_of
from gemma_mtp.models import foreign_drafter, gguf
from gemma_mtp.models.check_cache import is_foreign, remembered
from gemma_mtp.models.contents import Contents
from gemma_mtp.models.foreign_drafter import Translation
from gemma_mtp.models.gguf_header import NUMBERS, Header
from gemma_mtp.models.gguf_parser import MAX_HEADER, MIN_ALIGNMENT, raw_values
from gemma_mtp.models.gguf_writer import Raw, head, padded

ORIGIN = "from.json"  # beside a copy: of which file it is
PIECE = 4 << 20  # bytes read at once


def usable(target: Path, drafter: Path) -> Path:
    """The drafter as llama.cpp can load it: the file itself, or a copy that is made if need be.

    Raises BadPair where it does not belong to the target or cannot be converted, and GemmaMtpError
    for what the disk refuses.
    """
    if not is_foreign(target, drafter):
        return drafter
    found = Path(remembered([target, drafter], lambda: str(_convert(target, drafter)), "converted"))
    return found if found.is_file() else _convert(target, drafter)


def original(copy: Path) -> Path | None:
    """The file that `copy` was made of; None where it is no copy."""
    said = json_file.read(copy.with_name(ORIGIN)).get("path") if _is_ours(copy.parent) else None
    return Path(said) if isinstance(said, str) else None


def copies_of(folder: Path) -> list[Path]:
    """Folders of the copies that were made of files below `folder`."""
    return [copy for copy in _copies() if folder in Path(_origin(copy)[0]).parents]


def unneeded() -> list[tuple[Path, str]]:
    """Folders of copies whose originals are gone or changed, and what killed writers left; and why
    each is of no use."""
    found: list[tuple[Path, str]] = []
    for copy in _copies():
        path, state = _origin(copy)
        left = atomic.abandoned(copy)
        if path and state_of(Path(path)) == state:
            found += [(part, f"left by a conversion of {Path(path).name}") for part in left]
        elif len(left) == len([*copy.glob("*.tmp")]):  # nobody writes there just now
            name = Path(path).name or "a file"
            found.append((copy, f"converted from {name}, which is gone or has changed"))
    return found


def _convert(target: Path, drafter: Path) -> Path:
    ours, theirs = gguf.read_header(target), gguf.read_header(drafter)
    wanted = foreign_drafter.check(ours, theirs)
    assert wanted is not None
    if len(theirs.files) > 1:
        problem = f"{drafter.name} was written for another program, and in several parts."
        raise BadPair(problem, "llama-gguf-split --merge makes one file of them.")
    sums = Contents([drafter]).find()
    if sums is None:
        raise BadPair(f"{drafter.name} cannot be read, or is being changed.")
    start, lent = _head(wanted, theirs), _borrowed(wanted, ours)
    key = hashlib.sha256(b"".join([sums[0].encode(), start, *lent.values()])).hexdigest()
    place = _folder() / key[:16] / drafter.name
    size = len(start) + sum(_room(info.bytes, theirs) for info in wanted.header.tensors.values())
    try:
        if disk.size_of(place) != size:
            place.parent.mkdir(parents=True, exist_ok=True)
            disk.require_room(place.parent, size, f"A converted copy of {drafter.name}")
            atomic.write(place, _contents(wanted, theirs, start, lent), private=False)
    except OSError as error:
        raise disk.disk_error(error, place.parent, "try again") from error
    json_file.keep(place.with_name(ORIGIN), {"path": str(drafter), "state": state_of(drafter)})
    foreign_drafter.check(ours, gguf.read_header(place))  # as it is on the disk now
    return place


def _head(wanted: Translation, theirs: Header) -> bytes:
    """All of the copy up to its weights: the values of kept keys are the very bytes."""
    with open(theirs.path, "rb") as file:
        length = min(theirs.file_size, MAX_HEADER)
        with mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ) as data:
            values = raw_values(data, theirs.path.name)
    metadata = {
        key: Raw(values[wanted.keys[key]]) if key in wanted.keys else value
        for key, value in _architecture_first(wanted.header.metadata).items()
    }
    infos = wanted.header.tensors
    tensors = {name: (info.shape, NUMBERS[info.type]) for name, info in infos.items()}
    return head(metadata, tensors, alignment=_alignment(theirs))


def _architecture_first(metadata: dict[str, object]) -> dict[str, object]:
    """Where readers look for it."""
    name = foreign_drafter.ARCHITECTURE
    return {name: metadata[name], **metadata}


def _borrowed(wanted: Translation, ours: Header) -> dict[str, bytes]:
    found = {}
    for name in wanted.borrowed:
        part = _part_with(name, ours)
        with open(part.path, "rb") as file:
            found[name] = b"".join(_weights(file, part, name))
    return found


def _part_with(name: str, header: Header) -> Header:
    """The header of the file that holds a tensor, which of a split model is one of several."""
    parts = (gguf.read_file(path) for path in header.files)
    return header if len(header.files) == 1 else next(p for p in parts if name in p.tensors)


def _contents(
    wanted: Translation, theirs: Header, start: bytes, lent: dict[str, bytes]
) -> Iterator[bytes]:
    yield start
    with open(theirs.path, "rb") as file:
        for name, info in wanted.header.tensors.items():
            if name in lent:
                yield lent[name]
            else:
                yield from _weights(file, theirs, wanted.tensors[name])
            yield bytes(_room(info.bytes, theirs) - info.bytes)


def _weights(file: BinaryIO, theirs: Header, name: str) -> Iterator[bytes]:
    info = theirs.tensors[name]
    file.seek(theirs.data_offset + info.offset)
    left = info.bytes
    while left:
        piece = file.read(min(left, PIECE))
        if not piece:
            raise BadPair(f"{theirs.path.name} was cut while it was read.")
        left -= len(piece)
        yield piece


def _alignment(header: Header) -> int:
    return int(header.metadata.get("general.alignment", MIN_ALIGNMENT))


def _room(size: int, header: Header) -> int:
    return padded(size, _alignment(header))


def _folder() -> Path:
    return paths.cache_dir() / "converted"


def _is_ours(folder: Path) -> bool:
    return folder.parent == _folder()


def _copies() -> list[Path]:
    try:
        return sorted(path for path in _folder().iterdir() if path.is_dir())
    except OSError:
        return []


def _origin(copy: Path) -> tuple[str, str]:
    """Path and state of the file that a copy was made of; "" for what is not known."""
    said = json_file.read(copy / ORIGIN)
    return str(said.get("path") or ""), str(said.get("state") or "")
