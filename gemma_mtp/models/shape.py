"""The architecture of a model in a dozen numbers, and what follows from them.

`memory` and `fit` compute with it. `models.toml` holds the numbers for each size, so that memory
can be judged before anything is downloaded. Pure arithmetic: knows neither files nor machines.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from gemma_mtp.settings import KV_TYPES

HEAD_SLIDING, HEAD_FULL = 256, 512  # the same in every size


@dataclass(frozen=True)
class Shape:
    """A Gemma 4 target. `pattern` is repeated over the layers: F attends to everything, S to a
    sliding window. The last `shared` layers read the keys and values of earlier ones; `per_layer`
    is the width of a layer's slice of the per-layer embeddings (0: none); `experts` 0 means dense.
    """

    layers: int
    pattern: str
    width: int
    heads: int
    kv_heads_sliding: int
    kv_heads_full: int
    feed_forward: int
    window: int
    vocabulary: int
    shared: int = 0
    feed_forward_shared: int = 0
    per_layer: int = 0
    experts: int = 0
    experts_used: int = 0
    expert_feed_forward: int = 0
    values_are_keys: bool = False  # full layers keep no matrix for their values
    head_sliding: int = HEAD_SLIDING
    head_full: int = HEAD_FULL

    def is_full(self, layer: int) -> bool:
        """Whether `layer` (from 0) attends to the whole context."""
        return self.pattern[layer % len(self.pattern)] == "F"

    @property
    def owners(self) -> int:
        """Layers that own keys and values."""
        return self.layers - self.shared

    @property
    def growing_layers(self) -> int:
        """Layers whose cache grows with the context."""
        return sum(map(self.is_full, range(self.owners)))

    def kv_bytes_per_cell(self, kind: str = "f16") -> float:
        """What the sliding layers keep in one of their cells."""
        sliding = self.owners - self.growing_layers
        return 2 * sliding * self.kv_heads_sliding * self.head_sliding * KV_TYPES[kind].bytes

    def kv_bytes(
        self, context: int, piece: int, kind: str = "f16", transposed: bool = False
    ) -> int:
        """The whole cache; see `layer_kv_bytes`."""
        sizes = (
            self.layer_kv_bytes(layer, context, piece, kind, transposed)
            for layer in range(self.layers)
        )
        return ceil(sum(sizes))

    def layer_kv_bytes(
        self, layer: int, context: int, piece: int, kind: str = "f16", transposed: bool = False
    ) -> float:
        """What one layer keeps, in cells as llama.cpp rounds them; `piece` tokens are read at once.

        Transposed values, of which llama.cpp knows in advance how wide the widest are, all get that
        width.
        """
        if layer >= self.owners:
            return 0.0
        cells = padded(context)
        full = self.kv_heads_full * self.head_full
        sliding = self.kv_heads_sliding * self.head_sliding
        keys = full if self.is_full(layer) else sliding
        if not self.is_full(layer):
            cells = padded(min(cells, self.window + piece))
        values = max(full, sliding) if transposed else keys
        return cells * (keys + values) * KV_TYPES[kind].bytes

    @property
    def tables(self) -> int:
        """Weights of which a token reads one row only: the per-layer embeddings."""
        return self.vocabulary * self.per_layer * self.layers

    @property
    def parameters(self) -> int:
        """All weights but norms; input and output share one table."""
        layers = sum(map(self.layer_parameters, range(self.layers)))
        experts = self.layers * self.expert_parameters
        return self.vocabulary * self.width + self.tables + layers + experts

    @property
    def active_parameters(self) -> int:
        """Weights read for every token."""
        idle = self.layers * (self.experts - self.experts_used) * self._expert
        return self.parameters - self.tables - idle

    @property
    def expert_parameters(self) -> int:
        """Weights of the experts of one layer."""
        return self.experts * self._expert

    @property
    def _expert(self) -> int:
        return 3 * self.width * self.expert_feed_forward

    def layer_parameters(self, layer: int) -> int:
        """Weights of one layer without its experts; the first has what belongs to no layer."""
        full = self.is_full(layer)
        head = self.head_full if full else self.head_sliding
        kv_heads = self.kv_heads_full if full else self.kv_heads_sliding
        owned = 0
        if layer < self.owners:
            owned = 1 if full and self.values_are_keys else 2
        attention = self.width * head * (2 * self.heads + owned * kv_heads)
        wide = self.feed_forward
        if layer >= self.owners and self.feed_forward_shared:
            wide = self.feed_forward_shared
        slices = self.layers if layer == 0 else 0
        dense = 3 * self.width * wide + self.width * self.per_layer * (2 + slices)
        return attention + dense + self.experts * self.width


@dataclass(frozen=True)
class DrafterShape:
    """An MTP drafter: queries only, it reads the target's cache and owns none."""

    width: int
    feed_forward: int
    heads: int
    layers: int = 4


def padded(cells: int) -> int:
    """llama.cpp makes caches in steps of 256 cells (`GGML_PAD` in its src/llama-context.cpp)."""
    return -(-cells // 256) * 256


def from_table(table: dict[str, Any]) -> Shape:
    """The shape written in a `[model.shape]` table; ValueError for numbers that cannot all be true.

    `catalogue_schema` has checked keys and ranges.
    """
    shape = Shape(**table)
    if shape.shared >= shape.layers:
        raise ValueError(f"{shape.shared} of {shape.layers} layers cannot be shared")
    if shape.experts_used > shape.experts:
        raise ValueError(f"{shape.experts_used} of {shape.experts} experts cannot be used")
    return shape
