"""A pair of a real model's shape with random weights, to measure with.

What it writes is nonsense, and drafts are right by chance only, but the size of its files and the
time of a step are those of the real model. `bench --shape` measures one before anything is
downloaded, and benchmarks/real_shapes.py keeps one. What a shape means for metadata is written
here; which tensors there are, `tensor_rules` says.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from functools import cache
from itertools import islice, product
from pathlib import Path
from typing import Any, BinaryIO

from gemma_mtp.errors import Cancelled
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.gguf_header import TYPES, Header
from gemma_mtp.models.gguf_parser import parse
from gemma_mtp.models.gguf_writer import (
    INT32,
    Metadata,
    Tensors,
    Typed,
    head,
    padded,
    size_of,
)
from gemma_mtp.models.hyperparameters import hyperparameters
from gemma_mtp.models.shape import DrafterShape, Shape
from gemma_mtp.models.tensor_rules import drafter_tensors, target_tensors

Progress = Callable[[float], bool]
"""Gets the share that is written, 0 to 1, and answers whether to go on."""

Dimensions = tuple[int, ...]

F32 = 0  # number of a type of ggml's
TABLE = "per_layer_token_embd.weight"  # of which a token reads one row
POOL = (1 << 19) - 1  # random blocks, written again and again; a prime, so that no two rows repeat
WINDOWED, WHOLE = 10_000.0, 1_000_000.0  # bases of the rotation in sliding and in full layers
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6  # llama.cpp's kinds of tokens
SPECIAL = {"<pad>": CONTROL, "<eos>": CONTROL, "<bos>": CONTROL, "<unk>": UNKNOWN,
           "<|turn>": CONTROL, "<turn|>": CONTROL, "<|think|>": CONTROL,
           "<|channel>": USER_DEFINED, "<channel|>": USER_DEFINED}  # fmt: skip
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'-\u2581"
LONGEST_TOKEN = 3  # letters; enough for more than 300,000 tokens


def _q4_0(scale: float) -> tuple[bytes, int]:
    return struct.pack("<e", scale / 4.6), 16  # the deviation of -8..7


def _q8_0(scale: float) -> tuple[bytes, int]:
    return struct.pack("<e", scale / 73.9), 32  # that of -128..127


def _q4_k(scale: float) -> tuple[bytes, int]:
    """All eight groups have scale and minimum 8 of 63; the minimum centres 0..15."""
    d = scale / 4.6 / 8
    return struct.pack("<ee", d, 7.5 * d) + bytes([8] * 8 + [0x88] * 4), 128


BLOCKS = {"Q4_0": _q4_0, "Q8_0": _q8_0, "Q4_K": _q4_k}
"""How a block of a type begins for weights with a deviation of `scale`, and how many random bytes
follow."""


class RandomFile:
    """A target or a drafter that is not written yet."""

    def __init__(
        self, metadata: Metadata, shapes: dict[str, Dimensions], quantization: str
    ) -> None:
        self._kind = next(kind for kind, (name, *_) in TYPES.items() if name == quantization)
        self._scaled = BLOCKS[quantization]
        self.tensors: Tensors = {
            name: (dims, self._kind if len(dims) > 1 else F32) for name, dims in shapes.items()
        }
        self.metadata = metadata
        self._head = head(metadata, self.tensors)
        self.size = len(self._head) + sum(padded(size_of(*t)) for t in self.tensors.values())

    @property
    def bytes_on_disk(self) -> int:
        """What the file takes: less than its size, since tables that are never read whole stay
        empty."""
        table = self.tensors.get(TABLE)
        return self.size - (size_of(*table) if table else 0)

    def write(self, path: Path, progress: Progress) -> None:
        """Raises Cancelled when `progress` says so, and OSError."""
        pools: dict[int, memoryview] = {}
        with path.open("wb") as file:
            file.write(self._head)
            for name, (dims, kind) in self.tensors.items():
                size = size_of(dims, kind)
                if name == TABLE:
                    file.seek(size, os.SEEK_CUR)  # no room on the disk, and zeros when read
                elif kind == F32:
                    file.write(_vector(name, dims[0]))
                else:
                    if dims[0] not in pools:
                        pools[dims[0]] = memoryview(self._pool(dims[0] ** -0.5))
                    self._repeat(file, pools[dims[0]], size, progress)
                file.write(bytes(padded(size) - size))

    def _pool(self, scale: float) -> bytearray:
        """Random blocks for weights with a deviation of `scale`."""
        start, rest = self._scaled(scale)
        size = len(start) + rest
        pool = bytearray(random.Random(4).randbytes(POOL * size))
        for place, byte in enumerate(start):
            pool[place::size] = bytes([byte]) * POOL
        return pool

    def _repeat(self, file: BinaryIO, pool: memoryview, size: int, progress: Progress) -> None:
        while size > 0:
            size -= file.write(pool[:size])
            if not progress(file.tell() / self.size):
                raise Cancelled("Stopped.")


def random_pair(
    entry: Entry, quantization: str = "Q4_0", drafted_by: str = "Q4_0"
) -> tuple[RandomFile, RandomFile]:
    """Target and drafter of an entry whose shape is known, every matrix of each in one type."""
    shape, small = entry.shape, entry.drafter_shape
    assert shape is not None
    assert small is not None
    target, drafter = _target(entry, shape), _drafter(entry, shape, small)
    header = _header(target)
    tensors = target_tensors(header, hyperparameters(header), shape.values_are_keys)
    header = _header(drafter)
    return (
        RandomFile(target, tensors, quantization),
        RandomFile(drafter, drafter_tensors(header, hyperparameters(header)), drafted_by),
    )


def _header(metadata: Metadata) -> Header:
    """The metadata as it will be read."""
    data = head(metadata, {})
    return parse(Path("random.gguf"), data, len(data))


def _vector(name: str, size: int) -> bytes:
    """Norms of one; the rotation of full layers leaves three quarters of a head alone."""
    turned = size // 4 if name == "rope_freqs.weight" else size
    return struct.pack("<f", 1.0) * turned + struct.pack("<f", 1e30) * (size - turned)


@cache
def _vocabulary(size: int) -> Metadata:
    """Made-up tokens of up to three letters, with merges that build them."""
    kinds = [*SPECIAL.values(), *[BYTE] * 256]
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "\n", "user", "model"]
    words = ("".join(w) for n in range(1, LONGEST_TOKEN + 1) for w in product(LETTERS, repeat=n))
    made = list(islice(words, size - len(tokens)))
    tokens += made
    assert len(tokens) == size, f"{size} tokens need more letters"
    return {
        "tokenizer.ggml.model": "gemma4",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * size,
        "tokenizer.ggml.token_type": Typed(INT32, kinds + [NORMAL] * (size - len(kinds))),
        "tokenizer.ggml.merges": [f"{w[:i]} {w[i:]}" for w in made for i in range(1, len(w))],
        "tokenizer.ggml.eos_token_id": tokens.index("<eos>"),
        "tokenizer.ggml.bos_token_id": tokens.index("<bos>"),
        "tokenizer.ggml.unknown_token_id": tokens.index("<unk>"),
        "tokenizer.ggml.padding_token_id": tokens.index("<pad>"),
        "tokenizer.ggml.eot_token_id": tokens.index("<turn|>"),
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.ggml.add_bos_token": True,
    }


def _target(entry: Entry, shape: Shape) -> Metadata:
    full = [shape.is_full(layer) for layer in range(shape.layers)]
    wide = [shape.feed_forward] * shape.owners
    wide += [shape.feed_forward_shared or shape.feed_forward] * shape.shared
    own = {
        "block_count": shape.layers,
        "embedding_length": shape.width,
        "embedding_length_per_layer_input": shape.per_layer,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": _kv_heads(shape, full),
        "attention.sliding_window_pattern": [not f for f in full],
        "attention.shared_kv_layers": shape.shared,
        "feed_forward_length": wide,
        "final_logit_softcapping": 30.0,
    }
    if shape.experts:
        own["expert_count"] = shape.experts
        own["expert_used_count"] = shape.experts_used
        own["expert_feed_forward_length"] = shape.expert_feed_forward
    return _metadata("gemma4", entry, shape, own)


def _drafter(entry: Entry, shape: Shape, drafter: DrafterShape) -> Metadata:
    """The last layer attends to everything, the others to the window."""
    full = [layer == drafter.layers - 1 for layer in range(drafter.layers)]
    own = {
        "block_count": drafter.layers,
        "nextn_predict_layers": drafter.layers,
        "embedding_length": drafter.width,
        "embedding_length_out": shape.width,
        "embedding_length_per_layer_input": 0,
        "attention.head_count": drafter.heads,
        "attention.head_count_kv": _kv_heads(shape, full),
        "attention.sliding_window_pattern": [not f for f in full],
        "attention.shared_kv_layers": drafter.layers,
        "feed_forward_length": drafter.feed_forward,
    }
    return _metadata("gemma4-assistant", entry, shape, own)


def _kv_heads(shape: Shape, full: list[bool]) -> list[int]:
    return [shape.kv_heads_full if f else shape.kv_heads_sliding for f in full]


def _metadata(arch: str, entry: Entry, shape: Shape, own: dict[str, Any]) -> Metadata:
    """What target and drafter agree on, and what is `own` to one of them."""
    both = {
        "context_length": entry.context_length,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.key_length": shape.head_full,
        "attention.value_length": shape.head_full,
        "attention.key_length_swa": shape.head_sliding,
        "attention.value_length_swa": shape.head_sliding,
        "attention.sliding_window": shape.window,
        "rope.dimension_count": shape.head_full,
        "rope.dimension_count_swa": shape.head_sliding,
        "rope.freq_base": WHOLE,
        "rope.freq_base_swa": WINDOWED,
    }
    name = {"general.architecture": arch, "general.name": f"{entry.title}, random weights"}
    keys = {f"{arch}.{key}": value for key, value in {**both, **own}.items()}
    return {**name, **keys, **_vocabulary(shape.vocabulary)}
