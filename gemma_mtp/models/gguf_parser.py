"""The binary layout of GGUF headers, read so that no damage does harm.

`gguf` calls it with the bytes of a file. Never reads tensor data, and skips the vocabulary without
keeping it. The layout is that of llama.cpp's ggml/src/gguf.cpp.
"""

from __future__ import annotations

import math
import mmap
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

from gemma_mtp.errors import BadPair
from gemma_mtp.models.gguf_header import TYPES, Count, Header, TensorInfo, count

KEPT_ELEMENTS = 1024  # longer arrays are reduced to their count; no model has as many layers
MAX_HEADER = 64 << 20  # bytes; a 262k vocabulary with its merges takes about 20 MiB
MAX_ENTRIES = 1 << 16  # metadata keys, and tensors; real files have a few hundred
MAX_TOKENS = 1 << 21
MAX_TENSOR_NAME = 63  # bytes; GGML_MAX_NAME of ggml.h without the null byte at its end
MIN_ALIGNMENT = 32  # bytes; what llama.cpp's kernels count on, and assumed where a file is silent
MAX_ALIGNMENT = 1 << 20  # bytes

PULL_AGAIN = "The file is damaged or incomplete: pull it again."

_STRING, _ARRAY = 8, 9
_VALUES = {
    0: ("u8", "B"), 1: ("i8", "b"), 2: ("u16", "H"), 3: ("i16", "h"), 4: ("u32", "I"),
    5: ("i32", "i"), 6: ("f32", "f"), 7: ("bool", "?"), _STRING: ("str", ""), 10: ("u64", "Q"),
    11: ("i64", "q"), 12: ("f64", "d"),
}  # fmt: skip
"""Number of a metadata type: its name here, and its format for `struct`."""
# llama.cpp ends the process where a part says this in another type.
_SPLIT_KEYS = {"split.no": 2, "split.count": 2, "split.tensors.count": 5}


class Cut(BadPair):
    """The bytes at hand end within the header, and the file goes on."""


class Cursor:
    """Walks the bytes of a header; every step is checked against their end.

    `whole`: these are all bytes of the file, so that what lies beyond them is missing.
    """

    def __init__(self, data: mmap.mmap | bytes, name: str, whole: bool) -> None:
        self.data, self.end, self.name, self.whole = data, len(data), name, whole
        self.pos = 4  # after the magic

    def cut(self) -> BadPair:
        if self.whole:
            return BadPair(f"{self.name} ends in the middle of its header.", PULL_AGAIN)
        return Cut(str(self.damaged(f"its header exceeds {MAX_HEADER >> 20} MiB")), PULL_AGAIN)

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


def parse(path: Path, data: mmap.mmap | bytes, size: int) -> Header:
    """The header in `data`, the first bytes of a file of `size` bytes that begins with the magic.

    Raises BadPair for what is damaged, of another version, or of a type that cannot be read, and
    Cut where the header is longer than `data`.
    """
    cursor = Cursor(data, path.name, whole=len(data) == size)
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
    repeated = len(tokens) < count(metadata.get("tokenizer.ggml.tokens"))
    offset = _padded(cursor.pos, alignment)
    header = Header(path, version, metadata, types, tensors, offset, size, repeated, (path,))
    _check_data(header, alignment)
    return header


def first_values(start: bytes, name: str) -> dict[str, Any]:
    """The metadata in the first bytes of a file, as far as these reach; converters write the
    vocabulary, which is large, last. Raises BadPair for what is no GGUF."""
    cursor = Cursor(start, name, whole=True)
    if start[:4] != b"GGUF":
        raise BadPair(f"{name} is not a GGUF file.")
    found: dict[str, Any] = {}
    with suppress(BadPair):  # the bytes end somewhere
        cursor.take(4)  # version
        _, n_keys = cursor.numbers("Q", 2)
        for _ in range(min(n_keys, MAX_ENTRIES)):
            key, kind = cursor.string(), cursor.number("I")
            if kind != _ARRAY and kind not in _VALUES:
                raise cursor.damaged(f"metadata key {key[:60]!r} has unknown type {kind}")
            found[key] = _array(cursor, None)[1] if kind == _ARRAY else _value(cursor, kind)
    return found


