"""How much memory a pair takes: weights, KV cache, compute buffers and the program around them.

`fit` and `details` ask. Pure arithmetic that follows what `llama.context` asks llama.cpp for and
what `engine.snapshots` keeps; knows no machine and no file. `benchmarks/measure_memory.py` compares
it with what a loaded pair really takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemma_mtp.api import CPU_PIECE, MAX_WIDTH, SNAPSHOT_BYTES, SNAPSHOT_SHARE
from gemma_mtp.models.shape import Shape, padded

MIB = 1 << 20
PROGRAM = 64 * MIB  # bytes; Python, NumPy and llama.cpp themselves
TOKEN_BYTES = 370  # of a token with its merges in llama.cpp's tables; only the target has them
PLAIN_ATTENTION = 32_768  # tokens up to which a CPU attends to 16 bits without flash attention

# Where the size of a file is not known: bits of one weight, with the scales of its block.
BITS = {
    "Q4_0": 4.52,
    "UD-Q4_K_XL": 5.2,
    "Q4_K_M": 5.0,
    "Q5_K_M": 5.8,
    "Q6_K": 6.6,
    "Q8_0": 8.53,
    "BF16": 16.0,
    "F16": 16.0,
    "F32": 32.0,
}


@dataclass(frozen=True)
class Estimate:
    """Bytes. `tables` are those weights of which a token reads one row; they are in `weights`."""

    weights: int
    tables: int
    kv: int
    compute: int
    program: int
    snapshot: int

    @property
    def needed(self) -> int:
        """Everything in memory at once: what should be free for the pair to run well."""
        return self.weights + self.kv + self.compute + self.program + self.snapshot

    @property
    def least(self) -> int:
        """What cannot be given back: without the tables, whose rows come from the file."""
        return self.needed - self.tables

    @property
    def repacked(self) -> int:
        """What the system lists for the process where llama.cpp repacks all weights: the file
        pages they came from are counted too, until someone else wants the memory."""
        return self.needed + self.weights - self.tables


def estimate(
    shape: Shape, target: int, drafter: int, context: int, piece: int, kv_type: str = "f16"
) -> Estimate:
    """For files of `target` and `drafter` bytes that read prompts `piece` tokens at a time."""
    scores = score_bytes(shape, context, piece, kv_type)
    rows = 4 * MAX_WIDTH * shape.vocabulary  # logits handed out by one round
    scratch = scores // 2  # the scores once more, as 16-bit factors of the values
    return Estimate(
        weights=target + drafter,
        tables=target * shape.tables // shape.parameters,
        kv=kv_bytes(shape, context, piece, kv_type),
        compute=compute_bytes(shape, context, piece, scores),
        program=PROGRAM + shape.vocabulary * TOKEN_BYTES + rows + scratch,
        snapshot=snapshot_bytes(shape, target, context, kv_type),
    )


def without_flash_attention(context: int, piece: int, kv_type: str) -> bool:
    """Whether `llama` attends the plain way; the piece tells a CPU from a GPU."""
    return piece == CPU_PIECE and context <= PLAIN_ATTENTION and kv_type in ("f16", "f32")


def kv_bytes(shape: Shape, context: int, piece: int, kv_type: str = "f16") -> int:
    """The whole cache. Without flash attention values lie transposed."""
    transposed = without_flash_attention(context, piece, kv_type)
    return shape.kv_bytes(context, piece, kv_type, transposed)


def score_bytes(shape: Shape, context: int, piece: int, kv_type: str = "f16") -> int:
    """What every token of a piece pays to every cell, in each head; 0 with flash attention."""
    plain = without_flash_attention(context, piece, kv_type)
    return 4 * piece * shape.heads * padded(context) if plain else 0


def compute_bytes(shape: Shape, context: int, piece: int, scores: int) -> int:
    """Buffers of the graphs of target and drafter.

    The widest layer, the logits or the attention scores are the most that is alive at a time.
    """
    widest = max(shape.feed_forward, shape.feed_forward_shared)
    widest = max(widest, shape.experts_used * shape.expert_feed_forward)
    slices = 3 * shape.per_layer * shape.layers
    activations = 4 * piece * (2 * widest + slices + 3 * shape.width)
    logits = 4 * (MAX_WIDTH * shape.vocabulary + 2 * piece * shape.width)
    heads = (shape.heads + 2 * shape.kv_heads_full) * shape.head_full
    attention = scores + 4 * piece * (heads + slices + 2 * shape.width) if scores else 0
    window = padded(min(padded(context), shape.window + piece))
    masks = (4 if scores else 2) * piece * (padded(context) + window)
    drafter = 4 * shape.vocabulary
    return max(activations, logits, attention) + masks + drafter


def snapshot_bytes(shape: Shape, target: int, context: int, kv_type: str = "f16") -> int:
    """One copy of the sliding layers' window with a row of logits and hidden state, if the prompt
    cache keeps snapshots of that size."""
    window = int(min(context, shape.window) * shape.kv_bytes_per_cell(kv_type))
    size = window + 4 * (shape.vocabulary + shape.width)
    return size if size <= max(SNAPSHOT_BYTES, target // SNAPSHOT_SHARE) else 0


def target_bytes(shape: Shape, quantization: str) -> int:
    """The size of a target file whose size is not known."""
    return int(shape.parameters * BITS.get(quantization, 8.53) / 8)
