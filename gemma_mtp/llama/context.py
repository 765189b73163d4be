"""A context: a model's working memory, with room for one sequence and the rows of one round.

Knows parameters, not what is evaluated.
"""

from __future__ import annotations

from typing import Any

import llama_cpp

from gemma_mtp.api import MAX_WIDTH, DeviceOptions, LoadOptions
from gemma_mtp.errors import DoesNotFit
from gemma_mtp.llama import shortlist
from gemma_mtp.llama.log import log
from gemma_mtp.settings import KV_TYPES

# Without flash attention the scores of a whole piece are kept: 2 kB for each cell and 8 heads.
LARGE_CONTEXT = 32_768


def flash_attention(options: LoadOptions, on_cpu: bool, context: int, device: DeviceOptions) -> Any:
    """llama.cpp's setting: as the user says, else as was chosen for the device; off on a CPU, where
    it is the slower way to attend to 16-bit keys with several tokens at once, and what makes a lone
    row differ from others."""
    wanted = options.flash_attn
    if wanted == "auto" and device.flash_attention is not None:
        wanted = "on" if device.flash_attention else "off"
    plain = options.kv_type in ("f16", "f32")
    if wanted == "auto" and on_cpu and plain and context <= LARGE_CONTEXT:
        wanted = "off"
    return {
        "auto": llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO,
        "on": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        "off": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    }[wanted]


def context_params(
    options: LoadOptions, threads: int, device: DeviceOptions, context: int, on_cpu: bool
) -> Any:
    """Parameters of a context of so many tokens that evaluates up to `device.piece` of them at
    once."""
    piece = device.piece
    params = llama_cpp.llama_context_default_params()
    params.n_batch = params.n_ubatch = max(piece, MAX_WIDTH) if piece > 1 else 1
    # By default room for n_batch rows of 262k logits would be reserved.
    params.n_outputs_max = params.n_outputs_max_per_seq = MAX_WIDTH if piece > 1 else 1
    params.n_threads = params.n_threads_batch = threads
    params.type_k = params.type_v = KV_TYPES[options.kv_type].number
    params.swa_full = False
    params.no_perf = True
    params.n_ctx = context
    params.flash_attn_type = flash_attention(options, on_cpu, context, device)
    return params


def new_context(model: Any, params: Any, whose: str, shortlists: bool) -> tuple[Any, int]:
    """The context, which gives `shortlists` where it is asked for them, and the bytes of its KV
    cache, which `log` counts with those of each device."""
    before = log.kv_bytes
    log.forget()
    make = shortlist.context if shortlists else llama_cpp.llama_init_from_model
    context = make(model, params)
    if not context:
        raise DoesNotFit(
            f"llama.cpp could not make the {whose}'s context of {params.n_ctx} tokens: {log.why()}"
        )
    return context, log.kv_bytes - before
