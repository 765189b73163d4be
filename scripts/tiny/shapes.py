"""Shapes of the tiny target and its drafter.

A layer pattern is a string with one letter per layer: ``S`` for sliding-window attention and
``F`` for full attention. Two letters are fixed by how llama.cpp pairs the two models: the last
layer that owns keys and values is full and the one before it sliding (the shared layers and the
drafter read exactly these two), and the same holds for the last two layers of the target.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TargetShape:
    """Sizes of the target, an E2B in miniature."""

    vocab: int = 2048
    dim: int = 448
    pattern: str = "SSSSFSF"
    shared: int = 2  # the last layers, which read the keys and values of earlier ones
    heads: int = 2
    head_sliding: int = 64
    head_full: int = 128
    window: int = 128
    ff: int = 1152
    ff_shared: int = 1536
    per_layer: int = 32  # width of one layer's slice of the per-layer embeddings
    softcap: float = 30.0
    rope_base_full: float = 1e6
    rope_base_sliding: float = 1e4
    rope_share: float = 0.25  # share of a full layer's head that is rotated
    eps: float = 1e-6
    context: int = 8192

    def __post_init__(self) -> None:
        owned = self.pattern[: self.owners]
        if not (owned.endswith("SF") and self.pattern.endswith("SF")):
            raise ValueError(f"pattern {self.pattern} must end with SF, with and without sharing")

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.pattern)

    @property
    def owners(self) -> int:
        """Number of layers that compute keys and values of their own."""
        return self.layers - self.shared

    def head(self, layer: int) -> int:
        """Size of one attention head in `layer`."""
        return self.head_full if self.pattern[layer] == "F" else self.head_sliding

    def feed_forward(self, layer: int) -> int:
        """Inner width of the feed-forward block: layers without own keys get a wider one."""
        return self.ff if layer < self.owners else self.ff_shared


@dataclass(frozen=True)
class DrafterShape:
    """Sizes of the drafter, which has queries only."""

    dim: int = 96
    pattern: str = "SSF"
    heads: int = 2
    ff: int = 384

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.pattern)


TARGET = TargetShape()
DRAFTER = DrafterShape()
