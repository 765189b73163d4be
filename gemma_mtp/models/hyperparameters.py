"""The numbers that follow from a Gemma 4 header, as llama.cpp derives them.

`pair_check` compares those of a target and a drafter, `tensor_rules` holds tensors against them,
and memory is estimated from `shape_of`. Knows what a header is; reads no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gemma_mtp.models.gguf_header import Header, vocabulary_size
from gemma_mtp.models.header_keys import GENERAL_KEYS, KEYS, MAX_LAYERS, check_keys, refuse
from gemma_mtp.models.shape import Shape

# llama.cpp rotates quantized keys by blocks of this size, in all layers or, as the first layer's
# head decides, in none (`attn_rot_k` of src/llama-kv-cache.cpp); it aborts where a head is no
# multiple of it.
ROTATED_BLOCK = 64
# llama.cpp takes any of these for the pattern; what it does not list is a full layer.
PATTERN_KEY = "attention.sliding_window_pattern"
PATTERN_TYPES = ("[bool]", "[u32]", "[i32]")


@dataclass(frozen=True)
class Hyperparameters:
    """What llama.cpp derives from the metadata; lists have one entry for each layer."""

    layers: int
    width: int
    width_out: int
    per_layer: int
    heads: list[int]
    kv_heads: list[int]
    feed_forward: list[int]
    sliding: list[bool]
    window: int
    head_full: int
    head_swa: int
    experts: int
    experts_used: int
    expert_feed_forward: int
    kv_layers: int
    mtp_layers: int

    def head(self, layer: int) -> int:
        """Width of one head."""
        return self.head_swa if self.sliding[layer] else self.head_full

    def cache_of(self, layer: int) -> int:
        """The layer whose keys and values `layer` reads: its own, or the last of its kind."""
        return layer if layer < self.kv_layers else self.kv_layers - 1 - self.sliding[layer]


def hyperparameters(header: Header) -> Hyperparameters:
    """What this file's metadata amounts to, or `BadPair` for what llama.cpp could not use.

    What is missing gets llama.cpp's own default.
    """
    arch = header.architecture
    check_keys(header, GENERAL_KEYS)
    check_keys(header, KEYS, f"{arch}.")

    def value(key: str, default: int = 0) -> Any:
        return header.metadata.get(f"{arch}.{key}", default)

    layers = value("block_count")

    def listed(key: str, default: int = 0) -> list[int]:
        found = value(key, default)
        return found if isinstance(found, list) else [found] * layers

    heads = listed("attention.head_count")
    head_full, head_swa = _head_sizes(header, value("embedding_length") // heads[0])
    hyper = Hyperparameters(
        layers=layers,
        width=value("embedding_length"),
        width_out=value("embedding_length_out") or value("embedding_length"),
        per_layer=value("embedding_length_per_layer_input"),
        heads=heads,
        kv_heads=listed("attention.head_count_kv") if value("attention.head_count_kv") else heads,
        feed_forward=listed("feed_forward_length"),
        sliding=_sliding(header, layers),
        window=value("attention.sliding_window"),
        head_full=head_full,
        head_swa=head_swa,
        experts=value("expert_count"),
        experts_used=_same(header, "expert_used_count", listed("expert_used_count")),
        expert_feed_forward=_same(
            header, "expert_feed_forward_length", listed("expert_feed_forward_length")
        ),
        kv_layers=layers - value("attention.shared_kv_layers"),
        mtp_layers=value("nextn_predict_layers"),
    )
    _check_consistency(header, hyper)
    return hyper


def _check_consistency(header: Header, hyper: Hyperparameters) -> None:
    """Raise `BadPair` for numbers that llama.cpp cannot use together."""
    full, swa = hyper.head_full, hyper.head_swa
    if any(h % kv for h, kv in zip(hyper.heads, hyper.kv_heads, strict=True)):
        raise refuse(header, "has head counts that are no multiple of its KV heads.")
    if not hyper.head(0) % ROTATED_BLOCK and (full % ROTATED_BLOCK or swa % ROTATED_BLOCK):
        problem = f"has heads of {full} and {swa}, which no quantized cache can hold."
        raise refuse(header, problem)
    if (hyper.experts > 0) != (hyper.experts_used > 0) or hyper.experts_used > hyper.experts:
        raise refuse(header, "has expert counts that llama.cpp cannot use.")


def shape_of(header: Header) -> Shape:
    """The shape of a target file; raises BadPair unless it passes `pair_check.check_target`."""
    hyper = hyperparameters(header)
    first_full, first_sliding = hyper.sliding.index(False), hyper.sliding.index(True)
    return Shape(
        layers=hyper.layers,
        pattern="".join("S" if s else "F" for s in hyper.sliding),
        width=hyper.width,
        heads=max(hyper.heads),
        kv_heads_sliding=hyper.kv_heads[first_sliding],
        kv_heads_full=hyper.kv_heads[first_full],
        feed_forward=hyper.feed_forward[0],
        window=hyper.window,
        vocabulary=vocabulary_size(header),
        shared=hyper.layers - hyper.kv_layers,
        feed_forward_shared=hyper.feed_forward[-1],
        per_layer=hyper.per_layer,
        experts=hyper.experts,
        experts_used=hyper.experts_used,
        expert_feed_forward=hyper.expert_feed_forward,
        values_are_keys=f"blk.{first_full}.attn_v.weight" not in header.tensors,
        head_sliding=hyper.head_swa,
        head_full=hyper.head_full,
    )


def _same(header: Header, key: str, values: list[int]) -> int:
    """llama.cpp takes the first layer's value for all of them."""
    if len(set(values)) > 1:
        raise refuse(header, f"has values of {key} that differ between layers.")
    return values[0]


def _head_sizes(header: Header, default: int) -> tuple[int, int]:
    """Keys and values must be equally wide, and rotate at most what they have."""

    def size(key: str, default: int) -> int:
        return int(header.metadata.get(f"{header.architecture}.{key}", default))

    full, swa = size("attention.key_length", default), size("attention.key_length_swa", 0)
    values = size("attention.value_length", default), size("attention.value_length_swa", 0)
    if values != (full, swa) or not full:
        raise refuse(header, "has keys and values of different sizes.")
    rotated = size("rope.dimension_count", full)
    rotated_swa = size("rope.dimension_count_swa", rotated)
    if rotated > full or rotated_swa > swa or rotated % 2 or rotated_swa % 2:
        raise refuse(header, "has a rotary size that does not fit its heads.")
    return full, swa


def _sliding(header: Header, layers: int) -> list[bool]:
    """Which layers use sliding attention; those not listed use full attention."""
    name = f"{header.architecture}.{PATTERN_KEY}"
    pattern = header.metadata.get(name)
    good = isinstance(pattern, list) and header.types[name] in PATTERN_TYPES
    if not isinstance(pattern, list) or not good or len(pattern) > MAX_LAYERS:
        raise refuse(header, f"has no usable {PATTERN_KEY}.")
    sliding = [bool(value) for value in pattern[:layers]]
    return sliding + [False] * (layers - len(sliding))
