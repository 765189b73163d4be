"""The weights of a pair in bytes, sorted as llama.cpp places them.

From the headers of its files, or from a shape and the sizes of files that are not here yet.
`placement` computes with them. Knows no device.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gemma_mtp.models.gguf_header import Header
from gemma_mtp.models.shape import Shape

TOKENS = "token_embd.weight"
TABLES = (TOKENS, "per_layer_token_embd.weight")
"""Tensors of which a token reads one row; llama.cpp leaves them in the machine's memory."""
OUTPUT = ("output", "output_norm", "nextn.post_projection")
_OF_LAYER = re.compile(r"blk\.(\d+)\.")
_EXPERTS = re.compile(r"_exps\.")


@dataclass(frozen=True)
class Weights:
    """Bytes. Of each layer of the target: `layers` without its experts, and those `experts`.
    `output` makes the logits; where it is the table of tokens, a device gets a copy. `tables` are
    read by single rows. `largest` is the largest matrix in a layer. The drafter is apart, and its
    own table of tokens, which only its output reads, counts once; so is a `rival` of it, which goes
    to the same place until one of the two is chosen."""

    layers: tuple[int, ...]
    experts: tuple[int, ...]
    output: int
    tables: int
    largest: int
    drafter: int = 0
    rival: int = 0

    @property
    def drafters(self) -> int:
        """Of all drafters."""
        return self.drafter + self.rival

    @property
    def total(self) -> int:
        """Of the target; the output counts where it is no copy."""
        return sum(self.layers) + sum(self.experts) + self.tables


def from_headers(target: Header, drafter: Header | None = None) -> Weights:
    """Counted tensor by tensor; both headers have passed the check of a pair."""
    count = target.metadata[f"{target.architecture}.block_count"]
    layers, experts, output, tables, largest = [0] * count, [0] * count, 0, 0, 0
    for name, tensor in target.tensors.items():
        if name in TABLES:
            tables += tensor.bytes
        elif name.startswith(OUTPUT):
            output += tensor.bytes
        else:
            # What belongs to no layer is placed with the first one.
            found = _OF_LAYER.match(name)
            part = experts if _EXPERTS.search(name) else layers
            part[int(found[1]) if found else 0] += tensor.bytes
            largest = max(largest, tensor.bytes)
    if "output.weight" not in target.tensors:
        output += target.tensors[TOKENS].bytes
    extra = sum(tensor.bytes for tensor in drafter.tensors.values()) if drafter else 0
    return Weights(tuple(layers), tuple(experts), output, tables, largest, extra)


def from_shape(shape: Shape, target: int, drafter: int = 0) -> Weights:
    """For files of so many bytes, each weight as large as any other."""
    each = target / shape.parameters
    embedding = shape.vocabulary * shape.width
    wide = max(shape.feed_forward, shape.feed_forward_shared) * shape.width
    widest = max(wide, shape.experts * 2 * shape.expert_feed_forward * shape.width)
    return Weights(
        layers=tuple(int(each * shape.layer_parameters(i)) for i in range(shape.layers)),
        experts=(int(each * shape.expert_parameters),) * shape.layers,
        output=int(each * embedding),
        tables=int(each * (embedding + shape.tables)),
        largest=int(each * widest),
        drafter=drafter,
    )
