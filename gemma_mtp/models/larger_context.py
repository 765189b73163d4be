"""How much longer the context of a loaded pair could be: as far as the model and the memory go.

What is said about a full context asks, in a chat and by `run`, and so does the server.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from gemma_mtp.api import PairInfo

if TYPE_CHECKING:
    from gemma_mtp.models.machine import Machine  # which `run` does without

USABLE = 0.9  # of the free memory; the buffers of a longer context grow, too, and others need some
CELLS = 256  # tokens; llama.cpp makes contexts in steps of so many


def larger_context(machine: Callable[[], Machine], info: PairInfo, tokens: int = 0) -> int | str:
    """The context size to ask for so that `tokens` and a reply fit; else why there is none, as a
    clause. `machine` says what is free."""
    if info.server:
        return "a larger context is the server's to give"
    size = info.larger_context(tokens)
    if size is None:
        most = info.context_limit or info.context_size
        return f"this model holds {most} tokens at the most"
    fits = _fitting(machine, info)
    if fits is None or fits >= size:
        return size
    if fits > max(tokens, info.context_size):
        return fits
    return f"the free memory holds {max(fits, info.context_size)} tokens at the most"


def _fitting(machine: Callable[[], Machine], info: PairInfo) -> int | None:
    """Tokens for which there is memory, if the cache grows in proportion, which is the most that it
    does; None where that is not known."""
    free: int | None = None
    with suppress(ImportError, OSError, RuntimeError):
        found = machine()
        free = found.memory_free
        if info.gpu_layers and not all(gpu.shares_memory for gpu in found.gpus):
            free = found.gpu_free + (free or 0)  # layers can make room for it on the GPU
    if free is None or not info.target_kv_bytes:
        return None
    grown = info.context_size * (1 + USABLE * free / info.target_kv_bytes)
    return int(grown) // CELLS * CELLS
