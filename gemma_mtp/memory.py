"""How much memory a pair takes: weights, KV cache, compute buffers and the program around them.

Pure arithmetic that follows what `llama` asks llama.cpp for; knows no machine and no file.
`scripts/measure_memory.py` compares it with what a loaded pair really takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemma_mtp.options import MAX_WIDTH
from gemma_mtp.shape import Shape, padded

MIB = 1 << 20
PROGRAM = 64 * MIB  # Python, NumPy and llama.cpp themselves
TOKEN_BYTES = 370  # a token with its merges in llama.cpp's tables; each file has its own

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

    @property
    def needed(self) -> int:
        """Everything in memory at once: what should be free for the pair to run well."""
        return self.weights + self.kv + self.compute + self.program

    @property
    def least(self) -> int:
        """What cannot be given back: without the tables, whose rows come from the file."""
        return self.needed - self.tables

    @property
    def repacked(self) -> int:
        """What the system lists for the process where llama.cpp repacks all weights: the file
        pages they came from are counted too, until someone else wants the memory."""
        return self.needed + self.weights - self.tables

    @property
    def on_gpu(self) -> int:
        """The share of a GPU that holds all layers: the tables stay behind."""
        return self.weights - self.tables + self.kv + self.compute


def estimate(
    shape: Shape, target: int, drafter: int, context: int, piece: int, kv_type: str = "f16"
) -> Estimate:
    """For files of `target` and `drafter` bytes that read prompts `piece` tokens at a time."""
    tables = target * shape.tables // shape.parameters
    rows = 4 * MAX_WIDTH * shape.vocabulary  # logits handed out by one round
    program = PROGRAM + 2 * shape.vocabulary * TOKEN_BYTES + rows
    kv = shape.kv_bytes(context, piece, kv_type)
    return Estimate(target + drafter, tables, kv, compute_bytes(shape, context, piece), program)


def compute_bytes(shape: Shape, context: int, piece: int) -> int:
    """Buffers of the graphs of target and drafter.

    Either the widest layer or the logits are the most that is alive at a time.
    """
    widest = max(shape.feed_forward, shape.feed_forward_shared)
    widest = max(widest, shape.experts_used * shape.expert_feed_forward)
    slices = shape.per_layer * shape.layers
    activations = 4 * piece * (2 * widest + 3 * slices + 3 * shape.width)
    logits = 4 * (MAX_WIDTH * shape.vocabulary + 2 * piece * shape.width)
    window = padded(min(padded(context), shape.window + piece))
    masks = 2 * piece * (padded(context) + window)
    drafter = 4 * shape.vocabulary
    return max(activations, logits) + masks + drafter


def target_bytes(shape: Shape, quantization: str) -> int:
    """The size of a target file whose size is not known."""
    return int(shape.parameters * BITS.get(quantization, 8.53) / 8)
