"""Reads the headers of GGUF files, whole models or parts of them, however damaged they are.

Everything that judges a file by its header begins here. Says what a file is that is no GGUF; the
bytes of one that is are `gguf_parser`'s. Knows neither llama.cpp nor what the weights mean.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gemma_mtp.errors import BadPair, GemmaMtpError, ModelNotAvailable
from gemma_mtp.models import gguf_names
from gemma_mtp.models.gguf_header import Description, Header, TensorInfo, describe
from gemma_mtp.models.gguf_parser import (
    MAX_HEADER,
    PULL_AGAIN,
    Cut,
    parse,
    starts_with_architecture,
)

__all__ = [
    "PULL_AGAIN",
    "Cut",
    "Description",
    "Header",
    "advising",
    "architecture",
    "describe",
    "read_header",
]

ALL_PARTS = "All parts must lie in one folder, under the names that llama-gguf-split gave them."

_LOOKS_LIKE = (
    (b"<", "a web page"),
    (b"PK\x03\x04", "a zip archive or PyTorch checkpoint"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
    (b"FUGG", "a big-endian GGUF"),
    (b"ggjt", "an old GGML file"),
    (b"tjgg", "an old GGML file"),
    (b"lmgg", "an old GGML file"),
    (b"{", "JSON text, perhaps an error message"),
)


@contextmanager
def advising(hint: str) -> Iterator[None]:
    """Give this hint with a damaged file: what helps depends on whose it is, which its reader
    cannot know."""
    try:
        yield
    except BadPair as error:
        if error.hint == PULL_AGAIN:
            error.hint = hint
        raise


def read_header(path: Path) -> Header:
    """The header of a complete model; any part of a split one stands for all of it.

    Raises ModelNotAvailable where there is no file, and BadPair for one that cannot be used.
    """
    path = Path(path)
    header = read_file(path)
    count = _part_count(header)
    if count == 1:
        return header
    paths, number = gguf_names.parts_of(path), header.metadata.get("split.no", -1)
    if len(paths) != count or not 0 <= number < count or paths[number] != path:
        raise BadPair(
            f"{path.name} says that it is part {number + 1} of {count}, and its name does not.",
            ALL_PARTS,
        )
    return joined([header if part == path else _read_part(part, path) for part in paths])


def read_parts(paths: Sequence[Path]) -> Header:
    """The header of the model that consists of these files, in this order, whatever their names.

    Raises as `read_header` does.
    """
    return joined([read_file(path) for path in paths])


def architecture(path: Path) -> str:
    """The model family without reading more than needed; "" when the file is no usable GGUF."""
    try:
        with open(path, "rb") as file:
            start = file.read(512)
        found = starts_with_architecture(start, path.name)
        return read_header(path).architecture if found is None else found
    except (OSError, GemmaMtpError):
        return ""


def read_file(path: Path, named: Path | None = None, known: int = MAX_HEADER) -> Header:
    """The header of one file, which may be a part, and may lie at another path than the one that
    it is `named`. Of a file on its way only the first `known` bytes are here.

    Raises as `read_header` does, and Cut where the header needs more bytes than are here.
    """
    named = named or path
    try:
        size = _size_of(path)
        known = min(size, MAX_HEADER, known)
        with open(path, "rb") as file:
            _check_magic(named.name, file.read(64))
            with mmap.mmap(file.fileno(), known, access=mmap.ACCESS_READ) as data:
                return parse(named, data, size)
    except FileNotFoundError:
        raise ModelNotAvailable(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadPair(f"{path.name} cannot be read: {reason}.") from None


def _read_part(path: Path, named: Path) -> Header:
    try:
        return read_file(path)
    except ModelNotAvailable:
        message = f"{path.name} is missing, which belongs to {named.name}."
        raise BadPair(message, ALL_PARTS) from None


def _part_count(header: Header) -> int:
    """1 for a model in one file; llama.cpp takes 0 for that, too."""
    return max(int(header.metadata.get("split.count", 1)), 1)


def joined(parts: Sequence[Header]) -> Header:
    """One header for a model: metadata of the first part, tensors of all.

    Raises BadPair for what are not all parts of one model, in their order.
    """
    first, tensors = parts[0], dict[str, TensorInfo]()
    for number, part in enumerate(parts):
        place = part.metadata.get("split.no") if len(parts) > 1 else 0
        if (place, _part_count(part)) != (number, len(parts)):
            raise BadPair(f"{part.path.name} is not part {number + 1} of {len(parts)}.", ALL_PARTS)
        if not tensors.keys().isdisjoint(part.tensors):
            raise BadPair(f"{part.path.name} repeats tensors of another part.", PULL_AGAIN)
        tensors |= part.tensors
    if len(parts) > 1 and first.metadata.get("split.tensors.count") != len(tensors):
        message = f"The parts of {first.path.name} do not hold the tensors that it names."
        raise BadPair(message, ALL_PARTS)
    size = sum(part.file_size for part in parts)
    files = tuple(part.path for part in parts)
    return replace(first, tensors=tensors, file_size=size, files=files)


def _size_of(path: Path) -> int:
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise BadPair(f"{path} is a folder.", "Name a .gguf file inside it.")
    if not stat.S_ISREG(status.st_mode):
        raise BadPair(f"{path} is not a regular file.")
    if status.st_size == 0:
        raise BadPair(f"{path.name} is empty.", PULL_AGAIN)
    return status.st_size


def _check_magic(name: str, head: bytes) -> None:
    if head[:4] == b"GGUF":
        return
    text = head.lstrip().removeprefix(b"\xef\xbb\xbf")
    kind = next((kind for start, kind in _LOOKS_LIKE if text.startswith(start)), "")
    if head[8:10] == b'{"':
        kind = "a safetensors file"
    what = f": it looks like {kind}" if kind else ""
    hint = "Only GGUF files can be loaded; gemma-mtp pull gets a pair that works."
    raise BadPair(f"{name} is not a GGUF file{what}.", hint)
