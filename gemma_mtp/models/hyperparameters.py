"""What a Gemma 4 header may say: the table of its keys, and the numbers that follow from them.

llama.cpp trusts most of these values and ends the whole process over some of them, so all that it
reads is declared here with type and range. Keys that it does not read are nobody's business. Knows
what a header is; reads no file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gemma_mtp.errors import BadPair
from gemma_mtp.models.gguf_header import Header, vocabulary_size
from gemma_mtp.models.gguf_parser import PULL_AGAIN
from gemma_mtp.models.shape import Shape

MAX_LAYERS = 512  # llama.cpp's limits: it aborts beyond them
MAX_EXPERTS = 1024
MIN_CONTEXT = 256  # llama.cpp shrinks its batches to the context and aborts on larger ones
MAX_CONTEXT = 1 << 24  # tokens; models of today have 2 ** 18, and llama.cpp counts in 32 bits
MAX_SIZE = 1 << 20  # of anything that is a dimension of a matrix
MAX_HEADS = 1 << 12
# llama.cpp turns quantized keys by blocks of this size, in all layers or, as the first layer's head
# decides, in none; it aborts where a head is no multiple of it.
TURNED = 64
ROPE_SCALINGS = ("none", "linear", "yarn", "longrope")
VOCABULARY_KIND = "gemma4"  # what tokenizer.ggml.model says; other tokenizers expect other tokens
SOFTCAP = "final_logit_softcapping"


@dataclass(frozen=True)
class Key:
    """A key that llama.cpp reads. `type` as in `Header.types`; numbers lie within low and high.

    `layered`: a single value, or a list with one for each layer.
    """

    name: str
    type: str
    low: float = 0
    high: float = math.inf
    required: bool = False
    layered: bool = False
    choices: tuple[object, ...] = ()


# Of a target and of a drafter alike; the names follow that of the architecture and a dot.
KEYS = (
    Key("context_length", "u32", MIN_CONTEXT, MAX_CONTEXT, required=True),
    Key("embedding_length", "u32", 1, MAX_SIZE, required=True),
    Key("embedding_length_out", "u32", 0, MAX_SIZE),
    Key("embedding_length_per_layer_input", "u32", 0, MAX_SIZE),
    Key("block_count", "u32", 1, MAX_LAYERS, required=True),
    Key("nextn_predict_layers", "u32", 0, MAX_LAYERS),
    Key("feed_forward_length", "u32", 1, MAX_SIZE, required=True, layered=True),
    Key("attention.head_count", "u32", 1, MAX_HEADS, required=True, layered=True),
    Key("attention.head_count_kv", "u32", 1, MAX_HEADS, layered=True),
    Key("attention.key_length", "u32", 1, MAX_SIZE),
    Key("attention.value_length", "u32", 1, MAX_SIZE),
    Key("attention.key_length_swa", "u32", 1, MAX_SIZE, required=True),
    Key("attention.value_length_swa", "u32", 1, MAX_SIZE, required=True),
    Key("attention.sliding_window", "u32", 1, MAX_CONTEXT, required=True),
    Key("attention.shared_kv_layers", "u32", 0, MAX_LAYERS),
    Key("attention.layer_norm_rms_epsilon", "f32", 0, 1, required=True),
    Key("attention.causal", "bool", choices=(True,)),
    Key("pooling_type", "u32", 0, 0),  # a pooled model writes no text
    Key("rope.dimension_count", "u32", 2, MAX_SIZE),
    Key("rope.dimension_count_swa", "u32", 2, MAX_SIZE),
    Key("rope.freq_base", "f32", 1.001, 1e12),
    Key("rope.freq_base_swa", "f32", 1.001, 1e12),
    Key("rope.scaling.type", "str", choices=ROPE_SCALINGS),
    Key("rope.scaling.factor", "f32", 0, 1e6),
    Key("rope.scale_linear", "f32", 0, 1e6),
    Key("rope.scaling.attn_factor", "f32", 0, 1e6),
    Key("rope.scaling.alpha", "f32", 0, 1e6),
    Key("rope.scaling.finetuned", "bool"),
    Key("rope.scaling.original_context_length", "u32", 0, MAX_CONTEXT),
    Key("expert_count", "u32", 0, MAX_EXPERTS),
    Key("expert_used_count", "u32", 0, MAX_EXPERTS, layered=True),
    Key("expert_group_count", "u32", 0, 1),  # routing in groups is not Gemma 4's
    Key("expert_group_used_count", "u32", 0, 1),
    Key("expert_feed_forward_length", "u32", 0, MAX_SIZE, layered=True),
    Key(SOFTCAP, "f32", 0, 1e6),
)
# The same in every architecture.
GENERAL_KEYS = (
    Key("general.alignment", "u32"),  # its value is checked where the file is read
    Key("general.name", "str"),
    Key("general.file_type", "u32"),
    Key("tokenizer.chat_template", "str"),
)
# Of a vocabulary that is loaded, which a drafter's is not. Ids beyond it count as missing.
IDS = ("bos eos eot eom unknown seperator padding mask fim_pre fim_suf fim_mid fim_pad fim_rep "
       "fim_sep prefix suffix middle")  # fmt: skip
SWITCHES = "add_bos_token add_eos_token add_sep_token add_space_prefix remove_extra_whitespaces"
TOKENIZER_KEYS = (
    *(Key(f"tokenizer.ggml.{name}_token_id", "u32") for name in IDS.split()),
    *(Key(f"tokenizer.ggml.{name}", "bool") for name in SWITCHES.split()),
    Key("tokenizer.ggml.pre", "str"),
    Key("tokenizer.ggml.token_type_count", "u32"),
    Key("tokenizer.ggml.suppress_tokens", "[i32]"),
)
# llama.cpp takes any of these for the pattern; what it does not list is a full layer.
PATTERN_KEY = "attention.sliding_window_pattern"
PATTERN_TYPES = ("[bool]", "[u32]", "[i32]")


@dataclass(frozen=True)
class Hyper:
    """What llama.cpp derives from the metadata; lists have one entry for each layer."""

    layers: int
    width: int
    width_out: int
    per_layer: int
    heads: list[int]
    kv_heads: list[int]
    feed_forward: list[int]
    sliding: list[bool]
    window: int
    head_full: int
    head_swa: int
    experts: int
    experts_used: int
    expert_feed_forward: int
    kv_layers: int
    mtp_layers: int

    def head(self, layer: int) -> int:
        """Width of one head."""
        return self.head_swa if self.sliding[layer] else self.head_full

    def cache_of(self, layer: int) -> int:
        """The layer whose keys and values `layer` reads: its own, or the last of its kind."""
        return layer if layer < self.kv_layers else self.kv_layers - 1 - self.sliding[layer]


def refuse(header: Header, problem: str, hint: str = PULL_AGAIN) -> BadPair:
    """The error for a file with this `problem`, a sentence without its subject."""
    return BadPair(f"{header.path.name} {problem}", hint)


def hyperparameters(header: Header) -> Hyper:
    """What this file's metadata amounts to, or `BadPair` for what llama.cpp could not use.

    What is missing gets llama.cpp's own default.
    """
    arch = header.architecture
    check_keys(header, GENERAL_KEYS)
    check_keys(header, KEYS, f"{arch}.")

    def value(key: str, default: int = 0) -> Any:
        return header.metadata.get(f"{arch}.{key}", default)

    layers = value("block_count")

    def listed(key: str, default: int = 0) -> list[int]:
        found = value(key, default)
        return found if isinstance(found, list) else [found] * layers

    heads = listed("attention.head_count")
    head_full, head_swa = _head_sizes(header, value("embedding_length") // heads[0])
    hyper = Hyper(
        layers=layers,
        width=value("embedding_length"),
        width_out=value("embedding_length_out") or value("embedding_length"),
        per_layer=value("embedding_length_per_layer_input"),
        heads=heads,
        kv_heads=listed("attention.head_count_kv") if value("attention.head_count_kv") else heads,
        feed_forward=listed("feed_forward_length"),
        sliding=_sliding(header, layers),
        window=value("attention.sliding_window"),
        head_full=head_full,
        head_swa=head_swa,
        experts=value("expert_count"),
        experts_used=_same(header, "expert_used_count", listed("expert_used_count")),
        expert_feed_forward=_same(
            header, "expert_feed_forward_length", listed("expert_feed_forward_length")
        ),
        kv_layers=layers - value("attention.shared_kv_layers"),
        mtp_layers=value("nextn_predict_layers"),
    )
    if any(h % kv for h, kv in zip(hyper.heads, hyper.kv_heads, strict=True)):
        raise refuse(header, "has head counts that are no multiple of its KV heads.")
    if not hyper.head(0) % TURNED and (head_full % TURNED or head_swa % TURNED):
        problem = f"has heads of {head_full} and {head_swa}, which no quantized cache can hold."
        raise refuse(header, problem)
    if (hyper.experts > 0) != (hyper.experts_used > 0) or hyper.experts_used > hyper.experts:
        raise refuse(header, "has expert counts that llama.cpp cannot use.")
    return hyper


def shape_of(header: Header) -> Shape:
    """The shape of a target file; raises BadPair unless it passes `pairing.check_target`."""
    hyper = hyperparameters(header)
    first_full, first_sliding = hyper.sliding.index(False), hyper.sliding.index(True)
    return Shape(
        layers=hyper.layers,
        pattern="".join("S" if s else "F" for s in hyper.sliding),
        width=hyper.width,
        heads=max(hyper.heads),
        kv_heads_sliding=hyper.kv_heads[first_sliding],
        kv_heads_full=hyper.kv_heads[first_full],
        feed_forward=hyper.feed_forward[0],
        window=hyper.window,
        vocabulary=vocabulary_size(header),
        shared=hyper.layers - hyper.kv_layers,
        feed_forward_shared=hyper.feed_forward[-1],
        per_layer=hyper.per_layer,
        experts=hyper.experts,
        experts_used=hyper.experts_used,
        expert_feed_forward=hyper.expert_feed_forward,
        values_are_keys=f"blk.{first_full}.attn_v.weight" not in header.tensors,
        head_sliding=hyper.head_swa,
        head_full=hyper.head_full,
    )


def check_keys(header: Header, keys: tuple[Key, ...], prefix: str = "") -> None:
    """Raise `BadPair` unless each value has its type and range, or may be missing and is."""
    for key in keys:
        name = prefix + key.name
        if name in header.metadata:
            _check_value(header, key, header.types[name], header.metadata[name])
        elif key.required:
            raise refuse(header, f"lacks the hyperparameter {key.name}.")


def _check_value(header: Header, key: Key, found: str, value: Any) -> None:
    layered = key.layered and found in ("[u32]", "[i32]")
    layers = header.metadata.get(f"{header.architecture}.block_count")
    if not (found == key.type or (layered and isinstance(value, list) and len(value) == layers)):
        raise refuse(header, f"has an unusable {key.name}.")
    for number in value if layered else [value]:
        if not _is_good(key, number):
            raise refuse(header, f"has an unusable {key.name} of {str(number)[:40]}.")


def _is_good(key: Key, value: Any) -> bool:
    if key.choices:
        return value in key.choices
    return not isinstance(value, int | float) or key.low <= value <= key.high  # false for NaN


def _same(header: Header, key: str, values: list[int]) -> int:
    """llama.cpp takes the first layer's value for all of them."""
    if len(set(values)) > 1:
        raise refuse(header, f"has values of {key} that differ between layers.")
    return values[0]


