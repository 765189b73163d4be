"""What is estimated for a placement, against what llama.cpp reserved for it on each device.

`benchmarks/compare_placements.py` wrote the figures.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemma_mtp.api import GPU_PIECE
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.gpu_buffers import rules_of
from gemma_mtp.models.machine import Device
from gemma_mtp.models.placement_plan import Plan, Wanted
from gemma_mtp.models.weights import from_shape

RESERVED = {
    backend: json.loads(Path(__file__).with_name(f"reserved_{backend}.json").read_text())
    for backend in ("CUDA", "Vulkan", "MTL")
}
LESS, MORE = 0.003, 0.06  # shares of what is reserved
LESS_FOR_LONGER_PIECES, MORE_FOR_LONGER_PIECES = 0.01, 0.21
"""These are not tried where they might just fit, and out where their context cannot be made."""
SMALL = 160 << 20  # bytes that an estimate may be more by on a device that holds little


Row = list[Any]
"""Context, type of the cache, flash attention, tokens at once, layers on devices, layers whose
experts are not, layers of each device, and bytes reserved on each."""


def estimated(backend: str, name: str, row: Row) -> list[int]:
    context, kv_type, flash_attention, piece, layers, kept, counts, _ = row
    entry = load_catalogue().find(name)
    assert entry is not None
    assert entry.shape is not None
    weights = from_shape(entry.shape, *RESERVED[backend][name][0])
    wanted = Wanted(context, kv_type, flash_attention, piece=piece)
    rules = replace(rules_of([backend]), maps=False)  # nothing was mapped
    plan = Plan(entry.shape, weights, wanted, layers, kept, rules)
    devices = [Device(f"{backend}{number}", "", 1, 1) for number in range(len(counts))]
    return [share.bytes for share in plan.divided(devices, counts).gpus]


def is_common(backend: str, name: str, row: Row) -> bool:
    """Whether it is what people have there: all of a CUDA card's cases, and of others the whole
    model on one device that attends as usual."""
    _, _, flash_attention, _, _, kept, counts, _ = row
    whole = counts == [RESERVED[backend][name][1][4]] and not kept
    return backend == "CUDA" or (flash_attention and whole)


@pytest.mark.parametrize("backend", RESERVED)
@pytest.mark.parametrize("name", RESERVED["CUDA"])
def test_never_less_than_llama_cpp_reserves_and_little_more(name: str, backend: str) -> None:
    rows = RESERVED[backend][name][1:]
    assert len(rows) > 30
    assert any(is_common(backend, name, row) for row in rows)
    for row in rows:
        less, more = LESS, MORE
        if row[3] > GPU_PIECE:
            less, more = LESS_FOR_LONGER_PIECES, MORE_FOR_LONGER_PIECES
        for estimate, reserved in zip(estimated(backend, name, row), row[-1], strict=True):
            assert reserved * (1 - less) <= estimate, row
            if is_common(backend, name, row):
                assert estimate <= max(reserved * (1 + more), reserved + SMALL), row


def test_what_is_mapped_whole_counts_its_tables_on_the_gpu_and_nowhere_else() -> None:
    entry = load_catalogue().find("e2b")
    assert entry is not None
    assert entry.shape is not None
    weights = from_shape(entry.shape, 2_604_548_236, 43_449_360)
    mapped, apart = (
        Plan(
            entry.shape, weights, Wanted(8192), 36, 0, replace(rules_of(["MTL0"]), maps=maps)
        ).divided([Device("MTL0", "", 1, 1)], [36])
        for maps in (True, False)
    )
    assert mapped.gpus[0].bytes - apart.gpus[0].bytes == weights.tables - weights.output
    assert apart.beside - mapped.beside == weights.tables
