"""A drafter that was written for another program, as llama.cpp would have it.

The weights of a drafter are the same for every program; what its file calls them is not.
ik_llama.cpp writes the architecture `gemma4_mtp`, the first converters wrote `gemma4_assistant`,
and a head of centroids, which this llama.cpp does not use, may be among the tensors. Where nothing
but names, keys and such tensors differ, `check` says what the file would be, and
`converted_drafter` writes it. Pure; reads no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from gemma_mtp.errors import BadPair
from gemma_mtp.models import pair_check
from gemma_mtp.models.gguf_header import Header
from gemma_mtp.models.header_keys import refuse
from gemma_mtp.models.pair_check import DRAFTER_ARCH, TARGET_ARCH

HINT = "Use the drafter that gemma-mtp pull gets."
ARCHITECTURE, ROPE = "general.architecture", "rope_freqs.weight"
# What llama.cpp calls it, by the name that another program has for it.
KEYS = dict.fromkeys(("n_embd_backbone", "backbone_embedding_length"), "embedding_length_out")
TENSORS = {
    "mtp.pre_projection.weight": "nextn.pre_projection.weight",
    "mtp_pre_proj.weight": "nextn.pre_projection.weight",
    "mtp.post_projection.weight": "nextn.post_projection.weight",
    "mtp_post_proj.weight": "nextn.post_projection.weight",
}
# Beginnings of names: the head of centroids, and a copy of the target's table of tokens.
UNUSED = (
    "masked_embd_",
    *(f"{place}{what}" for place in ("mtp.", "mtp_", "nextn.")
      for what in ("centroids", "token_ordering")),
    "mtp_input_embd.",
)  # fmt: skip
# A drafter reads the cache of its target, so that these are those of the target.
ROTATION = ("rope.dimension_count", "rope.dimension_count_swa", "rope.freq_base",
            "rope.freq_base_swa")  # fmt: skip
HEADS = ("attention.key_length", "attention.value_length", "attention.key_length_swa",
         "attention.value_length_swa")  # fmt: skip
SHARED = (*ROTATION, *HEADS, "context_length", "attention.sliding_window")


@dataclass(frozen=True)
class Translation:
    """The `header` that the file of a drafter is to have. `keys` and `tensors` have the name in
    the file as it is for each that it keeps; other keys are new, and the tensors `borrowed` are
    those of the target's file."""

    header: Header
    keys: dict[str, str]
    tensors: dict[str, str]
    borrowed: tuple[str, ...]


def check(target: Header, drafter: Header) -> Translation | None:
    """Check that the two belong together. What the drafter has to be written as for that; None
    where it is as llama.cpp wants it. Raises BadPair."""
    if not is_foreign(drafter):
        pair_check.check_pair(target, drafter)
        return None
    pair_check.check_target(target)
    found = translated(target, drafter)
    try:
        _check_rotation(target, found.header)
        pair_check.check_pair(target, found.header)
    except BadPair as error:
        if error.hint == pair_check.WRONG_DRAFTER:
            raise  # it is that of another model
        message = f"{drafter.path.name} was written for another program than llama.cpp, and cannot "
        raise BadPair(f"{message}be converted: it {_without(drafter, error)}", HINT) from error
    return found


def is_foreign(drafter: Header) -> bool:
    """Whether its file was written for another program."""
    if drafter.architecture in pair_check.FOREIGN_DRAFTERS:
        return True
    ours = drafter.architecture == DRAFTER_ARCH
    return ours and any(name in TENSORS or name.startswith(UNUSED) for name in drafter.tensors)


def translated(target: Header, drafter: Header) -> Translation:
    """The drafter as llama.cpp would have it, whether it could be loaded then or not."""
    keys, tensors = dict(_kept_keys(drafter)), dict(_kept_tensors(drafter))
    metadata = {new: drafter.metadata[old] for new, old in keys.items()}
    types = {new: drafter.types[old] for new, old in keys.items()}
    for key, value in _new_keys(target, metadata):
        metadata[key], types[key] = value, _type_of(value)
    infos = {new: drafter.tensors[old] for new, old in tensors.items()}
    borrowed = (ROPE,) if ROPE in target.tensors and ROPE not in infos else ()
    infos |= {name: target.tensors[name] for name in borrowed}
    header = replace(drafter, metadata=metadata, types=types, tensors=infos)
    return Translation(header, keys, tensors, borrowed)


def _kept_keys(drafter: Header) -> Iterator[tuple[str, str]]:
    """New and old names of the keys that stay."""
    prefix = f"{drafter.architecture}."
    for old in drafter.metadata:
        if old == ARCHITECTURE:
            continue
        own = old.removeprefix(prefix)
        if own == old:
            yield old, old
        elif own not in KEYS or f"{prefix}{KEYS[own]}" not in drafter.metadata:
            yield f"{DRAFTER_ARCH}.{KEYS.get(own, own)}", old


def _new_keys(target: Header, metadata: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is to be added, where it is not there: what follows from the rest or from the target."""
    yield ARCHITECTURE, DRAFTER_ARCH
    found = {f"{DRAFTER_ARCH}.nextn_predict_layers": metadata.get(f"{DRAFTER_ARCH}.block_count")}
    found |= {
        f"{DRAFTER_ARCH}.{key}": target.metadata.get(f"{TARGET_ARCH}.{key}") for key in SHARED
    }
    yield from ((k, value) for k, value in found.items() if k not in metadata and value is not None)


def _kept_tensors(drafter: Header) -> Iterator[tuple[str, str]]:
    """New and old names of the tensors that stay."""
    for old in drafter.tensors:
        new = TENSORS.get(old, old)
        if not old.startswith(UNUSED) and (new == old or new not in drafter.tensors):
            yield new, old


def _check_rotation(target: Header, drafter: Header) -> None:
    for key in ROTATION:
        ours = target.metadata.get(f"{TARGET_ARCH}.{key}")
        theirs = drafter.metadata.get(f"{DRAFTER_ARCH}.{key}")
        if None not in (ours, theirs) and ours != theirs:
            raise refuse(drafter, f"has {key} {theirs}, its target {ours}.")


def _without(drafter: Header, error: BadPair) -> str:
    return str(error).removeprefix(f"{drafter.path.name} ")


def _type_of(value: object) -> str:
    return {str: "str", float: "f32"}.get(type(value), "u32")
