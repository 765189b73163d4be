"""A GGUF header as data: metadata, tensors, and what a person wants to know of them.

`gguf` reads it, `pair_check` and others judge it. Knows no file and no bytes.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18), 42: ("Q2_0", 64, 18),
}  # fmt: skip
"""Number of a tensor type: its name, elements in a block, bytes of a block. As in llama.cpp's
ggml/include/ggml.h (`enum ggml_type`) and the block types of ggml/src/ggml-common.h."""
NUMBERS = {name: number for number, (name, _, _) in TYPES.items()}
_BLOCKS = {name: (block, size) for name, block, size in TYPES.values()}


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
    sliding_window: int
    quantization: str
    parameters: int
    context_length: int


def count(value: object) -> int:
    """Elements of an array in the metadata, kept or only counted; 0 for anything else."""
    return len(value) if isinstance(value, list) else value if isinstance(value, Count) else 0


def vocabulary_size(header: Header) -> int:
    """Number of tokens; 0 without a vocabulary."""
    return count(header.metadata.get("tokenizer.ggml.tokens"))


def describe(header: Header) -> Description:
    """Never fails: fields a damaged or foreign header lacks are empty or 0."""

    def number(key: str) -> int:
        value = header.metadata.get(f"{header.architecture}.{key}")
        return value if isinstance(value, int) else 0

    sizes: Counter[str] = Counter()
    for tensor in header.tensors.values():
        if len(tensor.shape) > 1:
            sizes[tensor.type] += tensor.bytes
    name = header.metadata.get("general.name")
    return Description(
        name=name if isinstance(name, str) else header.path.stem,
        architecture=header.architecture,
        layers=number("block_count"),
        width=number("embedding_length"),
        vocabulary=vocabulary_size(header),
        sliding_window=number("attention.sliding_window"),
        quantization=sizes.most_common(1)[0][0] if sizes else "",
        parameters=sum(tensor.elements for tensor in header.tensors.values()),
        context_length=number("context_length"),
    )
