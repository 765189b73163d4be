"""What llama.cpp is told instead of what a file says, to save time and memory.

The logit soft cap of the target, cap * tanh(x / cap), is left out: llama.cpp computes a tanh for
each of 262,144 logits of every row, and only the few candidates need it (`decoding.sampler` applies
it). The drafter's vocabulary is not loaded: its tokens are the target's.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp

SOFTCAP = "gemma4.final_logit_softcapping"
DEFAULT_SOFTCAP = 30.0  # what llama.cpp takes for a file that does not say
INTEGER, FLOAT, TEXT = 0, 1, 3  # llama_model_kv_override_type in llama.h

Overrides = Any
"""A C array of overrides that ends in an empty one; keep it alive while a model is loading."""


def _overrides(*entries: tuple[int, str, Any]) -> Overrides:
    array = (llama_cpp.llama_model_kv_override * (len(entries) + 1))()
    fields = {INTEGER: "val_i64", FLOAT: "val_f64", TEXT: "val_str"}
    for slot, (tag, key, value) in zip(array, entries, strict=False):
        slot.tag, slot.key = tag, key.encode()
        setattr(slot.value, fields[tag], value)
    return array


TARGET_OVERRIDES = _overrides((FLOAT, SOFTCAP, 0.0))


def drafter_overrides(vocabulary: int) -> Overrides:
    """For a drafter of a target with `vocabulary` tokens."""
    return _overrides(
        (TEXT, "tokenizer.ggml.model", b"none"),
        (INTEGER, "gemma4-assistant.vocab_size", vocabulary),
    )


def softcap_of(model: Any) -> float:
    """The soft cap of the target's logits as the file has it, overridden or not; 0 is none."""
    buffer = ctypes.create_string_buffer(64)
    if llama_cpp.llama_model_meta_val_str(model, SOFTCAP.encode(), buffer, len(buffer)) < 0:
        return DEFAULT_SOFTCAP
    return float(buffer.value)
