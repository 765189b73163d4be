"""Which tensors a Gemma 4 file holds: the table of their names, shapes and types.

`pair_check` asks, and `random_pair` makes files by it. llama.cpp checks names (those of its
src/llama-arch.cpp) and shapes, too, but takes it for granted that it has kernels for the types.
Reads no file.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from gemma_mtp.models.gguf_header import Header, TensorInfo, vocabulary_size
from gemma_mtp.models.header_keys import refuse
from gemma_mtp.models.hyperparameters import Hyperparameters

# Every kernel adds or multiplies by these element by element, in single precision only.
VECTOR_TYPES = frozenset({"F32"})
# What rows can be taken from and vectors multiplied by; the others are for sums in between.
MATRIX_TYPES = frozenset(
    {
        *("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"),
        *("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
        *("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS"),
        *("TQ1_0", "TQ2_0", "MXFP4", "NVFP4", "Q1_0", "Q2_0"),
    }
)


@dataclass(frozen=True)
class Rule:
    """A tensor that must be there, or may be if `optional`. `shape` names its dimensions, the
    fastest first; the tensor is of no use where one of the `only` conditions does not hold."""

    name: str
    shape: str
    only: str = ""
    optional: bool = False


# Dimensions: those of the whole file and those of a layer are computed below, under these names.
# Conditions: names of dimensions that are not 0, or 0 with a minus in front.
TARGET = (
    Rule("token_embd.weight", "width vocabulary"),
    Rule("output_norm.weight", "width"),
    Rule("output.weight", "width vocabulary", optional=True),
    Rule("output.scale", "one", only="nvfp4_output", optional=True),
    Rule("output.input_scale", "one", only="nvfp4_output", optional=True),
    Rule("rope_freqs.weight", "half_head_full"),
    Rule("per_layer_token_embd.weight", "slices vocabulary", only="slices"),
    Rule("per_layer_model_proj.weight", "width slices", only="slices"),
    Rule("per_layer_proj_norm.weight", "slice", only="slices"),
)
DRAFTER = (
    Rule("token_embd.weight", "width vocabulary"),
    Rule("output_norm.weight", "width"),
    Rule("rope_freqs.weight", "half_head_full"),
    Rule("nextn.pre_projection.weight", "two_width_out width"),
    Rule("nextn.post_projection.weight", "width width_out"),
)
# Names in a layer follow "blk.N.".
LAYER = (
    Rule("attn_norm.weight", "width"),
    Rule("post_attention_norm.weight", "width"),
    Rule("ffn_norm.weight", "width"),
    Rule("post_ffw_norm.weight", "width"),
    Rule("attn_q_norm.weight", "head"),
    Rule("attn_output.weight", "inner width"),
    Rule("ffn_gate.weight", "width wide"),
    Rule("ffn_up.weight", "width wide"),
    Rule("ffn_down.weight", "wide width"),
)
DRAFTER_LAYER = (
    *LAYER,
    Rule("attn_q.weight", "width inner"),
    Rule("layer_output_scale.weight", "one"),
)
TARGET_LAYER = (
    *LAYER,
    Rule("layer_output_scale.weight", "one", optional=True),
    Rule("attn_qkv.weight", "width inner_and_keys_and_values", only="fused"),
    Rule("attn_q.weight", "width inner", only="-fused"),
    # A layer that reads the cache of another has no use for these, yet may have them.
    Rule("attn_k.weight", "width keys", only="-fused owner"),
    Rule("attn_k.weight", "width keys", only="-fused -owner", optional=True),
    Rule("attn_v.weight", "width keys", only="-fused", optional=True),
    Rule("attn_k_norm.weight", "head", only="owner"),
    Rule("attn_k_norm.weight", "head", only="-owner", optional=True),
    Rule("inp_gate.weight", "width slice", only="slice"),
    Rule("proj.weight", "slice width", only="slice"),
    Rule("post_norm.weight", "width", only="slice"),
    Rule("ffn_gate_inp.weight", "width experts", only="routed"),
    Rule("ffn_gate_inp.scale", "width", only="routed"),
    Rule("pre_ffw_norm_2.weight", "width", only="routed"),
    Rule("post_ffw_norm_1.weight", "width", only="routed"),
    Rule("post_ffw_norm_2.weight", "width", only="routed"),
    Rule("ffn_gate_up_exps.weight", "width two_expert_wide experts", only="routed pairwise"),
    Rule("ffn_gate_exps.weight", "width expert_wide experts", only="routed -pairwise"),
    Rule("ffn_up_exps.weight", "width expert_wide experts", only="routed -pairwise"),
    Rule("ffn_down_exps.weight", "expert_wide width experts", only="routed"),
)
# Factors of whole matrices, in files of type NVFP4 for the most part; one for each expert.
SCALED = ("attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
SCALED_EXPERTS = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")


def check_target_tensors(header: Header, hyper: Hyperparameters) -> None:
    """Raise `BadPair` for a tensor that a target lacks, has in excess, or in a wrong form."""
    output = header.tensors.get("output.weight")
    whole = _whole(header, hyper)
    whole["nvfp4_output"] = int(output is not None and output.type == "NVFP4")
    known = set(check_rules(header, TARGET, whole))
    for layer in range(hyper.layers):
        block = f"blk.{layer}."
        sizes = whole | _of_layer(hyper, layer)
        for flag, name in (
            ("fused", "attn_qkv"),
            ("routed", "ffn_gate_inp"),
            ("pairwise", "ffn_gate_up_exps"),
        ):
            sizes[flag] = int(f"{block}{name}.weight" in header.tensors)
        found = set(check_rules(header, TARGET_LAYER, sizes, block))
        known |= found | set(check_rules(header, _scales(block, found), sizes, block))
    _refuse_unknown(header, known)


def check_drafter_tensors(header: Header, hyper: Hyperparameters) -> None:
    """Raise `BadPair` for a tensor that a drafter lacks, has in excess, or in a wrong form."""
    whole = _whole(header, hyper)
    known = set(check_rules(header, DRAFTER, whole))
    for layer in range(hyper.layers):
        sizes = whole | _of_layer(hyper, layer)
        known |= set(check_rules(header, DRAFTER_LAYER, sizes, f"blk.{layer}."))
    _refuse_unknown(header, known)


def target_tensors(
    header: Header, hyper: Hyperparameters, values_are_keys: bool
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a target's tensors, as those published have them.

    `values_are_keys`: full layers have no matrix for their values.
    """
    whole = _whole(header, hyper) | {"fused": 0, "pairwise": 1, "routed": hyper.experts}
    found = dict(_named(TARGET, whole | {"nvfp4_output": 0}))
    for layer in range(hyper.layers):
        has_values = layer < hyper.kv_layers and (hyper.sliding[layer] or not values_are_keys)
        optional = {"layer_output_scale.weight", "attn_v.weight" if has_values else ""}
        sizes = whole | _of_layer(hyper, layer)
        found |= _named(TARGET_LAYER, sizes, f"blk.{layer}.", optional)
    return found


