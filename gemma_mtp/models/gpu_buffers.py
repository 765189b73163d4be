"""What llama.cpp reserves on a GPU to compute in, beside weights and cache.

`placement_plan` asks. Upper bounds, held against what llama.cpp reserves for hundreds of placements
of each size. All sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from gemma_mtp.api import GPU_PIECE, MAX_WIDTH
from gemma_mtp.models.memory import MIB
from gemma_mtp.models.shape import Shape, padded
from gemma_mtp.settings import KV_TYPES

SMALL = 2 * MIB  # token ids, positions, and matrices that rotate quantized keys
IN_TURNS = 4  # copies of what goes in, where several GPUs work at once (GGML_SCHED_MAX_COPIES)
WITHOUT_LIMIT = 1 << 62


@dataclass(frozen=True)
class Rules:
    """What tells the memory of one of llama.cpp's backends from that of another.

    `helps`: long prompts are read there for layers that are elsewhere. Flash attention makes a copy
    in 16 bits of a layer's quantized cache where it `unpacks`, and reserves one for any cache where
    it `copies`, with `scratch` for what groups of threads find out about one piece. To choose the
    candidates of a row takes `choosing` numbers for each token of the vocabulary. `maps`: of
    weights that are all there the file itself is mapped, with what lies between them. What is
    as large as a `block` lies alone, so that nothing else can take its place later.
    """

    helps: bool = True
    unpacks: bool = False
    copies: bool = False
    scratch: int = 0  # times heads, times the size of a head and two numbers
    choosing: int = 0
    maps: bool = False
    block: int = WITHOUT_LIMIT  # bytes


CUDA = Rules(unpacks=True)  # ROCm likewise; ggml_backend_cuda_buffer_type_get_alloc_size
RULES = {
    "RPC": Rules(helps=False),
    # What it computes in besides is none of llama.cpp's buffers, and in the margin, as CUDA's pool.
    "Vulkan": Rules(block=1 << 30),
    # ggml_backend_metal_buffer_type_get_alloc_size; the scratch of 32 tokens for 32 groups each
    "MTL": Rules(copies=True, scratch=4 * 32 * 32, choosing=2, maps=True),
}
"""By the beginning of a device's name."""


def rules_of(names: Sequence[str]) -> Rules:
    """Of these devices together: whatever takes more."""
    found = [next((RULES[k] for k in RULES if name.startswith(k)), CUDA) for name in names]
    return Rules(
        helps=any(rules.helps for rules in found),
        unpacks=any(rules.unpacks for rules in found),
        copies=any(rules.copies for rules in found),
        scratch=max((rules.scratch for rules in found), default=0),
        choosing=max((rules.choosing for rules in found), default=0),
        maps=any(rules.maps for rules in found),
        block=min((rules.block for rules in found), default=WITHOUT_LIMIT),
    )


