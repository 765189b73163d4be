"""Fresh weights for the tiny target and drafter, under the tensor names of the GGUF file.

A model is a plain dictionary of weights, so exporting is a loop and training can hand in rounded
copies. Matrices are stored as llama.cpp stores them, one row per output.
"""

from __future__ import annotations

import math

import torch
from shapes import DrafterShape, TargetShape

Weights = dict[str, torch.Tensor]


def is_matrix(name: str) -> bool:
    """Tell whether a weight is a matrix of the layers (neither table nor vector)."""
    vectors = ("norm.weight", "output_scale.weight", "rope_freqs.weight")
    return not name.endswith(vectors) and "token_embd" not in name


def _matrix(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(rows, columns, generator=generator) / math.sqrt(columns)


def rope_factors(shape: TargetShape) -> torch.Tensor:
    """Divisors of the rotary frequencies in full layers: 1 rotates a pair, 1e30 leaves it alone."""
    pairs = shape.head_full // 2
    factors = torch.full((pairs,), 1e30)
    factors[: int(pairs * shape.rope_share)] = 1.0
    return factors


def _block(
    weights: Weights,
    layer: int,
    dim: int,
    head: int,
    heads: int,
    ff: int,
    generator: torch.Generator,
) -> None:
    """Add what target and drafter layers have in common."""
    prefix = f"blk.{layer}."
    for name in ("attn_norm", "ffn_norm"):
        weights[f"{prefix}{name}.weight"] = torch.ones(dim)
    for name in ("post_attention_norm", "post_ffw_norm"):
        weights[f"{prefix}{name}.weight"] = torch.full((dim,), 0.5)
    # Attention scores are not scaled down, so the norms of queries and keys start small.
    weights[f"{prefix}attn_q_norm.weight"] = torch.full((head,), head**-0.25)
    weights[f"{prefix}layer_output_scale.weight"] = torch.ones(1)
    weights[f"{prefix}attn_q.weight"] = _matrix(head * heads, dim, generator)
    weights[f"{prefix}attn_output.weight"] = _matrix(dim, head * heads, generator)
    weights[f"{prefix}ffn_gate.weight"] = _matrix(ff, dim, generator)
    weights[f"{prefix}ffn_up.weight"] = _matrix(ff, dim, generator)
    weights[f"{prefix}ffn_down.weight"] = _matrix(dim, ff, generator)


def new_target(shape: TargetShape, seed: int) -> Weights:
    """Return fresh weights for the target."""
    generator = torch.Generator().manual_seed(seed)
    dim, wide = shape.dim, shape.per_layer * shape.layers
    weights: Weights = {
        "token_embd.weight": _matrix(shape.vocab, dim, generator),
        "per_layer_token_embd.weight": torch.randn(shape.vocab, wide, generator=generator)
        / math.sqrt(shape.per_layer),
        "per_layer_model_proj.weight": _matrix(wide, dim, generator),
        "per_layer_proj_norm.weight": torch.ones(shape.per_layer),
        "output_norm.weight": torch.ones(dim),
        "rope_freqs.weight": rope_factors(shape),
    }
    for layer in range(shape.layers):
        head, prefix = shape.head(layer), f"blk.{layer}."
        _block(weights, layer, dim, head, shape.heads, shape.feed_forward(layer), generator)
        if layer < shape.owners:
            weights[f"{prefix}attn_k_norm.weight"] = torch.full((head,), head**-0.25)
            weights[f"{prefix}attn_k.weight"] = _matrix(head, dim, generator)
            weights[f"{prefix}attn_v.weight"] = _matrix(head, dim, generator)
        weights[f"{prefix}inp_gate.weight"] = _matrix(shape.per_layer, dim, generator)
        weights[f"{prefix}proj.weight"] = _matrix(dim, shape.per_layer, generator)
        weights[f"{prefix}post_norm.weight"] = torch.full((dim,), 0.25)
    return weights


def new_drafter(shape: DrafterShape, target: TargetShape, seed: int) -> Weights:
    """Return fresh weights for the drafter of a target."""
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {
        "token_embd.weight": _matrix(target.vocab, shape.dim, generator),
        "nextn.pre_projection.weight": _matrix(shape.dim, 2 * target.dim, generator),
        "nextn.post_projection.weight": _matrix(target.dim, shape.dim, generator),
        "output_norm.weight": torch.ones(shape.dim),
        "rope_freqs.weight": rope_factors(target),
    }
    for layer, kind in enumerate(shape.pattern):
        head = target.head_full if kind == "F" else target.head_sliding
        _block(weights, layer, shape.dim, head, shape.heads, shape.ff, generator)
    return weights
