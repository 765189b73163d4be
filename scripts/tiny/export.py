"""Writes the tiny target and drafter as GGUF files that llama.cpp loads as Gemma 4.

Layer matrices become Q4_0, tables and the projections around them Q8_0, vectors stay F32. With
`precise` everything stays F32, which is what the comparison with PyTorch wants.
"""

from __future__ import annotations

from pathlib import Path

import gguf
from quant import pack_q4_0, pack_q8_0
from shapes import DrafterShape, TargetShape
from tokenizer import BOS_ID, CHAT_TEMPLATE, EOS_ID, PAD_ID, UNK_ID, Tokenizer
from weights import Weights, is_matrix

F32, Q4_0, Q8_0 = (gguf.GGMLQuantizationType[name] for name in ("F32", "Q4_0", "Q8_0"))
LICENSE = "Apache-2.0"

# Matrices next to an embedding table: small, and errors in them reach every layer.
_FINE = (
    "token_embd.weight",
    "per_layer_model_proj.weight",
    "nextn.pre_projection.weight",
    "nextn.post_projection.weight",
)


def storage(name: str) -> gguf.GGMLQuantizationType:
    """Return the type in which a tensor is stored."""
    if name in _FINE:
        return Q8_0
    if is_matrix(name) or name == "per_layer_token_embd.weight":
        return Q4_0
    return F32


def is_rounded(name: str) -> bool:
    """Tell whether training has to round a weight because it will be stored as Q4_0."""
    return storage(name) == Q4_0


def _add_tensors(writer: gguf.GGUFWriter, weights: Weights, precise: bool) -> None:
    for name, weight in weights.items():
        kind = F32 if precise else storage(name)
        weight = weight.detach().float().contiguous()
        if kind == F32:
            writer.add_tensor(name, weight.numpy())
        else:
            packed = pack_q4_0(weight) if kind == Q4_0 else pack_q8_0(weight)
            writer.add_tensor(name, packed, raw_dtype=kind)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    writer.add_tokenizer_model("gemma4")
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_scores([0.0] * len(tokenizer.tokens))
    writer.add_token_types(tokenizer.types)
    writer.add_token_merges(tokenizer.merges)
    writer.add_bos_token_id(BOS_ID)
    writer.add_eos_token_id(EOS_ID)
    writer.add_eot_token_id(tokenizer.tokens.index("<turn|>"))
    writer.add_unk_token_id(UNK_ID)
    writer.add_pad_token_id(PAD_ID)
    writer.add_add_space_prefix(False)
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def _add_attention(writer: gguf.GGUFWriter, shape: TargetShape, pattern: str) -> None:
    """Add what target and drafter agree on: heads, window and rotation."""
    writer.add_context_length(shape.context)
    writer.add_vocab_size(shape.vocab)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(shape.eps)
    writer.add_key_length(shape.head_full)
    writer.add_value_length(shape.head_full)
    writer.add_key_length_swa(shape.head_sliding)
    writer.add_value_length_swa(shape.head_sliding)
    writer.add_rope_dimension_count(shape.head_full)
    writer.add_rope_dimension_count_swa(shape.head_sliding)
    writer.add_rope_freq_base(shape.rope_base_full)
    writer.add_rope_freq_base_swa(shape.rope_base_sliding)
    writer.add_sliding_window(shape.window)
    writer.add_sliding_window_pattern([kind == "S" for kind in pattern])


def _writer(path: Path, architecture: str, name: str) -> gguf.GGUFWriter:
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_license(LICENSE)
    return writer


def _finish(writer: gguf.GGUFWriter, weights: Weights, tokenizer: Tokenizer, precise: bool) -> None:
    _add_tokenizer(writer, tokenizer)
    file_type = gguf.LlamaFileType.ALL_F32 if precise else gguf.LlamaFileType.MOSTLY_Q4_0
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tensors(writer, weights, precise)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_target(
    path: Path, weights: Weights, shape: TargetShape, tokenizer: Tokenizer, precise: bool = False
) -> None:
    """Write the target as a GGUF file."""
    writer = _writer(path, "gemma4", "Tiny Gemma 4 style target")
    writer.add_block_count(shape.layers)
    writer.add_embedding_length(shape.dim)
    writer.add_embedding_length_per_layer_input(shape.per_layer)
    writer.add_feed_forward_length([shape.feed_forward(i) for i in range(shape.layers)])
    writer.add_head_count(shape.heads)
    writer.add_shared_kv_layers(shape.shared)
    writer.add_final_logit_softcapping(shape.softcap)
    _add_attention(writer, shape, shape.pattern)
    _finish(writer, weights, tokenizer, precise)


def write_drafter(
    path: Path,
    weights: Weights,
    shape: DrafterShape,
    target: TargetShape,
    tokenizer: Tokenizer,
    precise: bool = False,
) -> None:
    """Write the drafter of a target as a GGUF file."""
    writer = _writer(path, "gemma4-assistant", "Tiny Gemma 4 style drafter")
    writer.add_block_count(shape.layers)
    writer.add_nextn_predict_layers(shape.layers)
    writer.add_embedding_length(shape.dim)
    writer.add_embedding_length_out(target.dim)
    # The converter of the real models writes this key for drafters too.
    writer.add_embedding_length_per_layer_input(0)
    writer.add_feed_forward_length(shape.ff)
    writer.add_head_count(shape.heads)
    writer.add_shared_kv_layers(shape.layers)
    _add_attention(writer, target, shape.pattern)
    _finish(writer, weights, tokenizer, precise)


def total_size(*paths: Path) -> int:
    """Bytes of several files together."""
    return sum(path.stat().st_size for path in paths)


def parameters(weights: Weights) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in weights.values())
