"""Says whether a target can be loaded, and whether a drafter belongs to it, from their headers.

llama.cpp ends the whole process on some well-formed but unsuitable files, so everything it would
trip over is checked here first. Knows how Gemma 4 files are made up; reads no file itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gemma_mtp.errors import BadPair
from gemma_mtp.gguf import PULL_AGAIN, Header, count, vocabulary_size

TARGET_ARCH = "gemma4"
DRAFTER_ARCH = "gemma4-assistant"

MAX_LAYERS = 512  # llama.cpp's limits: it aborts beyond them
MAX_EXPERTS = 1024
MIN_CONTEXT = 256  # llama.cpp shrinks its batches to the context and aborts on larger ones
NOT_FOR_MATRICES = {"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"}  # no kernel multiplies them

WRONG_DRAFTER = "Use the drafter published together with this target, or leave --drafter out."


def check_target(header: Header) -> None:
    """Raise `BadPair` unless llama.cpp can load this file as a Gemma 4 target with a drafter."""
    _check_target_arch(header)
    hyper = _hyperparameters(header)
    _check_vocabulary(header)
    out = _number(header, "embedding_length_out", hyper.width)
    if out not in (0, hyper.width):
        raise _refuse(header, f"widens its output to {out}, which no Gemma 4 target does.")
    if _number(header, "nextn_predict_layers", 0):
        raise _refuse(header, "has MTP layers built in; a separate drafter is expected.")
    _check_layer_pattern(header, hyper)
    _check_tensors(header, _target_tensors(header, hyper))


def check_drafter(header: Header) -> None:
    """Raise `BadPair` unless llama.cpp can load this file as a Gemma 4 MTP drafter."""
    _check_drafter_arch(header)
    if any(name.startswith("masked_embd_") for name in header.tensors):
        raise _refuse(
            header,
            "still holds masked_embd_* tensors, which this llama.cpp cannot load.",
            "Use a drafter converted without the centroid head; gemma-mtp pull gets one.",
        )
    hyper = _hyperparameters(header)
    _check_vocabulary(header)
    if _number(header, "nextn_predict_layers", 0) != hyper.layers:
        raise _refuse(header, "does not mark all its layers as MTP layers.", WRONG_DRAFTER)
    if _number(header, "embedding_length_out") == hyper.width:
        raise _refuse(header, "does not say how wide its target is.", WRONG_DRAFTER)
    if not any(hyper.sliding) or all(hyper.sliding):
        raise _refuse(header, "needs both sliding and full attention layers.", WRONG_DRAFTER)
    _check_tensors(header, _drafter_tensors(header, hyper))


def check_pair(target: Header, drafter: Header) -> None:
    """Check both files, then that the drafter can read this target's hidden states and cache."""
    check_target(target)
    check_drafter(drafter)
    ours, theirs = _hyperparameters(target), _hyperparameters(drafter)
    out = _number(drafter, "embedding_length_out")
    if out != ours.width:
        raise _mismatch(target, drafter, f"it is made for width {out}, the target has {ours.width}")
    vocabulary = vocabulary_size(drafter), vocabulary_size(target)
    if vocabulary[0] != vocabulary[1]:
        raise _mismatch(target, drafter, "vocabularies of {} and {} tokens".format(*vocabulary))
    for name, mine, other in (
        ("attention head", ours.head_full, theirs.head_full),
        ("sliding attention head", ours.head_swa, theirs.head_swa),
    ):
        if mine != other:
            raise _mismatch(target, drafter, f"{name} sizes {other} and {mine}")
    _check_shared_heads(target, drafter, ours, theirs)


@dataclass(frozen=True)
class _Hyper:
    """What the loader derives from the metadata; lists have one entry for each layer."""

    layers: int
    width: int
    heads: list[int]
    kv_heads: list[int]
    feed_forward: list[int]
    sliding: list[bool]
    head_full: int
    head_swa: int
    experts: int
    kv_layers: int

    def head(self, layer: int) -> int:
        return self.head_swa if self.sliding[layer] else self.head_full


def _refuse(header: Header, problem: str, hint: str = "") -> BadPair:
    return BadPair(f"{header.path.name} {problem}", hint)


def _mismatch(target: Header, drafter: Header, why: str) -> BadPair:
    message = f"{drafter.path.name} does not belong to {target.path.name}: {why}."
    return BadPair(message, WRONG_DRAFTER)


