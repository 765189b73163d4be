"""A small pair that llama.cpp can load: all that a Gemma 4 may have, in two kinds of layers."""

from __future__ import annotations

import struct
from pathlib import Path
from unittest.mock import patch

from support import gguf_writer as writer
from support.gguf_writer import INT32, Metadata, Tensors, Typed

from gemma_mtp.api import PairFiles

Parts = tuple[Metadata, Tensors]
WIDTH, SLICE, EXPERTS, EXPERT_WIDTH, LAYERS = 64, 32, 4, 32, 4
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
TOKENS = [*writer.TOKENS, "<|turn>", "<turn|>", "user", "model", *BYTES]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|turn>{{ m.role }}\n{{ m.content }}<turn|>\n"
    "{% endfor %}<|turn>model\n"
)
NORMAL, CONTROL, BYTE = 1, 3, 6
KINDS = [BYTE if t in BYTES else CONTROL if "|" in t else NORMAL for t in TOKENS]
Q4_0 = 2
ONES = struct.pack("<f", 1.0)  # as weights, so that all that is computed is a number


def pair() -> tuple[Parts, Parts]:
    """A target with per-layer embeddings, experts and shared layers, and its drafter."""
    sizes = {"WIDTH": WIDTH, "HEAD": 64, "HEAD_SWA": 32, "DRAFTER_WIDTH": 32, "TOKENS": TOKENS}
    with patch.multiple(writer, **sizes):
        target = writer.target(layers=LAYERS, shared=2, kind=Q4_0)
        drafter = writer.drafter(target_width=WIDTH)
    for metadata, _ in (target, drafter):
        metadata["tokenizer.ggml.token_type"] = Typed(INT32, KINDS)
        metadata["tokenizer.chat_template"] = TEMPLATE
    _add_slices(*target)
    _add_experts(*target)
    return target, drafter


def written(folder: Path, target: Parts, drafter: Parts) -> PairFiles:
    """Both as files."""
    return PairFiles(
        "small",
        writer.write(folder / "target.gguf", *target, fill=ONES),
        writer.write(folder / "drafter.gguf", *drafter, fill=ONES),
    )


def _add_slices(metadata: Metadata, tensors: Tensors) -> None:
    slices = LAYERS * SLICE
    metadata["gemma4.embedding_length_per_layer_input"] = SLICE
    tensors["per_layer_token_embd.weight"] = (slices, len(TOKENS)), Q4_0
    tensors["per_layer_model_proj.weight"] = (WIDTH, slices), 0
    tensors["per_layer_proj_norm.weight"] = (SLICE,), 0
    for layer in range(LAYERS):
        tensors[f"blk.{layer}.inp_gate.weight"] = (WIDTH, SLICE), Q4_0
        tensors[f"blk.{layer}.proj.weight"] = (SLICE, WIDTH), Q4_0
        tensors[f"blk.{layer}.post_norm.weight"] = (WIDTH,), 0


def _add_experts(metadata: Metadata, tensors: Tensors) -> None:
    metadata["gemma4.expert_count"], metadata["gemma4.expert_used_count"] = EXPERTS, 2
    metadata["gemma4.expert_feed_forward_length"] = EXPERT_WIDTH
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        tensors[f"{block}.ffn_gate_inp.weight"] = (WIDTH, EXPERTS), 0
        tensors[f"{block}.ffn_gate_inp.scale"] = (WIDTH,), 0
        for norm in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"):
            tensors[f"{block}.{norm}.weight"] = (WIDTH,), 0
        tensors[f"{block}.ffn_gate_up_exps.weight"] = (WIDTH, 2 * EXPERT_WIDTH, EXPERTS), Q4_0
        tensors[f"{block}.ffn_down_exps.weight"] = (EXPERT_WIDTH, WIDTH, EXPERTS), Q4_0
        tensors[f"{block}.ffn_down_exps.scale"] = (EXPERTS,), 0