def drafter_tensors(header: Header, hyper: Hyperparameters) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a drafter's tensors."""
    whole = _whole(header, hyper)
    found = dict(_named(DRAFTER, whole))
    for layer in range(hyper.layers):
        found |= _named(DRAFTER_LAYER, whole | _of_layer(hyper, layer), f"blk.{layer}.")
    return found


def _named(
    rules: tuple[Rule, ...], sizes: dict[str, int], block: str = "", optional: Container[str] = ()
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of what must be there, and of what is among the `optional`."""
    for rule in rules:
        if _holds(rule, sizes) and (not rule.optional or rule.name in optional):
            yield block + rule.name, _shape(rule, sizes)


def _holds(rule: Rule, sizes: dict[str, int]) -> bool:
    """Whether all conditions of a rule hold."""
    return all(bool(sizes[word.lstrip("-")]) != (word[0] == "-") for word in rule.only.split())


def _shape(rule: Rule, sizes: dict[str, int]) -> tuple[int, ...]:
    return tuple(sizes[word] for word in rule.shape.split())


def _whole(header: Header, hyper: Hyperparameters) -> dict[str, int]:
    return {
        "one": 1,
        "width": hyper.width,
        "vocabulary": vocabulary_size(header),
        "half_head_full": hyper.head_full // 2,
        "slice": hyper.per_layer,
        "slices": hyper.per_layer * hyper.layers,
        "width_out": hyper.width_out,
        "two_width_out": 2 * hyper.width_out,
        "experts": hyper.experts,
        "expert_wide": hyper.expert_feed_forward,
        "two_expert_wide": 2 * hyper.expert_feed_forward,
    }


def _of_layer(hyper: Hyperparameters, layer: int) -> dict[str, int]:
    head = hyper.head(layer)
    inner, keys = head * hyper.heads[layer], head * hyper.kv_heads[layer]
    return {
        "head": head,
        "inner": inner,
        "keys": keys,
        "inner_and_keys_and_values": inner + 2 * keys,
        "wide": hyper.feed_forward[layer],
        "owner": int(layer < hyper.kv_layers),
    }


def _scales(block: str, found: set[str]) -> tuple[Rule, ...]:
    sizes = dict.fromkeys(SCALED, "one") | dict.fromkeys(SCALED_EXPERTS, "experts")
    return tuple(
        Rule(f"{name}.{kind}", size, optional=True)
        for name, size in sizes.items()
        if f"{block}{name}.weight" in found
        for kind in ("scale", "input_scale")
    )


def check_rules(
    header: Header, rules: tuple[Rule, ...], sizes: dict[str, int], block: str = ""
) -> Iterator[str]:
    """Names of the tensors that are there and fit their rule."""
    for rule in rules:
        if not _holds(rule, sizes):
            continue
        name, tensor = block + rule.name, header.tensors.get(block + rule.name)
        if tensor is not None:
            _check_form(header, name, tensor, _shape(rule, sizes))
            yield name
        elif not rule.optional:
            raise refuse(header, f"lacks the tensor {name}.")


def _check_form(header: Header, name: str, tensor: TensorInfo, shape: tuple[int, ...]) -> None:
    if _trimmed(tensor.shape) != _trimmed(shape):
        raise refuse(header, f"has the tensor {name} in a wrong shape.")
    if tensor.type not in (VECTOR_TYPES if len(shape) == 1 else MATRIX_TYPES):
        problem = f"has the tensor {name} in type {tensor.type}, which no kernel can use there."
        raise refuse(header, problem, "Get the model in another quantization.")


def _refuse_unknown(header: Header, known: set[str]) -> None:
    unknown = next((name for name in header.tensors if name not in known), None)
    if unknown is not None:
        problem = f"has a tensor {unknown!r} that llama.cpp does not expect in this place."
        raise refuse(header, problem, "Get the file as it was published for llama.cpp.")


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    end = len(shape)
    while end > 1 and shape[end - 1] == 1:
        end -= 1
    return shape[:end]
