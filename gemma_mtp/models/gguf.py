"""Reads GGUF headers: metadata and the list of tensors, however damaged the file is.

Knows neither llama.cpp nor what the weights mean; never reads tensor data, and skips the vocabulary
without keeping it.
"""

from __future__ import annotations

import math
import mmap
import os
import stat
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gemma_mtp.errors import BadPair, GemmaMtpError, ModelNotAvailable
from gemma_mtp.models import gguf_names

KEPT_ELEMENTS = 1024  # longer arrays are reduced to their count; no model has as many layers
MAX_HEADER = 64 << 20  # a 262k vocabulary with its merges takes about 20 MiB
MAX_ENTRIES = 1 << 16  # metadata keys, and tensors; real files have a few hundred
MAX_TOKENS = 1 << 21
MAX_TENSOR_NAME = 63
MIN_ALIGNMENT = 32  # bytes; what llama.cpp's kernels count on, and assumed where a file is silent
MAX_ALIGNMENT = 1 << 20

PULL_AGAIN = "The file is damaged or incomplete: pull it again."
ALL_PARTS = "All parts must lie in one folder, under the names that llama-gguf-split gave them."

# ggml type: (name, elements in a block, bytes of a block)
_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}

# metadata value type: struct format; 8 is a string, 9 an array
_SCALARS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_NAMES = {
    0: "u8", 1: "i8", 2: "u16", 3: "i16", 4: "u32", 5: "i32", 6: "f32", 7: "bool", 8: "str",
    10: "u64", 11: "i64", 12: "f64",
}  # fmt: skip
# llama.cpp ends the process where a part says this in another type.
_SPLIT_KEYS = {"split.no": 2, "split.count": 2, "split.tensors.count": 5}

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


class Count(int):
    """How many elements a long array has; the elements were skipped."""


