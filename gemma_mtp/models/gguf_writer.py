"""Writes what stands before the weights in a GGUF file: metadata, and names and shapes of tensors.

`random_pair` and `converted_drafter` call it, and so do tests, whose files are damaged on purpose:
nothing is checked. The layout is that of llama.cpp's ggml/src/gguf.cpp.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemma_mtp.models.gguf_header import TYPES

# GGUF's types of metadata, and what struct calls them
UINT16, UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 2, 4, 5, 6, 7, 8, 9
FORMATS = {UINT16: "H", UINT32: "I", INT32: "i", FLOAT32: "f", BOOL: "?"}
ALIGNMENT = 32  # bytes; where a file says nothing else

SIZES = {kind: (block, size) for kind, (_, block, size) in TYPES.items()}
"""Number of a tensor type: elements in a block, bytes of a block."""

Metadata = dict[str, Any]
Tensors = dict[str, tuple[tuple[int, ...], int]]
"""Name: shape, the fastest dimension first, and number of the type."""


@dataclass(frozen=True)
class Typed:
    """A value, or a list of them, in another type than Python's suggests."""

    kind: int
    value: Any


@dataclass(frozen=True)
class Raw:
    """A value as the bytes that it has in another file, its type in front of it."""

    value: bytes


def head(
    metadata: Mapping[str, Any],
    tensors: Tensors,
    version: int = 3,
    magic: bytes = b"GGUF",
    alignment: int = ALIGNMENT,
) -> bytes:
    """All of a file up to its weights, which follow in the order of `tensors`, each padded."""
    out = bytearray(magic + struct.pack("<IQQ", version, len(tensors), len(metadata)))
    for key, value in metadata.items():
        out += string(key) + encoded(value)
    offset = 0
    for name, (shape, kind) in tensors.items():
        out += tensor_info(name, shape, kind, offset)
        offset += padded(size_of(shape, kind), alignment)
    return bytes(out) + bytes(padded(len(out), alignment) - len(out))


def tensor_info(name: str, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    """What is said of a tensor whose weights begin at `offset` behind the head."""
    numbers = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
    return string(name) + numbers


def size_of(shape: tuple[int, ...], kind: int) -> int:
    """Bytes of a tensor, without padding."""
    block, size = SIZES[kind]
    return math.prod(shape) // block * size


def padded(size: int, alignment: int = ALIGNMENT) -> int:
    """`size` rounded up to what tensors are aligned to."""
    return -(-size // alignment) * alignment


def string(text: str) -> bytes:
    """A text with its length."""
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def encoded(value: Any) -> bytes:
    """A value of the metadata with its type."""
    if isinstance(value, Raw):
        return value.value
    kind, plain = _type(value), value.value if isinstance(value, Typed) else value
    if not isinstance(plain, list):
        return struct.pack("<I", kind) + _body(kind, [plain])
    if not isinstance(value, Typed):
        kind = _type(plain[0]) if plain else UINT32
    return struct.pack("<IIQ", ARRAY, kind, len(plain)) + _body(kind, plain)


def _type(value: Any) -> int:
    if isinstance(value, Typed):
        return value.kind
    return {bool: BOOL, int: UINT32, float: FLOAT32, str: STRING, list: ARRAY}[type(value)]


def _body(kind: int, values: list[Any]) -> bytes:
    if kind == STRING:
        return b"".join(map(string, values))
    return struct.pack(f"<{len(values)}{FORMATS[kind]}", *values)
