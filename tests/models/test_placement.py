"""Where a pair is put: never more than fits, and not much less."""

from __future__ import annotations

import pytest

from gemma_mtp.api.placement import Placement
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.machine import Device
from gemma_mtp.models.placement import Wanted, choose, room
from gemma_mtp.models.weights import from_shape

CATALOGUE = load_catalogue()
MODELS = ("e2b", "e4b", "12b", "26b", "31b")
GIB = 1 << 30


def placed(name: str, *cards: float, context: int = 8192) -> Placement:
    entry = CATALOGUE.find(name)
    assert entry is not None
    assert entry.shape is not None
    weights = from_shape(entry.shape, entry.target.bytes or 0, entry.drafter.bytes or 0)
    return choose(entry.shape, weights, devices(*cards), Wanted(context))


def devices(*cards: float) -> list[Device]:
    return [
        Device(f"CUDA{n}", "a card", int(size * GIB * 0.95), int(size * GIB))
        for n, size in enumerate(cards)
    ]


@pytest.mark.parametrize("cards", [(6,), (8,), (12,), (16,), (24,), (32,), (8, 16)])
@pytest.mark.parametrize("name", MODELS)
def test_no_device_gets_more_than_it_has(name: str, cards: tuple[float, ...]) -> None:
    rooms = {device.name: room(device) for device in devices(*cards)}
    placement = placed(name, *cards)
    assert all(share.bytes <= rooms[share.name] for share in placement.gpus)
    assert sum(share.layers for share in placement.gpus) == placement.layers