@dataclass(frozen=True)
class TensorInfo:
    """Shape as stored (fastest dimension first), ggml type name, offset into the data section of
    the file that holds it."""

    shape: tuple[int, ...]
    type: str
    offset: int

    @property
    def elements(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in the file, without padding."""
        block, size = _BLOCKS[self.type]
        return self.elements // block * size


_BLOCKS = {name: (block, size) for name, block, size in _TYPES.values()}


@dataclass(frozen=True)
class Header:
    """All of a model but its weights; `path` is the file that llama.cpp is given.

    `types` has a name such as "u32", or "[u32]" for an array, for each key of the metadata.
    `files`: that file and, of a split model, the other parts; `file_size` is the bytes of all.
    `repeated_tokens`: the vocabulary has duplicates.
    """

    path: Path
    version: int
    metadata: dict[str, Any]
    types: dict[str, str]
    tensors: dict[str, TensorInfo]
    data_offset: int
    file_size: int
    repeated_tokens: bool = False
    files: tuple[Path, ...] = ()

    @property
    def architecture(self) -> str:
        """The model family; "" when the file does not say."""
        value = self.metadata.get("general.architecture")
        return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Description:
    """What a person wants to know of a model file; 0 stands for unknown."""

    name: str
    architecture: str
    layers: int
    width: int
    vocabulary: int
    context_length: int
    sliding_window: int
    quantization: str
    parameters: int


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


def count(value: object) -> int:
    """Elements of an array in the metadata, kept or only counted; 0 for anything else."""
    return len(value) if isinstance(value, list) else value if isinstance(value, Count) else 0


def vocabulary_size(header: Header) -> int:
    """Number of tokens; 0 without a vocabulary."""
    return count(header.metadata.get("tokenizer.ggml.tokens"))


def read_header(path: Path) -> Header:
    """The header of a complete model, or a `GemmaMtpError` in one sentence.

    Any part of a split model stands for all of it.
    """
    path = Path(path)
    header = _read(path)
    count = _part_count(header)
    if count == 1:
        return header
    paths, number = gguf_names.parts_of(path), header.metadata.get("split.no", -1)
    if len(paths) != count or not 0 <= number < count or paths[number] != path:
        raise BadPair(
            f"{path.name} says that it is part {number + 1} of {count}, and its name does not.",
            ALL_PARTS,
        )
    return _joined([header if part == path else _read_part(part, path) for part in paths])


def read_parts(paths: Sequence[Path]) -> Header:
    """The header of the model that consists of these files, in this order, whatever their names.

    Raises `GemmaMtpError` as `read_header` does.
    """
    return _joined([_read(path) for path in paths])


def architecture(path: Path) -> str:
    """The model family without reading more than needed; "" when the file is no usable GGUF."""
    try:
        with open(path, "rb") as file:
            start = file.read(512)
        cursor = _Cursor(start, path.name, whole=True)
        cursor.take(20)  # version, numbers of tensors and keys
        first = start[:4] == b"GGUF" and cursor.string() == "general.architecture"
        if first and cursor.number("I") == _STRING:
            return cursor.string()
        return read_header(path).architecture
    except (OSError, GemmaMtpError):
        return ""


def _read(path: Path) -> Header:
    """The header of one file, which may be a part."""
    try:
        size = _size_of(path)
        with open(path, "rb") as file:
            _check_magic(path.name, file.read(64))
            with mmap.mmap(file.fileno(), min(size, MAX_HEADER), access=mmap.ACCESS_READ) as data:
                header = _parse(path, data, size)
    except FileNotFoundError:
        raise ModelNotAvailable(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadPair(f"{path.name} cannot be read: {reason}.") from None
    _check_data(header)
    return header


def _read_part(path: Path, named: Path) -> Header:
    try:
        return _read(path)
    except ModelNotAvailable:
        raise BadPair(f"{path.name} is missing, which belongs to {named.name}.", ALL_PARTS) from (
            None
        )


def _part_count(header: Header) -> int:
    """1 for a model in one file; llama.cpp takes 0 for that, too."""
    return max(int(header.metadata.get("split.count", 1)), 1)


def _joined(parts: Sequence[Header]) -> Header:
    """One header for a model: metadata of the first part, tensors of all."""
    first, tensors = parts[0], dict[str, TensorInfo]()
    for number, part in enumerate(parts):
        place = part.metadata.get("split.no") if len(parts) > 1 else 0
        if (place, _part_count(part)) != (number, len(parts)):
            raise BadPair(f"{part.path.name} is not part {number + 1} of {len(parts)}.", ALL_PARTS)
        if not tensors.keys().isdisjoint(part.tensors):
            raise BadPair(f"{part.path.name} repeats tensors of another part.", PULL_AGAIN)
        tensors |= part.tensors
    if len(parts) > 1 and first.metadata.get("split.tensors.count") != len(tensors):
        raise BadPair(f"The parts of {first.path.name} do not hold the tensors that it names.",
                      ALL_PARTS)  # fmt: skip
    size = sum(part.file_size for part in parts)
    files = tuple(part.path for part in parts)
    return replace(first, tensors=tensors, file_size=size, files=files)


def describe(header: Header) -> Description:
    """Never fails: fields a damaged or foreign header lacks are empty or 0."""
    arch = header.architecture

    def number(key: str) -> int:
        value = header.metadata.get(f"{arch}.{key}")
        return value if isinstance(value, int) else 0

    sizes: Counter[str] = Counter()
    for tensor in header.tensors.values():
        if len(tensor.shape) > 1:
            sizes[tensor.type] += tensor.bytes
    name = header.metadata.get("general.name")
    return Description(
        name=name if isinstance(name, str) else header.path.stem,
        architecture=arch,
        layers=number("block_count"),
        width=number("embedding_length"),
        vocabulary=vocabulary_size(header),
        context_length=number("context_length"),
        sliding_window=number("attention.sliding_window"),
        quantization=sizes.most_common(1)[0][0] if sizes else "",
        parameters=sum(tensor.elements for tensor in header.tensors.values()),
    )


class _Cursor:
    """Walks the mapped header; every step is checked against its end."""

    def __init__(self, data: mmap.mmap | bytes, name: str, whole: bool) -> None:
        self.data, self.end, self.name, self.whole = data, len(data), name, whole
        self.pos = 4

    def cut(self) -> BadPair:
        if self.whole:
            return BadPair(f"{self.name} ends in the middle of its header.", PULL_AGAIN)
        return self.damaged(f"its header exceeds {MAX_HEADER >> 20} MiB")

    def damaged(self, why: str) -> BadPair:
        return BadPair(f"{self.name} has a damaged header: {why}.", PULL_AGAIN)

    def take(self, size: int) -> int:
        """The position of the next `size` bytes, which are there."""
        start = self.pos
        if size > self.end - start:
            raise self.cut()
        self.pos += size
        return start

    def numbers(self, code: str, count: int = 1) -> tuple[Any, ...]:
        start = self.take(count * struct.calcsize(f"<{code}"))
        return struct.unpack_from(f"<{count}{code}", self.data, start)

    def number(self, code: str) -> Any:
        return self.numbers(code)[0]

    def string(self) -> str:
        size = self.number("Q")
        start = self.take(size)
        text = self.data[start : start + size]
        if b"\0" in text:  # llama.cpp reads no further, so it would see another text than we do
            raise self.damaged(f"it has a null byte in {text[:60].decode('utf-8', 'replace')!r}")
        return text.decode("utf-8", "replace")

    def skip_strings(self, count: int, seen: set[bytes] | None) -> None:
        """Step over `count` strings, collecting them in `seen` if given (one tight loop)."""
        if count > (self.end - self.pos) // 8:
            raise self.cut()
        data, end, pos = self.data, self.end, self.pos
        size_at = struct.Struct("<Q").unpack_from
        for index in range(count):
            if pos + 8 > end:
                raise self.cut()
            start = pos + 8
            pos = start + size_at(data, pos)[0]
            if seen is not None:  # llama.cpp names empty tokens after their index
                seen.add(data[start : min(pos, end)] or b"[EMPTY_%d]" % index)
        self.pos = pos
        self.take(0)
        if seen is not None and b"\0" in b"".join(seen):
            raise self.damaged("it has a null byte in a token")


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


def _parse(path: Path, data: mmap.mmap, size: int) -> Header:
    cursor = _Cursor(data, path.name, whole=len(data) == size)
    version = cursor.number("I")
    if version & 0xFFFF == 0 and version:
        raise BadPair(f"{path.name} is a big-endian GGUF.", "Get the little-endian file.")
    if version not in (2, 3):
        raise BadPair(f"{path.name} is GGUF version {version}; versions 2 and 3 can be read.")
    n_tensors, n_keys = cursor.numbers("Q", 2)
    if max(n_tensors, n_keys) > MAX_ENTRIES:
        raise cursor.damaged(f"{n_tensors} tensors and {n_keys} metadata keys")
    tokens: set[bytes] = set()
    metadata, types = _metadata(cursor, n_keys, tokens)
    tensors = _tensors(cursor, n_tensors)
    alignment = metadata.get("general.alignment", MIN_ALIGNMENT)
    sound = type(alignment) is int and MIN_ALIGNMENT <= alignment <= MAX_ALIGNMENT
    if not sound or alignment & (alignment - 1):
        raise cursor.damaged(f"an alignment of {str(alignment)[:40]}")
    return Header(
        path=path,
        version=version,
        metadata=metadata,
        types=types,
        tensors=tensors,
        data_offset=_padded(cursor.pos, alignment),
        file_size=size,
        repeated_tokens=len(tokens) < count(metadata.get("tokenizer.ggml.tokens")),
        files=(path,),
    )


def _metadata(
    cursor: _Cursor, count: int, tokens: set[bytes]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and names of their types."""
    metadata: dict[str, Any] = {}
    types: dict[str, str] = {}
    for _ in range(count):
        key = cursor.string()
        if not key or key in metadata:
            raise cursor.damaged(f"metadata key {key[:60]!r} is empty or appears twice")
        kind = cursor.number("I")
        if _SPLIT_KEYS.get(key, kind) != kind:
            raise cursor.damaged(f"metadata key {key!r} has type {kind}")
        types[key] = _NAMES.get(kind, "")
        if kind == _ARRAY:
            seen = tokens if key == "tokenizer.ggml.tokens" else None
            types[key], metadata[key] = _array(cursor, seen)
        elif kind == _STRING:
            metadata[key] = cursor.string()
        elif kind in _SCALARS:
            metadata[key] = cursor.number(_SCALARS[kind])
        else:
            raise cursor.damaged(f"metadata key {key[:60]!r} has unknown type {kind}")
    return metadata, types


def _array(cursor: _Cursor, seen: set[bytes] | None) -> tuple[str, list[Any] | Count]:
    """The name of its type, and the elements or how many there are."""
    kind, count = cursor.number("I"), cursor.number("Q")
    if kind not in _NAMES:
        raise cursor.damaged(f"an array of unknown type {kind}")
    name = f"[{_NAMES[kind]}]"
    if kind == _STRING:
        if seen is not None and count > MAX_TOKENS:
            raise cursor.damaged(f"a vocabulary of {count} tokens")
        start = cursor.pos
        cursor.skip_strings(count, seen)
        if count > KEPT_ELEMENTS:
            return name, Count(count)
        cursor.pos = start
        return name, [cursor.string() for _ in range(count)]
    if count > KEPT_ELEMENTS:
        cursor.take(count * struct.calcsize(f"<{_SCALARS[kind]}"))
        return name, Count(count)
    return name, list(cursor.numbers(_SCALARS[kind], count))


def _tensors(cursor: _Cursor, count: int) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for _ in range(count):
        name = cursor.string()
        if name in tensors or len(name.encode()) > MAX_TENSOR_NAME:
            raise cursor.damaged(f"tensor name {name[:60]!r} is too long or appears twice")
        dimensions = cursor.number("I")
        if dimensions > 4:
            raise cursor.damaged(f"tensor {name!r} has {dimensions} dimensions")
        shape = cursor.numbers("Q", dimensions) or (1,)
        kind, offset = cursor.number("I"), cursor.number("Q")
        if kind not in _TYPES:
            raise BadPair(
                f"{cursor.name} stores tensor {name!r} in type {kind}, which cannot be read.",
                "Get the model in another quantization.",
            )
        type_name, block, _ = _TYPES[kind]
        if math.prod(shape) >= 1 << 60 or shape[0] % block:
            raise cursor.damaged(f"tensor {name!r} has an impossible shape")
        tensors[name] = TensorInfo(shape, type_name, offset)
    return tensors


def _check_data(header: Header) -> None:
    """Tensors must follow each other without gaps and end inside the file."""
    name = header.path.name
    alignment = header.metadata.get("general.alignment", MIN_ALIGNMENT)
    expected = end = 0
    for tensor, info in header.tensors.items():
        if info.offset != expected:
            raise BadPair(f"{name} is damaged: tensor {tensor!r} is misplaced.", PULL_AGAIN)
        end = expected + info.bytes
        expected = _padded(end, alignment)
    missing = header.data_offset + end - header.file_size
    if header.tensors and missing > 0:
        lacking = "1 byte is" if missing == 1 else f"{missing:,} bytes are"
        raise BadPair(f"{name} is incomplete: {lacking} missing.", PULL_AGAIN)


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
