"""Writes tiny synthetic GGUF files for tests: a Gemma-4-shaped target and drafter of two layers."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTH, HEAD, HEAD_SWA, FEED_FORWARD, DRAFTER_WIDTH = 32, 16, 8, 64, 16
TOKENS = ["<pad>", "<eos>", "<bos>", "\n", "a", "b", "ab", "c"]

# ggml type: (elements in a block, bytes of a block)
SIZES = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 20: (32, 18), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8),
    30: (1, 2), 39: (32, 17), 40: (64, 36), 42: (64, 18),
}  # fmt: skip

# GGUF's types of metadata, and what struct calls them
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
FORMATS = {U32: "I", I32: "i", F32: "f", BOOL: "?"}

Metadata = dict[str, Any]
Tensors = dict[str, tuple[tuple[int, ...], int]]


def write(
    path: Path,
    metadata: Mapping[str, Any],
    tensors: Tensors,
    version: int = 3,
    magic: bytes = b"GGUF",
    alignment: int = 32,
    fill: bytes = bytes(4),
) -> Path:
    """A file with `fill` repeated for weights; `tensors` maps names to (shape, ggml type)."""
    out = bytearray(magic + struct.pack("<IQQ", version, len(tensors), len(metadata)))
    for key, value in metadata.items():
        out += _string(key) + _value(value)
    offset = 0
    for name, (shape, kind) in tensors.items():
        out += _string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        offset += _padded(_bytes(shape, kind), alignment)
    out += bytes(_padded(len(out), alignment) - len(out))
    out += (fill * (offset // len(fill) + 1))[:offset]
    path.write_bytes(out)
    return path


def target(layers: int = 2, shared: int = 0, kind: int = 0) -> tuple[Metadata, Tensors]:
    """Sliding and full layers in turn; the last `shared` ones own no cache."""
    metadata = _common("gemma4", WIDTH, layers) | {
        "gemma4.embedding_length_per_layer_input": 0,
        "gemma4.attention.head_count_kv": [2, 1] * (layers // 2),
        "gemma4.attention.shared_kv_layers": shared,
    }
    tensors = _outer(WIDTH, kind)
    for layer in range(layers):
        head, kv_heads = (HEAD, 1) if layer % 2 else (HEAD_SWA, 2)
        tensors |= _layer(layer, WIDTH, head, kind)
        if layer < layers - shared:
            tensors[f"blk.{layer}.attn_k.weight"] = (WIDTH, head * kv_heads), kind
            tensors[f"blk.{layer}.attn_k_norm.weight"] = (head,), 0
    return metadata, tensors


def drafter(layers: int = 2, target_width: int = WIDTH) -> tuple[Metadata, Tensors]:
    """A drafter for `target`: queries only, a sliding and a full layer."""
    metadata = _common("gemma4-assistant", DRAFTER_WIDTH, layers) | {
        "gemma4-assistant.embedding_length_out": target_width,
        "gemma4-assistant.nextn_predict_layers": layers,
        "gemma4-assistant.attention.head_count_kv": [2, 1] * (layers // 2),
    }
    tensors = _outer(DRAFTER_WIDTH, 0)
    tensors["nextn.pre_projection.weight"] = (2 * target_width, DRAFTER_WIDTH), 0
    tensors["nextn.post_projection.weight"] = (DRAFTER_WIDTH, target_width), 0
    for layer in range(layers):
        tensors |= _layer(layer, DRAFTER_WIDTH, HEAD if layer % 2 else HEAD_SWA, 0)
        tensors[f"blk.{layer}.layer_output_scale.weight"] = (1,), 0
    return metadata, tensors


def _common(arch: str, width: int, layers: int) -> Metadata:
    values: Metadata = {
        "context_length": 4096,
        "embedding_length": width,
        "block_count": layers,
        "feed_forward_length": FEED_FORWARD,
        "attention.head_count": 2,
        "attention.key_length": HEAD,
        "attention.value_length": HEAD,
        "attention.key_length_swa": HEAD_SWA,
        "attention.value_length_swa": HEAD_SWA,
        "attention.sliding_window": 512,
        "attention.sliding_window_pattern": [True, False] * (layers // 2),
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.dimension_count": HEAD,
        "rope.dimension_count_swa": HEAD_SWA,
    }
    metadata: Metadata = {"general.architecture": arch, "general.name": f"Tiny {arch}"}
    metadata |= {f"{arch}.{key}": value for key, value in values.items()}
    return metadata | {
        "tokenizer.ggml.model": "gemma4",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.scores": [0.0] * len(TOKENS),
        "tokenizer.ggml.token_type": Typed(I32, [1] * len(TOKENS)),
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": TOKENS.index("<bos>"),
        "tokenizer.ggml.eos_token_id": TOKENS.index("<eos>"),
    }


def _outer(width: int, kind: int) -> Tensors:
    return {
        "token_embd.weight": ((width, len(TOKENS)), kind),
        "output_norm.weight": ((width,), 0),
        "rope_freqs.weight": ((HEAD // 2,), 0),
    }


def _layer(layer: int, width: int, head: int, kind: int) -> Tensors:
    block = f"blk.{layer}"
    norms = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
    tensors: Tensors = {f"{block}.{norm}.weight": ((width,), 0) for norm in norms}
    return tensors | {
        f"{block}.attn_q_norm.weight": ((head,), 0),
        f"{block}.attn_q.weight": ((width, 2 * head), kind),
        f"{block}.attn_output.weight": ((2 * head, width), 0),
        f"{block}.ffn_gate.weight": ((width, FEED_FORWARD), kind),
        f"{block}.ffn_up.weight": ((width, FEED_FORWARD), kind),
        f"{block}.ffn_down.weight": ((FEED_FORWARD, width), kind),
    }


def _bytes(shape: tuple[int, ...], kind: int) -> int:
    block, size = SIZES[kind]
    elements = 1
    for n in shape:
        elements *= n
    return elements // block * size


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


@dataclass(frozen=True)
class Typed:
    """A value, or a list of them, in another type than Python's suggests."""

    kind: int
    value: Any


def _value(value: Any) -> bytes:
    kind = _type(value)
    plain = value.value if isinstance(value, Typed) else value
    if not isinstance(plain, list):
        return struct.pack("<I", kind) + _body(kind, plain)
    if not isinstance(value, Typed):
        kind = _type(plain[0]) if plain else U32
    head = struct.pack("<IIQ", ARRAY, kind, len(plain))
    return head + b"".join(_body(kind, item) for item in plain)


def _type(value: Any) -> int:
    if isinstance(value, Typed):
        return value.kind
    return {bool: BOOL, int: U32, float: F32, str: STRING, list: ARRAY}[type(value)]


def _body(kind: int, value: Any) -> bytes:
    return _string(value) if kind == STRING else struct.pack(f"<{FORMATS[kind]}", value)
