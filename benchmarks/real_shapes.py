"""Writes a pair with the true shapes of a Gemma 4 size and random weights, to measure with.

    python benchmarks/real_shapes.py FOLDER [e2b e4b 12b ...] [--type Q4_0] [--drafter-type Q4_0]

Needs numpy and the `gguf` package. The text such a pair writes is nonsense and no draft is ever
accepted, but files, memory and the time of a step are those of the real model. The vocabulary has
the real size: made-up tokens of up to three letters, with merges that build them.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

import gguf
import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts" / "tiny")]

from tokenizer import (  # noqa: E402
    BOS_ID,
    BYTE,
    CHAT_TEMPLATE,
    EOS_ID,
    NEWLINES,
    NORMAL,
    PAD_ID,
    SPACE,
    SPECIAL,
    UNK_ID,
)

from gemma_mtp.models.catalogue import Entry, load_catalogue  # noqa: E402
from gemma_mtp.models.shape import DrafterShape, Shape  # noqa: E402

CHUNK = 32 << 20  # bytes of random blocks, written again and again
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?'-" + SPACE
WINDOWED, WHOLE = 10_000.0, 1_000_000.0  # bases of the rotation
Tensors = dict[str, tuple[int, ...]]


def q4_0(count: int, rng: np.random.Generator, scale: float) -> np.ndarray:
    """Random blocks of 32 weights between -8 and 7 times a scale."""
    blocks = np.empty(count, [("d", "<f2"), ("q", "u1", 16)])
    blocks["d"] = scale / 4.6  # the deviation of -8..7
    blocks["q"] = rng.integers(0, 256, (count, 16), np.uint8)
    return blocks


def q8_0(count: int, rng: np.random.Generator, scale: float) -> np.ndarray:
    """Random blocks of 32 weights between -127 and 127 times a scale."""
    blocks = np.empty(count, [("d", "<f2"), ("q", "i1", 32)])
    blocks["d"] = scale / 73.6
    blocks["q"] = rng.integers(-127, 128, (count, 32), np.int8)
    return blocks


def q4_k(count: int, rng: np.random.Generator, scale: float) -> np.ndarray:
    """Random blocks of 256 weights; all eight groups have scale and minimum 8 of 63."""
    blocks = np.empty(count, [("d", "<f2"), ("m", "<f2"), ("scales", "u1", 12), ("q", "u1", 128)])
    blocks["d"] = scale / 4.6 / 8
    blocks["m"] = 7.5 * scale / 4.6 / 8  # centres 0..15
    blocks["scales"] = [8, 8, 8, 8, 8, 8, 8, 8, 0x88, 0x88, 0x88, 0x88]
    blocks["q"] = rng.integers(0, 256, (count, 128), np.uint8)
    return blocks


TYPES: dict[str, Callable[[int, np.random.Generator, float], np.ndarray]] = {
    "Q4_0": q4_0,
    "Q8_0": q8_0,
    "Q4_K": q4_k,
}


def vocabulary(size: int) -> tuple[list[str], list[int], list[str]]:
    """Tokens, their types, and merges that build every token of two or three letters."""
    special = [(text, kind) for text, kind in SPECIAL.items()]
    special += [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
    special += [(text, NORMAL) for text in (*NEWLINES, "system", "user", "model", "thought")]
    words = ("".join(letters) for n in (1, 2, 3) for letters in product(LETTERS, repeat=n))
    made = list(islice(words, size - len(special)))
    merges = [f"{word[:i]} {word[i:]}" for word in made for i in range(1, len(word))]
    tokens = special + [(word, NORMAL) for word in made]
    assert len(tokens) == size, f"{size} tokens need more letters"
    return [text for text, _ in tokens], [kind for _, kind in tokens], merges


def target_tensors(shape: Shape) -> Tensors:
    """Names and shapes as llama.cpp's gemma4 wants them, rows last."""
    tensors: Tensors = {"token_embd.weight": (shape.vocabulary, shape.width)}
    tensors["rope_freqs.weight"] = (shape.head_full // 2,)
    if shape.per_layer:
        slices = shape.per_layer * shape.layers
        tensors["per_layer_token_embd.weight"] = (shape.vocabulary, slices)
        tensors["per_layer_model_proj.weight"] = (slices, shape.width)
        tensors["per_layer_proj_norm.weight"] = (shape.per_layer,)
    for layer in range(shape.layers):
        for name, dims in _target_layer(shape, layer):
            tensors[f"blk.{layer}.{name}.weight"] = dims
        if shape.experts:
            tensors[f"blk.{layer}.ffn_gate_inp.scale"] = (shape.width,)
    tensors["output_norm.weight"] = (shape.width,)
    return tensors


def _target_layer(shape: Shape, layer: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    full, width = shape.is_full(layer), shape.width
    head = shape.head_full if full else shape.head_sliding
    keys = head * (shape.kv_heads_full if full else shape.kv_heads_sliding)
    wide = shape.feed_forward if layer < shape.owners else shape.feed_forward_shared
    yield from _common(width, head, shape.heads, wide or shape.feed_forward)
    if layer < shape.owners:
        yield "attn_k", (keys, width)
        yield "attn_k_norm", (head,)
        if not (full and shape.values_are_keys):
            yield "attn_v", (keys, width)
    if shape.per_layer:
        yield "inp_gate", (shape.per_layer, width)
        yield "proj", (width, shape.per_layer)
        yield "post_norm", (width,)
    if shape.experts:
        yield "ffn_gate_inp", (shape.experts, width)
        yield "ffn_gate_up_exps", (shape.experts, 2 * shape.expert_feed_forward, width)
        yield "ffn_down_exps", (shape.experts, width, shape.expert_feed_forward)
        for norm in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"):
            yield norm, (width,)


def drafter_tensors(drafter: DrafterShape, target: Shape) -> Tensors:
    """Names and shapes as llama.cpp's gemma4-assistant wants them."""
    width = drafter.width
    tensors: Tensors = {
        "token_embd.weight": (target.vocabulary, width),
        "rope_freqs.weight": (target.head_full // 2,),
        "nextn.pre_projection.weight": (width, 2 * target.width),
        "nextn.post_projection.weight": (target.width, width),
    }
    for layer in range(drafter.layers):
        head = target.head_full if layer == drafter.layers - 1 else target.head_sliding
        for name, dims in _common(width, head, drafter.heads, drafter.feed_forward):
            tensors[f"blk.{layer}.{name}.weight"] = dims
    tensors["output_norm.weight"] = (width,)
    return tensors


def _common(width: int, head: int, heads: int, wide: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "attn_q", (head * heads, width)
    yield "attn_output", (width, head * heads)
    yield "ffn_gate", (wide, width)
    yield "ffn_up", (wide, width)
    yield "ffn_down", (width, wide)
    for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
        yield norm, (width,)
    yield "attn_q_norm", (head,)
    yield "layer_output_scale", (1,)


def _header(writer: gguf.GGUFWriter, name: str, entry: Entry, words: Any) -> None:
    """What target and drafter agree on."""
    shape = entry.shape
    assert shape is not None
    tokens, kinds, merges = words
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    writer.add_tokenizer_model("gemma4")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    for add, token in (
        (writer.add_bos_token_id, BOS_ID),
        (writer.add_eos_token_id, EOS_ID),
        (writer.add_eot_token_id, tokens.index("<turn|>")),
        (writer.add_unk_token_id, UNK_ID),
        (writer.add_pad_token_id, PAD_ID),
    ):
        add(token)
    writer.add_add_space_prefix(False)
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)
    writer.add_context_length(entry.context_length)
    writer.add_layer_norm_rms_eps(1e-6)
    for add, size in (
        (writer.add_key_length, shape.head_full),
        (writer.add_value_length, shape.head_full),
        (writer.add_key_length_swa, shape.head_sliding),
        (writer.add_value_length_swa, shape.head_sliding),
        (writer.add_rope_dimension_count, shape.head_full),
        (writer.add_rope_dimension_count_swa, shape.head_sliding),
        (writer.add_sliding_window, shape.window),
    ):
        add(size)
    writer.add_rope_freq_base(WHOLE)
    writer.add_rope_freq_base_swa(WINDOWED)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def write_target(path: Path, entry: Entry, words: Any, kind: str) -> None:
    """The target of `entry`, every matrix in one quantization."""
    shape = entry.shape
    assert shape is not None
    full = [shape.is_full(layer) for layer in range(shape.layers)]
    writer = gguf.GGUFWriter(path, "gemma4")
    _header(writer, f"{entry.title}, random weights", entry, words)
    writer.add_block_count(shape.layers)
    writer.add_embedding_length(shape.width)
    writer.add_embedding_length_per_layer_input(shape.per_layer)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv([shape.kv_heads_full if f else shape.kv_heads_sliding for f in full])
    wide = [shape.feed_forward] * shape.owners
    wide += [shape.feed_forward_shared or shape.feed_forward] * shape.shared
    writer.add_feed_forward_length(wide)
    writer.add_sliding_window_pattern([not f for f in full])
    writer.add_shared_kv_layers(shape.shared)
    writer.add_final_logit_softcapping(30.0)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
        writer.add_expert_feed_forward_length(shape.expert_feed_forward)
    _write_tensors(writer, target_tensors(shape), kind)


def write_drafter(path: Path, entry: Entry, words: Any, kind: str) -> None:
    """The drafter of `entry`: the last layer attends to everything, the others to the window."""
    shape, drafter = entry.shape, entry.drafter_shape
    assert shape is not None
    assert drafter is not None
    last = drafter.layers - 1
    kv = [shape.kv_heads_full if i == last else shape.kv_heads_sliding for i in range(last + 1)]
    writer = gguf.GGUFWriter(path, "gemma4-assistant")
    _header(writer, f"{entry.title} drafter, random weights", entry, words)
    writer.add_block_count(drafter.layers)
    writer.add_nextn_predict_layers(drafter.layers)
    writer.add_embedding_length(drafter.width)
    writer.add_embedding_length_out(shape.width)
    writer.add_embedding_length_per_layer_input(0)
    writer.add_feed_forward_length(drafter.feed_forward)
    writer.add_head_count(drafter.heads)
    writer.add_head_count_kv(kv)
    writer.add_sliding_window_pattern([i != last for i in range(last + 1)])
    writer.add_shared_kv_layers(drafter.layers)
    _write_tensors(writer, drafter_tensors(drafter, shape), kind)


def _write_tensors(writer: gguf.GGUFWriter, tensors: Tensors, kind: str) -> None:
    """Stream the weights: vectors in F32, matrices as random blocks, one chunk at a time."""
    kinds = {name: kind if len(dims) > 1 else "F32" for name, dims in tensors.items()}
    sizes = {}
    for name, dims in tensors.items():
        quant = gguf.GGMLQuantizationType[kinds[name]]
        block, width = gguf.GGML_QUANT_SIZES[quant]
        sizes[name] = math.prod(dims) // block * width
        assert dims[-1] % block == 0, f"{name}: rows of {dims[-1]} do not fit {kind}"
        writer.add_tensor_info(name, dims, np.dtype(np.float32), sizes[name], quant)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    assert writer.fout is not None
    (out,) = writer.fout
    writer.write_padding(out, out.tell())
    rng, pools = np.random.default_rng(4), {}
    for name, dims in tensors.items():
        if kinds[name] == "F32":
            out.write(_vector(name, dims[0]).tobytes())
        else:
            if dims[-1] not in pools:
                width = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][1]
                pools[dims[-1]] = memoryview(
                    TYPES[kind](CHUNK // width, rng, dims[-1] ** -0.5).tobytes()
                )
            _repeat(out, pools[dims[-1]], sizes[name])
        writer.write_padding(out, sizes[name])
    writer.close()


def _vector(name: str, size: int) -> np.ndarray:
    """Norms of one; the rotation of full layers leaves three quarters of a head alone."""
    values = np.ones(size, np.float32)
    if name == "rope_freqs.weight":
        values[size // 4 :] = 1e30
    return values


def _repeat(out: Any, pool: memoryview, size: int) -> None:
    while size > 0:
        size -= out.write(pool[: min(size, len(pool))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sizes", nargs="*", default=["e2b"])
    parser.add_argument("--type", default="Q4_0", choices=TYPES)
    parser.add_argument("--drafter-type", default="Q4_0", choices=TYPES)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    catalogue = load_catalogue()
    for size in args.sizes:
        entry = catalogue.find(size)
        if entry is None or entry.shape is None:
            parser.error(f"the shape of {size!r} is not in models.toml")
        words = vocabulary(entry.shape.vocabulary)
        name = entry.name.partition(":")[0]
        target = args.folder / f"{name}-{args.type}.gguf"
        drafter = args.folder / f"mtp-{name}-{args.drafter_type}.gguf"
        write_target(target, entry, words, args.type)
        write_drafter(drafter, entry, words, args.drafter_type)
        for path in (target, drafter):
            print(f"{path}  {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
