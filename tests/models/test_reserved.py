"""What is estimated for a placement, against what llama.cpp reserved for it on each device.

`benchmarks/compare_placements.py` wrote the figures.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.machine import Device
from gemma_mtp.models.placement_plan import Plan, Wanted
from gemma_mtp.models.weights import from_shape

RESERVED = json.loads(Path(__file__).with_name("reserved.json").read_text())
LESS, MORE = 0.003, 0.06  # shares of what is reserved
SMALL = 160 << 20  # bytes that an estimate may be more by on a device that holds little


Row = list[Any]
"""Context, type of the cache, flash attention, layers on devices, layers whose experts are not,
layers of each device, and bytes reserved on each."""


def estimated(name: str, row: Row) -> list[int]:
    context, kv_type, flash_attention, layers, kept, counts, _ = row
    entry = load_catalogue().find(name)
    assert entry is not None
    assert entry.shape is not None
    weights = from_shape(entry.shape, *RESERVED[name][0])
    plan = Plan(entry.shape, weights, Wanted(context, kv_type, flash_attention), layers, kept)
    devices = [Device(f"CUDA{number}", "", 1, 1) for number in range(len(counts))]
    return [share.bytes for share in plan.divided(devices, counts).gpus]


@pytest.mark.parametrize("name", RESERVED)
def test_never_less_than_llama_cpp_reserves_and_little_more(name: str) -> None:
    rows = RESERVED[name][1:]
    assert len(rows) > 30
    for row in rows:
        for estimate, reserved in zip(estimated(name, row), row[-1], strict=True):
            assert reserved * (1 - LESS) <= estimate, row
            assert estimate <= max(reserved * (1 + MORE), reserved + SMALL), row