def _check_target_arch(header: Header) -> None:
    arch = header.architecture
    if arch == TARGET_ARCH:
        return
    if arch == "clip":
        raise _refuse(
            header,
            "is an image encoder (mmproj), not a language model.",
            "Name the model file next to it.",
        )
    if is_drafter_arch(arch):
        raise _refuse(
            header,
            "is an MTP drafter, not a target.",
            "Name the target file; its drafter goes to --drafter.",
        )
    raise _refuse(header, f"is {_named(arch)}, not Gemma 4.", "gemma-mtp runs Gemma 4 only.")


def _check_drafter_arch(header: Header) -> None:
    arch = header.architecture
    if arch == DRAFTER_ARCH:
        return
    hint = WRONG_DRAFTER
    if arch == TARGET_ARCH:
        problem = "is a target, not an MTP drafter."
    elif arch == "gemma4_assistant":
        problem = "was converted with the name gemma4_assistant; llama.cpp wants gemma4-assistant."
        hint = "Convert it again with llama.cpp, or use the drafter that gemma-mtp pull gets."
    elif arch == "gemma4_mtp":
        problem = "is in the gemma4_mtp layout of another program, which llama.cpp cannot load."
        hint = "Use the drafter that gemma-mtp pull gets."
    elif arch == "clip":
        problem = "is an image encoder (mmproj), not an MTP drafter."
    else:
        problem = f"is {_named(arch)}, not a Gemma 4 MTP drafter."
    raise _refuse(header, problem, hint)


def is_drafter_arch(arch: str) -> bool:
    """Whether a file of this architecture is a drafter, one that llama.cpp can load or not."""
    return arch in (DRAFTER_ARCH, "gemma4_assistant", "gemma4_mtp")


def _named(arch: str) -> str:
    return f"a model of architecture {arch[:60]!r}" if arch else "a GGUF without an architecture"


def _number(header: Header, key: str, default: int | None = None) -> int:
    value = header.metadata.get(f"{header.architecture}.{key}", default)
    if value is None:
        raise _refuse(header, f"lacks the hyperparameter {key}.", PULL_AGAIN)
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise _refuse(header, f"has an unusable {key}.", PULL_AGAIN)
    return value


def _positive(header: Header, key: str, default: int | None = None) -> int:
    value = _number(header, key, default)
    if value < 1:
        raise _refuse(header, f"has an unusable {key} of {value}.", PULL_AGAIN)
    return value


def _per_layer(header: Header, key: str, layers: int) -> list[int]:
    """A single number for all layers, or a list with one for each."""
    value = header.metadata.get(f"{header.architecture}.{key}")
    if not isinstance(value, list):
        return [_positive(header, key)] * layers
    good = len(value) == layers and all(type(n) is int and 0 < n < 1 << 32 for n in value)
    if not good:
        raise _refuse(header, f"has an unusable {key}.", PULL_AGAIN)
    return value