def raw_values(data: mmap.mmap | bytes, name: str) -> dict[str, bytes]:
    """The bytes of each value of the metadata, its type in front of it, in a file that `parse` has
    found to be sound."""
    cursor = Cursor(data, name, whole=True)
    cursor.take(4)  # version
    _, n_keys = cursor.numbers("Q", 2)
    found: dict[str, bytes] = {}
    for _ in range(n_keys):
        key, start = cursor.string(), cursor.pos
        kind = cursor.number("I")
        if kind == _ARRAY:
            _array(cursor, None)
        else:
            _value(cursor, kind)
        found[key] = data[start : cursor.pos]
    return found


def starts_with_architecture(start: bytes, name: str) -> str | None:
    """The architecture of a file by its first bytes, where it is the first key, as usual.

    None where it is not. Raises BadPair where the bytes end too soon.
    """
    cursor = Cursor(start, name, whole=True)
    cursor.take(20)  # version, numbers of tensors and keys
    first = start[:4] == b"GGUF" and cursor.string() == "general.architecture"
    return cursor.string() if first and cursor.number("I") == _STRING else None


def _metadata(
    cursor: Cursor, count: int, tokens: set[bytes]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Values and names of their types; the vocabulary is collected in `tokens`."""
    metadata: dict[str, Any] = {}
    types: dict[str, str] = {}
    for _ in range(count):
        key = cursor.string()
        if not key or key in metadata:
            raise cursor.damaged(f"metadata key {key[:60]!r} is empty or appears twice")
        kind = cursor.number("I")
        if _SPLIT_KEYS.get(key, kind) != kind:
            raise cursor.damaged(f"metadata key {key!r} has type {kind}")
        if kind == _ARRAY:
            seen = tokens if key == "tokenizer.ggml.tokens" else None
            types[key], metadata[key] = _array(cursor, seen)
        elif kind in _VALUES:
            types[key], metadata[key] = _VALUES[kind][0], _value(cursor, kind)
        else:
            raise cursor.damaged(f"metadata key {key[:60]!r} has unknown type {kind}")
    return metadata, types


def _value(cursor: Cursor, kind: int) -> Any:
    code = _VALUES[kind][1]
    return cursor.number(code) if code else cursor.string()


def _array(cursor: Cursor, seen: set[bytes] | None) -> tuple[str, list[Any] | Count]:
    """The name of its type, and the elements or how many there are."""
    kind, count = cursor.number("I"), cursor.number("Q")
    if kind not in _VALUES:
        raise cursor.damaged(f"an array of unknown type {kind}")
    name, code = f"[{_VALUES[kind][0]}]", _VALUES[kind][1]
    if code and count > KEPT_ELEMENTS:
        cursor.take(count * struct.calcsize(f"<{code}"))
        return name, Count(count)
    if code:
        return name, list(cursor.numbers(code, count))
    if seen is not None and count > MAX_TOKENS:
        raise cursor.damaged(f"a vocabulary of {count} tokens")
    start = cursor.pos
    cursor.skip_strings(count, seen)
    if count > KEPT_ELEMENTS:
        return name, Count(count)
    cursor.pos = start
    return name, [cursor.string() for _ in range(count)]


def _tensors(cursor: Cursor, count: int) -> dict[str, TensorInfo]:
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
        if kind not in TYPES:
            raise BadPair(
                f"{cursor.name} stores tensor {name!r} in type {kind}, which cannot be read.",
                "Get the model in another quantization.",
            )
        type_name, block, _ = TYPES[kind]
        if math.prod(shape) >= 1 << 60 or shape[0] % block:
            raise cursor.damaged(f"tensor {name!r} has an impossible shape")
        tensors[name] = TensorInfo(shape, type_name, offset)
    return tensors


def _check_data(header: Header, alignment: int) -> None:
    """Tensors must follow each other without gaps and end inside the file."""
    name = header.path.name
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
