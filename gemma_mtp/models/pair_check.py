"""Whether a target can be loaded, and whether a drafter belongs to it, from their headers.

llama.cpp ends the whole process on some well-formed but unsuitable files, so everything it would
trip over is checked here first. `foreign_drafter` asks, for all who have found a drafter. Knows how
Gemma 4 files are made up; reads no file itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gemma_mtp.errors import BadPair
from gemma_mtp.models.gguf_header import Header, count, vocabulary_size
from gemma_mtp.models.header_keys import TOKENIZER_KEYS, VOCABULARY_KIND, check_keys, refuse
from gemma_mtp.models.hyperparameters import Hyperparameters, hyperparameters
from gemma_mtp.models.tensor_rules import check_drafter_tensors, check_target_tensors

TARGET_ARCH = "gemma4"
DRAFTER_ARCH = "gemma4-assistant"

WRONG_DRAFTER = "Use the drafter published together with this target, or leave --drafter out."
FOREIGN_DRAFTERS = ("gemma4_assistant", "gemma4_mtp")  # see `foreign_drafter`
_NO_DRAFTERS = {
    TARGET_ARCH: ("is a target, not an MTP drafter.", WRONG_DRAFTER),
    "clip": ("is an image encoder (mmproj), not an MTP drafter.", WRONG_DRAFTER),
}
_DRAFTER = (
    "is an MTP drafter, not a target.",
    "Name the target file; its drafter goes to --drafter.",
)
_ENCODER = "is an image encoder (mmproj), not a language model.", "Name the model file next to it."
_NO_MODELS = {  # by general.type; llama.cpp writes it into each of these
    "adapter": ("is a LoRA adapter, not a whole model.", "Name the model that it was merged into."),
    "imatrix": ("is an importance matrix, not a model.", "Name the model file next to it."),
    "mmproj": _ENCODER,
    "vocab": ("holds a vocabulary and no weights.", "Name a model file."),
}
_NO_TARGETS = {"clip": _ENCODER} | dict.fromkeys((DRAFTER_ARCH, *FOREIGN_DRAFTERS), _DRAFTER)
# llama.cpp takes other ids that are out of range for missing; a text cannot do without the first.
BOS, EOS = "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"


def check_target(header: Header) -> None:
    """Raise `BadPair` unless llama.cpp can load this file as a Gemma 4 target with a drafter."""
    _check_target_arch(header)
    hyper = hyperparameters(header)
    if f"{TARGET_ARCH}.embedding_length_per_layer_input" not in header.metadata:
        raise refuse(header, "lacks the hyperparameter embedding_length_per_layer_input.")
    _check_vocabulary(header)
    if hyper.width_out != hyper.width:
        problem = f"widens its output to {hyper.width_out}, which no Gemma 4 target does."
        raise refuse(header, problem, "")
    if hyper.mtp_layers:
        raise refuse(header, "has MTP layers built in; a separate drafter is expected.", "")
    _check_layer_pattern(header, hyper)
    check_target_tensors(header, hyper)


def check_drafter(header: Header) -> None:
    """Raise `BadPair` unless llama.cpp can load this file as a Gemma 4 MTP drafter."""
    _check_drafter_arch(header)
    hyper = hyperparameters(header)
    # Of the vocabulary only its size counts: the drafter's tokens are those of its target.
    if not vocabulary_size(header):
        raise refuse(header, "has no vocabulary.")
    if hyper.mtp_layers != hyper.layers:
        raise refuse(header, "does not mark all its layers as MTP layers.", WRONG_DRAFTER)
    if f"{DRAFTER_ARCH}.embedding_length_out" not in header.metadata:
        raise refuse(header, "lacks the hyperparameter embedding_length_out.")
    if hyper.width_out == hyper.width:
        raise refuse(header, "does not say how wide its target is.", WRONG_DRAFTER)
    if not any(hyper.sliding) or all(hyper.sliding):
        raise refuse(header, "needs both sliding and full attention layers.", WRONG_DRAFTER)
    check_drafter_tensors(header, hyper)


def check_pair(target: Header, drafter: Header) -> None:
    """Check both files, then that the drafter can read this target's hidden states and cache."""
    check_target(target)
    check_drafter(drafter)
    ours, theirs = hyperparameters(target), hyperparameters(drafter)
    if theirs.width_out != ours.width:
        why = f"it is made for width {theirs.width_out}, the target has {ours.width}"
        raise _mismatch(target, drafter, why)
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


def _mismatch(target: Header, drafter: Header, why: str) -> BadPair:
    message = f"{drafter.path.name} does not belong to {target.path.name}: {why}."
    return BadPair(message, WRONG_DRAFTER)