def _hyperparameters(header: Header) -> _Hyper:
    layers = _positive(header, "block_count")
    if layers > MAX_LAYERS:
        raise _refuse(header, f"claims {layers} layers, which is more than llama.cpp can hold.")
    width = _positive(header, "embedding_length")
    _positive(header, "attention.sliding_window")
    if _number(header, "context_length") < MIN_CONTEXT:
        raise _refuse(header, f"claims a context of less than {MIN_CONTEXT} tokens.", PULL_AGAIN)
    heads = _per_layer(header, "attention.head_count", layers)
    kv_key = "attention.head_count_kv"
    has_kv = f"{header.architecture}.{kv_key}" in header.metadata
    head_full, head_swa = _head_sizes(header, width // heads[0])
    _check_scalars(header)
    hyper = _Hyper(
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=_per_layer(header, kv_key, layers) if has_kv else heads,
        feed_forward=_per_layer(header, "feed_forward_length", layers),
        sliding=_sliding(header, layers),
        head_full=head_full,
        head_swa=head_swa,
        experts=_experts(header, layers),
        kv_layers=layers - _number(header, "attention.shared_kv_layers", 0),
    )
    if any(h % kv for h, kv in zip(hyper.heads, hyper.kv_heads, strict=True)):
        raise _refuse(header, "has head counts that are no multiple of its KV heads.", PULL_AGAIN)
    return hyper


def _head_sizes(header: Header, default: int) -> tuple[int, int]:
    """Keys and values must be equally wide, and rotate at most what they have."""
    full = _positive(header, "attention.key_length", default)
    swa = _positive(header, "attention.key_length_swa")
    values = (
        _positive(header, "attention.value_length", default),
        _positive(header, "attention.value_length_swa"),
    )
    if values != (full, swa):
        raise _refuse(header, "has keys and values of different sizes.", PULL_AGAIN)
    rotated = _positive(header, "rope.dimension_count", full)  # 0 would never end
    rotated_swa = _positive(header, "rope.dimension_count_swa", rotated)
    if rotated > full or rotated_swa > swa or rotated % 2 or rotated_swa % 2:
        raise _refuse(header, "has a rotary size that does not fit its heads.", PULL_AGAIN)
    return full, swa


def _check_scalars(header: Header) -> None:
    arch = header.architecture
    epsilon = header.metadata.get(f"{arch}.attention.layer_norm_rms_epsilon")
    if not isinstance(epsilon, float) or not 0 <= epsilon < 1:
        raise _refuse(header, "has no usable attention.layer_norm_rms_epsilon.", PULL_AGAIN)
    scaling = header.metadata.get(f"{arch}.rope.scaling.type", "linear")
    if scaling not in ("none", "linear", "yarn", "longrope"):
        raise _refuse(header, "has an unknown rope.scaling.type.", PULL_AGAIN)


def _sliding(header: Header, layers: int) -> list[bool]:
    """Which layers use sliding attention; those not listed use full attention."""
    pattern = header.metadata.get(f"{header.architecture}.attention.sliding_window_pattern")
    if not isinstance(pattern, list) or len(pattern) > MAX_LAYERS:
        raise _refuse(header, "has no usable attention.sliding_window_pattern.", PULL_AGAIN)
    if not all(isinstance(value, int) for value in pattern):
        raise _refuse(header, "has no usable attention.sliding_window_pattern.", PULL_AGAIN)
    sliding = [bool(value) for value in pattern[:layers]]
    return sliding + [False] * (layers - len(sliding))


def _experts(header: Header, layers: int) -> int:
    experts = _number(header, "expert_count", 0)
    groups = _number(header, "expert_group_count", 0)
    used = header.metadata.get(f"{header.architecture}.expert_used_count", 0)
    counts = used if isinstance(used, list) else [used]
    good = (
        experts <= MAX_EXPERTS
        and len(counts) in (1, layers)
        and all(type(n) is int and 0 <= n <= experts for n in counts)
        and any(counts) == (experts > 0)
        and groups <= 1
        and groups < max(experts, 1)
    )
    if not good:
        raise _refuse(header, "has expert counts that llama.cpp cannot use.", PULL_AGAIN)
    return experts


def _check_vocabulary(header: Header) -> None:
    model = header.metadata.get("tokenizer.ggml.model")
    tokens = vocabulary_size(header)
    if not tokens or not isinstance(model, str) or model in ("none", "no_vocab"):
        raise _refuse(header, "has no vocabulary.", PULL_AGAIN)
    if model == TARGET_ARCH and "tokenizer.ggml.merges" not in header.metadata:
        raise _refuse(header, "has a vocabulary without merges.", PULL_AGAIN)
    for key in ("tokenizer.ggml.scores", "tokenizer.ggml.token_type"):
        if key in header.metadata and count(header.metadata[key]) < tokens:
            raise _refuse(header, f"has fewer entries in {key} than tokens.", PULL_AGAIN)
    if header.repeated_tokens:
        raise _refuse(header, "has the same token twice in its vocabulary.", PULL_AGAIN)


def _check_layer_pattern(header: Header, hyper: _Hyper) -> None:
    """A drafter reads the last full and the last sliding layer that own a cache.

    Both the end of the model and the end of its cache-owning part must be sliding, then full:
    llama.cpp takes these positions on trust and otherwise aborts or reads a wrong layer.
    """
    for end in (hyper.kv_layers, hyper.layers):
        if end < 2 or hyper.sliding[end - 1] or not hyper.sliding[end - 2]:
            raise _refuse(
                header,
                "has a layer pattern a drafter cannot share: a sliding layer, then a full one, "
                "must come last.",
                "Use an unmodified Gemma 4 model.",
            )


def _check_shared_heads(target: Header, drafter: Header, ours: _Hyper, theirs: _Hyper) -> None:
    """The drafter sees the target's cache through its own KV head counts."""
    full, sliding = ours.kv_heads[ours.kv_layers - 1], ours.kv_heads[ours.kv_layers - 2]
    for layer in range(theirs.layers):
        expected = sliding if theirs.sliding[layer] else full
        if theirs.kv_heads[layer] != expected:
            why = f"layer {layer} expects {theirs.kv_heads[layer]} KV heads, the target has "
            raise _mismatch(target, drafter, f"{why}{expected}")


_Expected = Iterator[tuple[str, tuple[int, ...]]]


def _target_tensors(header: Header, hyper: _Hyper) -> _Expected:
    width, vocabulary = hyper.width, vocabulary_size(header)
    yield "token_embd.weight", (width, vocabulary)
    yield "output_norm.weight", (width,)
    if "output.weight" in header.tensors:
        yield "output.weight", (width, vocabulary)
    yield from _rope_tensor(hyper)
    per_layer = _number(header, "embedding_length_per_layer_input")
    if per_layer:
        yield "per_layer_token_embd.weight", (per_layer * hyper.layers, vocabulary)
        yield "per_layer_model_proj.weight", (width, per_layer * hyper.layers)
        yield "per_layer_proj_norm.weight", (per_layer,)
    for layer in range(hyper.layers):
        block = f"blk.{layer}"
        yield from _layer_tensors(hyper, layer, fused=f"{block}.attn_qkv.weight" in header.tensors)
        if layer < hyper.kv_layers:
            yield f"{block}.attn_k_norm.weight", (hyper.head(layer),)
        if f"{block}.layer_output_scale.weight" in header.tensors:
            yield f"{block}.layer_output_scale.weight", (1,)
        if per_layer:
            yield f"{block}.inp_gate.weight", (width, per_layer)
            yield f"{block}.proj.weight", (per_layer, width)
            yield f"{block}.post_norm.weight", (width,)
        if f"{block}.ffn_gate_inp.weight" in header.tensors:
            yield from _expert_tensors(header, hyper, layer)


def _drafter_tensors(header: Header, hyper: _Hyper) -> _Expected:
    width, out = hyper.width, _number(header, "embedding_length_out")
    yield "token_embd.weight", (width, vocabulary_size(header))
    yield "output_norm.weight", (width,)
    yield "nextn.pre_projection.weight", (2 * out, width)
    yield "nextn.post_projection.weight", (width, out)
    yield from _rope_tensor(hyper)
    for layer in range(hyper.layers):
        yield from _layer_tensors(hyper, layer, queries_only=True)
        yield f"blk.{layer}.layer_output_scale.weight", (1,)


def _rope_tensor(hyper: _Hyper) -> _Expected:
    if not all(hyper.sliding):
        yield "rope_freqs.weight", (hyper.head_full // 2,)


def _layer_tensors(
    hyper: _Hyper, layer: int, fused: bool = False, queries_only: bool = False
) -> _Expected:
    block, width, head = f"blk.{layer}", hyper.width, hyper.head(layer)
    inner, keys, wide = (
        head * hyper.heads[layer],
        head * hyper.kv_heads[layer],
        hyper.feed_forward[layer],
    )
    for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
        yield f"{block}.{norm}.weight", (width,)
    yield f"{block}.attn_q_norm.weight", (head,)
    if fused:
        yield f"{block}.attn_qkv.weight", (width, inner + 2 * keys)
    else:
        yield f"{block}.attn_q.weight", (width, inner)
        if not queries_only and layer < hyper.kv_layers:
            yield f"{block}.attn_k.weight", (width, keys)
    yield f"{block}.attn_output.weight", (inner, width)
    yield f"{block}.ffn_gate.weight", (width, wide)
    yield f"{block}.ffn_up.weight", (width, wide)
    yield f"{block}.ffn_down.weight", (wide, width)


def _expert_tensors(header: Header, hyper: _Hyper, layer: int) -> _Expected:
    block, width, experts = f"blk.{layer}", hyper.width, hyper.experts
    wide = _per_layer(header, "expert_feed_forward_length", hyper.layers)[layer]
    yield f"{block}.ffn_gate_inp.weight", (width, experts)
    yield f"{block}.ffn_gate_inp.scale", (width,)
    for norm in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"):
        yield f"{block}.{norm}.weight", (width,)
    if f"{block}.ffn_gate_up_exps.weight" in header.tensors:
        yield f"{block}.ffn_gate_up_exps.weight", (width, 2 * wide, experts)
    else:
        yield f"{block}.ffn_gate_exps.weight", (width, wide, experts)
        yield f"{block}.ffn_up_exps.weight", (width, wide, experts)
    yield f"{block}.ffn_down_exps.weight", (wide, width, experts)


def _check_tensors(header: Header, expected: _Expected) -> None:
    for name, shape in expected:
        tensor = header.tensors.get(name)
        if tensor is None:
            raise _refuse(header, f"lacks the tensor {name}.", PULL_AGAIN)
        if _trimmed(tensor.shape) != _trimmed(shape):
            raise _refuse(header, f"has the tensor {name} in a wrong shape.", PULL_AGAIN)
        vector = len(shape) == 1
        if tensor.type != "F32" if vector else tensor.type in NOT_FOR_MATRICES:
            raise _refuse(header, f"has the tensor {name} in type {tensor.type}, which no kernel "
                          "can use there.")  # fmt: skip


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    end = len(shape)
    while end > 1 and shape[end - 1] == 1:
        end -= 1
    return shape[:end]
