"""The table of keys that a Gemma 4 header may hold, each with its type and range.

llama.cpp trusts most of these values and ends the whole process over some of them, so all that it
reads (src/llama-model.cpp, `load_hparams`, and src/llama-vocab.cpp) is declared here. Keys that it
does not read are nobody's business. `hyperparameters` and `pair_check` hold headers against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gemma_mtp.errors import BadPair
from gemma_mtp.models.gguf_header import Header
from gemma_mtp.models.gguf_parser import PULL_AGAIN

MAX_LAYERS = 512  # LLAMA_MAX_LAYERS of llama.cpp's src/llama-hparams.h: it aborts beyond
MAX_EXPERTS = 1024  # LLAMA_MAX_EXPERTS of the same file
MIN_CONTEXT = 256  # tokens; llama.cpp shrinks its batches to the context and aborts on larger ones
MAX_CONTEXT = 1 << 24  # tokens; models of today have 2 ** 18, and llama.cpp counts in 32 bits
MAX_SIZE = 1 << 20  # of anything that is a dimension of a matrix
MAX_HEADS = 1 << 12
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


def refuse(header: Header, problem: str, hint: str = PULL_AGAIN) -> BadPair:
    """The error for a file with this `problem`, a sentence without its subject."""
    return BadPair(f"{header.path.name} {problem}", hint)


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
