"""The tiny target and drafter in PyTorch, computing what llama.cpp computes for Gemma 4.

The functions take the weights as a dictionary (see weights.py) and know nothing of training. All
attention layers have one key/value head, so the heads of a query are simply more rows of one
matrix product.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from shapes import DrafterShape, TargetShape
from torch.nn import functional
from weights import Weights


class KeysValues(NamedTuple):
    """Keys (normed, rotated) and values (normed) of one layer: batch, position, head size."""

    keys: torch.Tensor
    values: torch.Tensor


class Memory(NamedTuple):
    """The two caches that the target's last layers and the drafter read."""

    sliding: KeysValues
    full: KeysValues


# ---- pieces --------------------------------------------------------------------------------


def rms_norm(x: torch.Tensor, weight: torch.Tensor | None, eps: float) -> torch.Tensor:
    """Root-mean-square norm in float32, with a gain or none."""
    x = x.float()
    x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return x if weight is None else x * weight


def linear(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Matrix product in the precision of the weight."""
    return functional.linear(x.to(weight.dtype), weight)


def gelu(x: torch.Tensor) -> torch.Tensor:
    """The tanh form of GELU, written with a sigmoid because that compiles to faster code."""
    return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


def soft_cap(logits: torch.Tensor, cap: float) -> torch.Tensor:
    """Squash logits into -cap..cap, as cap * tanh(logits / cap)."""
    return cap * (2 * torch.sigmoid(logits * (2 / cap)) - 1)


def rope_table(
    positions: torch.Tensor, size: int, base: float, factors: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines for heads of `size` at `positions`; the last axis is size / 2."""
    angles = base ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    if factors is not None:
        angles = angles / factors
    turns = positions.float().unsqueeze(-1) * angles
    return turns.cos(), turns.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn the pairs (i, i + size / 2) of the last axis."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def attend(queries: torch.Tensor, cache: KeysValues, bias: torch.Tensor) -> torch.Tensor:
    """Attention of (batch, rows, heads, size) queries; `bias` is (batch, rows, keys)."""
    batch, rows, heads, size = queries.shape
    scores = queries.reshape(batch, rows * heads, size) @ cache.keys.transpose(1, 2)
    scores = scores.view(batch, rows, heads, -1).float() + bias.unsqueeze(2)
    shares = torch.softmax(scores, dim=-1).to(cache.values.dtype)
    mixed = shares.view(batch, rows * heads, -1) @ cache.values
    return mixed.view(batch, rows, heads * size)


def feed_forward(x: torch.Tensor, weights: Weights, prefix: str) -> torch.Tensor:
    """The gated feed-forward block."""
    gate = linear(x, weights[f"{prefix}ffn_gate.weight"]).float()
    up = linear(x, weights[f"{prefix}ffn_up.weight"]).float()
    return linear(gelu(gate) * up, weights[f"{prefix}ffn_down.weight"])


def masks(
    positions: torch.Tensor, documents: torch.Tensor, window: int, strict: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Additive masks (sliding, full) of shape batch, query, key.

    Keys are seen within one document, not after the query and, in sliding layers, less than
    `window` back. A `strict` query does not see its own position: so a drafter looks at the
    cache, where the token it starts from is still missing. A row without any key (the first of
    a document) would be undefined and sees itself instead; such rows carry no loss.
    """
    distance = positions.unsqueeze(2) - positions.unsqueeze(1)
    same = documents.unsqueeze(2) == documents.unsqueeze(1)
    full = same & (distance >= (1 if strict else 0))
    sliding = full & (distance < window)
    result = []
    for seen in (sliding, full):
        if strict:
            itself = torch.eye(seen.shape[1], dtype=torch.bool)
            seen = seen | (itself & ~seen.any(-1, keepdim=True))
        result.append(torch.zeros(seen.shape).masked_fill(~seen, -1e9))
    return result[0], result[1]


# ---- target --------------------------------------------------------------------------------


def target_layer(
    x: torch.Tensor,
    extra: torch.Tensor,
    weights: Weights,
    cache: KeysValues | None,
    cos: torch.Tensor,
    sin: torch.Tensor,
    bias: torch.Tensor,
    heads: int,
    eps: float,
) -> tuple[torch.Tensor, KeysValues]:
    """One layer of the target; with a `cache` it reads that one instead of owning keys.

    `weights` are the layer's own, without their ``blk.N.`` prefix, so that all layers of one
    kind share one compiled function.
    """
    batch, rows, _ = x.shape
    size = 2 * cos.shape[-1]
    normed = rms_norm(x, weights["attn_norm.weight"], eps)
    queries = linear(normed, weights["attn_q.weight"]).view(batch, rows, heads, size)
    queries = rms_norm(queries, weights["attn_q_norm.weight"], eps)
    queries = rotate(queries, cos.unsqueeze(-2), sin.unsqueeze(-2))
    if cache is None:
        keys = linear(normed, weights["attn_k.weight"])
        keys = rms_norm(keys, weights["attn_k_norm.weight"], eps)
        values = rms_norm(linear(normed, weights["attn_v.weight"]), None, eps)
        dtype = weights["attn_k.weight"].dtype
        cache = KeysValues(rotate(keys, cos, sin).to(dtype), values.to(dtype))
    mixed = linear(attend(queries.to(cache.keys.dtype), cache, bias), weights["attn_output.weight"])
    x = x + rms_norm(mixed, weights["post_attention_norm.weight"], eps)
    inner = feed_forward(rms_norm(x, weights["ffn_norm.weight"], eps), weights, "")
    x = x + rms_norm(inner, weights["post_ffw_norm.weight"], eps)
    gate = gelu(linear(x, weights["inp_gate.weight"]).float()) * extra
    x = x + rms_norm(linear(gate, weights["proj.weight"]), weights["post_norm.weight"], eps)
    return x * weights["layer_output_scale.weight"], cache


def layer_weights(weights: Weights, layer: int) -> Weights:
    """The weights of one layer, without their prefix."""
    prefix = f"blk.{layer}."
    return {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}


def target_inputs(
    weights: Weights, tokens: torch.Tensor, shape: TargetShape
) -> tuple[torch.Tensor, torch.Tensor]:
    """The scaled embeddings and the per-layer inputs (batch, position, layer, width)."""
    x = functional.embedding(tokens, weights["token_embd.weight"]).float() * math.sqrt(shape.dim)
    split = (*tokens.shape, shape.layers, shape.per_layer)
    projected = linear(x, weights["per_layer_model_proj.weight"]).float().view(split)
    projected = rms_norm(
        projected / math.sqrt(shape.dim), weights["per_layer_proj_norm.weight"], shape.eps
    )
    looked_up = functional.embedding(tokens, weights["per_layer_token_embd.weight"]).float()
    extra = projected + looked_up.view(split) * math.sqrt(shape.per_layer)
    return x, extra / math.sqrt(2)


def target_hidden(
    weights: Weights,
    tokens: torch.Tensor,
    positions: torch.Tensor,
    documents: torch.Tensor,
    shape: TargetShape,
    layer_function=target_layer,
) -> tuple[torch.Tensor, Memory]:
    """Hidden states after the last norm, and the caches that a drafter reads."""
    sliding_bias, full_bias = masks(positions, documents, shape.window)
    tables = {
        "S": rope_table(positions, shape.head_sliding, shape.rope_base_sliding, None),
        "F": rope_table(
            positions, shape.head_full, shape.rope_base_full, weights["rope_freqs.weight"]
        ),
    }
    x, extra = target_inputs(weights, tokens, shape)
    caches: dict[str, KeysValues] = {}
    for layer, kind in enumerate(shape.pattern):
        cos, sin = tables[kind]
        bias = full_bias if kind == "F" else sliding_bias
        cache = None if layer < shape.owners else caches[kind]
        x, cache = layer_function(
            x,
            extra[:, :, layer],
            layer_weights(weights, layer),
            cache,
            cos,
            sin,
            bias,
            shape.heads,
            shape.eps,
        )
        caches[kind] = cache
    hidden = rms_norm(x, weights["output_norm.weight"], shape.eps)
    return hidden, Memory(sliding=caches["S"], full=caches["F"])


# ---- drafter -------------------------------------------------------------------------------


def drafter_step(
    weights: Weights,
    embedded: torch.Tensor,
    hidden: torch.Tensor,
    memory: Memory,
    tables: dict[str, tuple[torch.Tensor, torch.Tensor]],
    biases: dict[str, torch.Tensor],
    shape: DrafterShape,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One draft step: logits of the next token, and the hidden state for the step after it.

    `embedded` is the target's scaled embedding of the token to go on from, `hidden` the target's
    state one position earlier or, after the first step, the state this function returned.
    """
    x = linear(
        torch.cat([embedded, hidden.to(embedded.dtype)], dim=-1),
        weights["nextn.pre_projection.weight"],
    ).float()
    batch, rows, _ = x.shape
    for layer, kind in enumerate(shape.pattern):
        own, (cos, sin) = layer_weights(weights, layer), tables[kind]
        cache = memory.full if kind == "F" else memory.sliding
        normed = rms_norm(x, own["attn_norm.weight"], eps)
        queries = linear(normed, own["attn_q.weight"]).view(batch, rows, shape.heads, -1)
        queries = rms_norm(queries, own["attn_q_norm.weight"], eps)
        queries = rotate(queries, cos.unsqueeze(-2), sin.unsqueeze(-2)).to(cache.keys.dtype)
        mixed = linear(attend(queries, cache, biases[kind]), own["attn_output.weight"])
        x = x + rms_norm(mixed, own["post_attention_norm.weight"], eps)
        inner = feed_forward(rms_norm(x, own["ffn_norm.weight"], eps), own, "")
        x = x + rms_norm(inner, own["post_ffw_norm.weight"], eps)
        x = x * own["layer_output_scale.weight"]
    x = rms_norm(x, weights["output_norm.weight"], eps)
    logits = linear(x, weights["token_embd.weight"]).float()
    return logits, linear(x, weights["nextn.post_projection.weight"]).float()