def check_kind(metadata: Mapping[str, Any], name: str, role: str) -> None:
    """Raise `BadPair` where a file whose header begins so is no "target", or no "drafter"."""
    header = Header(Path(name), 3, dict(metadata), {}, {}, 0, 0)
    if not header.architecture:  # it may come later
        return
    if role == "target":
        _check_target_arch(header)
    elif role == "drafter" and not is_drafter_arch(header.architecture):
        _check_drafter_arch(header)


def _check_target_arch(header: Header) -> None:
    kind = header.metadata.get("general.type")
    if isinstance(kind, str) and kind in _NO_MODELS:
        raise refuse(header, *_NO_MODELS[kind])
    if header.architecture != TARGET_ARCH:
        other = f"is {_named(header)}, not Gemma 4.", "gemma-mtp runs Gemma 4 only."
        raise refuse(header, *_NO_TARGETS.get(header.architecture, other))


def _check_drafter_arch(header: Header) -> None:
    if header.architecture != DRAFTER_ARCH:
        other = f"is {_named(header)}, not a Gemma 4 MTP drafter.", WRONG_DRAFTER
        raise refuse(header, *_NO_DRAFTERS.get(header.architecture, other))


def is_drafter_arch(arch: str) -> bool:
    """Whether a file of this architecture is a drafter, one that llama.cpp can load or not."""
    return arch == DRAFTER_ARCH or arch in FOREIGN_DRAFTERS


def _named(header: Header) -> str:
    arch = header.architecture
    return f"a model of architecture {arch[:60]!r}" if arch else "a GGUF without an architecture"


def _check_vocabulary(header: Header) -> None:
    metadata, types, tokens = header.metadata, header.types, vocabulary_size(header)
    kind = metadata.get("tokenizer.ggml.model")
    if not tokens or types["tokenizer.ggml.tokens"] != "[str]" or kind in ("none", "no_vocab"):
        raise refuse(header, "has no vocabulary.")
    if kind != VOCABULARY_KIND:
        raise refuse(header, f"has a vocabulary of kind {str(kind)[:40]!r}, not Gemma 4's.")
    if types.get("tokenizer.ggml.merges") != "[str]":
        raise refuse(header, "has a vocabulary without merges.")
    for key, known in (("scores", ("[f32]", "[i32]")), ("token_type", ("[i32]",))):
        name = f"tokenizer.ggml.{key}"
        if name in metadata and (types[name] not in known or count(metadata[name]) < tokens):
            raise refuse(header, f"has fewer entries in {name} than tokens.")
    check_keys(header, TOKENIZER_KEYS)
    if header.repeated_tokens:
        raise refuse(header, "has the same token twice in its vocabulary.")
    if BOS not in metadata:
        raise refuse(header, f"does not say which token begins a text: {BOS} is missing.")
    for key in (BOS, EOS):
        if key in metadata and metadata[key] >= tokens:
            problem = f"says {metadata[key]} for {key}, which is none of its {tokens} tokens."
            raise refuse(header, problem)


def _check_layer_pattern(header: Header, hyper: Hyperparameters) -> None:
    """A drafter reads the last full and the last sliding layer that own a cache.

    Both the end of the model and the end of its cache-owning part must be sliding, then full:
    llama.cpp takes these positions on trust and otherwise aborts or reads a wrong layer.
    """
    hint = "Use an unmodified Gemma 4 model."
    for end in (hyper.kv_layers, hyper.layers):
        if end < 2 or hyper.sliding[end - 1] or not hyper.sliding[end - 2]:
            raise refuse(
                header,
                "has a layer pattern a drafter cannot share: a sliding layer, then a full one, "
                "must come last.",
                hint,
            )
    for layer in range(hyper.kv_layers, hyper.layers):
        if hyper.kv_heads[layer] != hyper.kv_heads[hyper.cache_of(layer)]:
            problem = (
                f"has a layer {layer} with other KV heads than the layer whose cache it reads."
            )
            raise refuse(header, problem, hint)


def _check_shared_heads(
    target: Header, drafter: Header, ours: Hyperparameters, theirs: Hyperparameters
) -> None:
    """The drafter sees the target's cache through its own KV head counts."""
    full, sliding = ours.kv_heads[ours.kv_layers - 1], ours.kv_heads[ours.kv_layers - 2]
    for layer in range(theirs.layers):
        expected = sliding if theirs.sliding[layer] else full
        if theirs.kv_heads[layer] != expected:
            why = f"layer {layer} expects {theirs.kv_heads[layer]} KV heads, the target has "
            raise _mismatch(target, drafter, f"{why}{expected}")
