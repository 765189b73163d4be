"""Writes tiny synthetic GGUF files for tests: a Gemma-4-shaped target and drafter of two layers."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gemma_mtp.models.gguf import read_header
from gemma_mtp.models.gguf_writer import (
    INT32,
    UINT16,
    Metadata,
    Tensors,
    Typed,
    encoded,
    head,
    padded,
    size_of,
    string,
    tensor_info,
)

WIDTH, HEAD, HEAD_SWA, FEED_FORWARD, DRAFTER_WIDTH = 32, 16, 8, 64, 16
TOKENS = ["<pad>", "<eos>", "<bos>", "\n", "a", "b", "ab", "c"]

KINDS = {0: "F32", 1: "F16", 2: "Q4_0", 8: "Q8_0"}
U16, I32 = partial(Typed, UINT16), partial(Typed, INT32)


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
    path.write_bytes(contents(metadata, tensors, version, magic, alignment, fill))
    return path


def contents(
    metadata: Mapping[str, Any],
    tensors: Tensors,
    version: int = 3,
    magic: bytes = b"GGUF",
    alignment: int = 32,
    fill: bytes = bytes(4),
) -> bytes:
    """What `write` writes."""
    size = sum(padded(size_of(*tensor), alignment) for tensor in tensors.values())
    weights = (fill * (size // len(fill) + 1))[:size]
    return head(metadata, tensors, version, magic, alignment) + weights


def part_path(path: Path, number: int, parts: int) -> Path:
    """The name of a part, from 0, as llama-gguf-split gives it."""
    return path.with_name(f"{path.stem}-{number + 1:05d}-of-{parts:05d}.gguf")


def split_keys(number: int, parts: int, tensors: int) -> Metadata:
    """What every part says of itself."""
    return {"split.no": U16(number), "split.tensors.count": I32(tensors), "split.count": U16(parts)}


def write_split(path: Path, metadata: Metadata, tensors: Tensors, parts: int = 3) -> list[Path]:
    """The same model in several files: all metadata in the first, tensors in each."""
    names = list(tensors)
    written = []
    for number in range(parts):
        keys = (metadata if number == 0 else {}) | split_keys(number, parts, len(names))
        part = {name: tensors[name] for name in _share(names, number, parts)}
        written.append(write(part_path(path, number, parts), keys, part))
    return written


def split(source: Path, path: Path, parts: int = 3) -> list[Path]:
    """A real model in several files, with its metadata byte by byte."""
    header, data = read_header(source), source.read_bytes()
    names = list(header.tensors)
    start, count = 24, struct.unpack_from("<Q", data, 16)[0]
    metadata = data[start : data.index(string(names[0]), start)]
    written = []
    for number in range(parts):
        out = _split_start(metadata if number == 0 else b"", count, number, parts, names)
        body = bytearray()
        for name in _share(names, number, parts):
            tensor = header.tensors[name]
            kind = next(kind for kind, known in KINDS.items() if known == tensor.type)
            out += tensor_info(name, tensor.shape, kind, len(body))
            at = header.data_offset + tensor.offset
            body += data[at : at + tensor.bytes]
            body += bytes(padded(len(body)) - len(body))
        out += bytes(padded(len(out)) - len(out)) + body
        written.append(part_path(path, number, parts))
        written[-1].write_bytes(out)
    return written


def _share(names: list[str], number: int, parts: int) -> list[str]:
    return names[len(names) * number // parts : len(names) * (number + 1) // parts]


def _split_start(
    metadata: bytes, count: int, number: int, parts: int, names: list[str]
) -> bytearray:
    """Magic, counts and metadata of a part; `metadata` holds `count` keys, or is empty."""
    own, mine = split_keys(number, parts, len(names)), _share(names, number, parts)
    keys = len(own) + (count if metadata else 0)
    out = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, len(mine), keys)) + metadata
    return out + b"".join(string(key) + encoded(value) for key, value in own.items())


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
        "tokenizer.ggml.token_type": Typed(INT32, [1] * len(TOKENS)),
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