def _head_sizes(header: Header, default: int) -> tuple[int, int]:
    """Keys and values must be equally wide, and rotate at most what they have."""

    def size(key: str, default: int) -> int:
        return int(header.metadata.get(f"{header.architecture}.{key}", default))

    full, swa = size("attention.key_length", default), size("attention.key_length_swa", 0)
    values = size("attention.value_length", default), size("attention.value_length_swa", 0)
    if values != (full, swa) or not full:
        raise refuse(header, "has keys and values of different sizes.")
    rotated = size("rope.dimension_count", full)
    rotated_swa = size("rope.dimension_count_swa", rotated)
    if rotated > full or rotated_swa > swa or rotated % 2 or rotated_swa % 2:
        raise refuse(header, "has a rotary size that does not fit its heads.")
    return full, swa


def _sliding(header: Header, layers: int) -> list[bool]:
    """Which layers use sliding attention; those not listed use full attention."""
    name = f"{header.architecture}.{PATTERN_KEY}"
    pattern = header.metadata.get(name)
    good = isinstance(pattern, list) and header.types[name] in PATTERN_TYPES
    if not isinstance(pattern, list) or not good or len(pattern) > MAX_LAYERS:
        raise refuse(header, f"has no usable {PATTERN_KEY}.")
    sliding = [bool(value) for value in pattern[:layers]]
    return sliding + [False] * (layers - len(sliding))