@dataclass(frozen=True)
class Buffers:
    """Of a target of this shape and its drafter, with such a cache, on devices with such rules.
    `piece`: tokens that are evaluated at once. `shortlist`: candidates are chosen there."""

    shape: Shape
    context: int
    kv_type: str = "f16"
    flash_attention: bool = True
    rules: Rules = CUDA
    piece: int = GPU_PIECE
    shortlist: bool = False

    @property
    def _float(self) -> int:
        """One number for each token of a piece."""
        return 4 * self.piece

    def kv(self, layer: int) -> int:
        """Keys and values of one layer."""
        return self._kv(layer, self.kv_type)

    def _kv(self, layer: int, kind: str) -> int:
        transposed = not self.flash_attention
        shape = self.shape
        return int(shape.layer_kv_bytes(layer, self.context, self.piece, kind, transposed))

    @cached_property
    def compute(self) -> int:
        """For layers on the GPU itself."""
        attention = self._attention + self._unpacked
        return self._masks + max(self._activations, attention, self._logits) + SMALL

    def helping(self, largest: int, behind: range, experts: bool) -> int:
        """For a GPU that also reads prompts for layers `behind`, which are on none, or only for
        `experts` that are not: what they need is copied to it, a matrix of up to `largest` bytes or
        the cache of one layer at a time."""
        shape = self.shape
        cache = max((self.kv(layer) for layer in behind), default=0)
        held = self._activations + largest
        read = self._attention + self._unpacked + cache
        row = self._queries + 2 * shape.width
        read += self._float * row
        if experts:
            held += self._float * (3 * self._widest + 4 * shape.width)
            read += largest // 2
        if shape.experts and behind:
            # A cache smaller than the experts lies where they would have to be whole.
            beside = self._float * 2 * self._queries
            read += largest if cache + beside <= largest else beside // 2
        longer = bool(behind) and self.flash_attention and self.piece > GPU_PIECE
        return self._masks + max(held, read) + (self._float * row if longer else 0) + SMALL

    def read_elsewhere(self, first: int) -> int:
        """For GPUs with layers from `first` on that read the cache of earlier ones, which is not
        there: each of them gets a copy."""
        shape = self.shape
        if first <= shape.owners - 2:
            return 0
        readers = range(max(first, shape.owners), shape.layers)
        return sum(self.kv(shape.owners - (1 if shape.is_full(n) else 2)) for n in readers)

    @property
    def in_turns(self) -> int:
        """More on each of several GPUs that hold all layers between them."""
        rows = IN_TURNS * self._float * (2 * self.shape.width + self._slices)
        return (IN_TURNS - 1) * self._masks + rows

    @property
    def on_cpu(self) -> int:
        """In the machine's memory: what goes in. With shortlists llama.cpp keeps room for four
        numbers a token in every row that it hands out, else for one."""
        more = 3 * 4 * (MAX_WIDTH + 1) * self.shape.vocabulary if self.shortlist else 0
        goes_in = self._float * (3 * self.shape.width + self._slices)
        return self._masks + goes_in + more + SMALL

    @property
    def drafter(self) -> int:
        """For the drafter, which evaluates one row at a time."""
        scores = 0 if self.flash_attention else 8 * self.shape.heads * padded(self.context)
        return self._rows(1) + scores + self._unpacked + SMALL

    @property
    def _masks(self) -> int:
        """Which cells a token may look at; without flash attention also where values go."""
        shape, cells = self.shape, padded(self.context)
        cells += padded(min(cells, shape.window + self.piece))
        if self.flash_attention:
            return 2 * self.piece * cells
        wide = max(
            shape.kv_heads_full * shape.head_full, shape.kv_heads_sliding * shape.head_sliding
        )
        return self._float * (cells + 4 * wide)

    @property
    def _queries(self) -> int:
        return self.shape.heads * self.shape.head_full

    @property
    def _slices(self) -> int:
        return self.shape.per_layer * self.shape.layers

    @property
    def _widest(self) -> int:
        shape = self.shape
        experts = shape.experts_used * (shape.width + 2 * shape.expert_feed_forward) / 3
        return int(max(shape.feed_forward, shape.feed_forward_shared, experts))

    @property
    def _activations(self) -> int:
        """A layer's feed-forward part, with what waits for it."""
        shape = self.shape
        more = self._slices + 5120 if self._slices else 12 * shape.experts
        return self._float * (3 * self._widest + self._queries + 2 * shape.width + more)

    @property
    def _attention(self) -> int:
        """Without flash attention every token's score for every cell."""
        shape = self.shape
        read = self._float * (2 * self._queries + 4 * shape.width + 2 * self._slices)
        if self.flash_attention:
            return read
        scores = self._float * shape.heads * padded(self.context)
        alone = scores if scores >= self.rules.block else 0
        return read + scores + alone + self._float * 2 * shape.width

    @property
    def _unpacked(self) -> int:
        """A layer's cache in 16 bits, and what else flash attention computes in."""
        rules, shape = self.rules, self.shape
        packed = KV_TYPES[self.kv_type].bytes < 2
        copied = rules.copies or (packed and rules.unpacks)
        if not self.flash_attention or not copied:
            return 0
        scratch = rules.scratch * shape.heads * (shape.head_full + 2)
        return scratch + max(self._kv(layer, "f16") for layer in range(shape.owners))

    @property
    def _logits(self) -> int:
        return self._rows(MAX_WIDTH) + self._float * 2 * self.shape.width

    def _rows(self, count: int) -> int:
        """So many rows of logits. To choose candidates takes a copy of them with one row more, and
        what a device needs for each row."""
        numbers = count
        if self.shortlist:
            numbers += count + 1 + count * self.rules.choosing
        return 4 * numbers * self.shape.vocabulary
