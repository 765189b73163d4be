"""Where a pair is put: never more than fits, not much less, and what llama.cpp then reserves."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from gemma_mtp.api.placement import Placement
from gemma_mtp.errors import DoesNotFit
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.machine import Device, Machine
from gemma_mtp.models.placement import Wanted, choose, room, still_fits
from gemma_mtp.models.shape import Shape
from gemma_mtp.models.weights import Weights, from_shape

CATALOGUE = load_catalogue()
MODELS = ("e2b", "e4b", "12b", "26b", "31b")
CONTEXTS = (8192, 32_768, 131_072)
GIB = 1 << 30
PLENTY = Machine(128 * GIB, 128 * GIB, 8)


def cards(*sizes: float, kind: str = "CUDA") -> tuple[Device, ...]:
    """Cards of so many GiB, a twentieth of which the desktop has."""
    return tuple(
        Device(f"{kind}{number}", "a card", int(size * GIB * 0.95), int(size * GIB))
        for number, size in enumerate(sizes)
    )


def shared(size: float, memory: float) -> tuple[Device, ...]:
    """A GPU that may use `size` of the machine's `memory`, in GiB."""
    return (Device("MTL0", "a chip", int(size * GIB), int(size * GIB), shares_memory=True),)


MACHINES: dict[str, tuple[tuple[Device, ...], Machine]] = {
    **{f"{size} GB": (cards(size), PLENTY) for size in (6, 8, 12, 16, 24, 32)},
    "two of 12 GB": (cards(12, 12), PLENTY),
    "8 and 24 GB": (cards(8, 24), PLENTY),
    "Apple, 16 GB": (shared(10.7, 16), Machine(12 * GIB, 16 * GIB, 8)),
    "Apple, 32 GB": (shared(21.3, 32), Machine(26 * GIB, 32 * GIB, 8)),
    "integrated, 16 GB": (shared(8, 16), Machine(12 * GIB, 16 * GIB, 8)),
}


def model(name: str) -> tuple[Shape, Weights]:
    entry = CATALOGUE.find(name)
    assert entry is not None
    assert entry.shape is not None
    sizes = entry.target.bytes or 0, entry.drafter.bytes or 0
    return entry.shape, from_shape(entry.shape, *sizes)


def on_gpu(placement: Placement) -> tuple[int, int]:
    """What is more where more of a model is on GPUs."""
    return placement.layers, -placement.cpu_experts


def fits(placement: Placement, devices: tuple[Device, ...]) -> bool:
    rooms = {device.name: room(device) for device in devices}
    return all(share.bytes <= rooms[share.name] for share in placement.gpus)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("where", MACHINES)
def test_as_much_as_fits_and_no_more(where: str, name: str, context: int) -> None:
    devices, machine = MACHINES[where]
    wanted = Wanted(context)
    try:
        placement = choose(*model(name), devices, wanted, machine)
    except DoesNotFit:
        assert sum(device.total for device in devices) + machine.memory_total < 60 * GIB  # type: ignore[operator]
        return
    assert fits(placement, devices)
    assert sum(share.layers for share in placement.gpus) == placement.layers
    assert all(share.layers for share in placement.gpus)
    if any(device.shares_memory for device in devices) and placement.gpus:
        taken = sum(share.bytes for share in placement.gpus) + placement.beside
        assert taken <= (machine.memory_free or 0)
    if more := one_more(placement, wanted):
        larger = choose(*model(name), devices, more)
        assert on_gpu(larger) > on_gpu(placement)
        beyond = not fits(larger, devices)
        short = larger.beside + sum(share.bytes for share in larger.gpus)
        assert beyond or short > (machine.memory_free or 0)


def one_more(placement: Placement, wanted: Wanted) -> Wanted | None:
    """The same with the next layer, or the experts of one, on a GPU as well."""
    if placement.is_whole or not placement.gpus:
        return None
    if placement.layers == placement.of:
        fewer = placement.cpu_experts - 1
        return replace(wanted, gpu_layers=-1, cpu_experts=fewer)
    return replace(
        wanted, gpu_layers=placement.layers + 1, cpu_experts=placement.cpu_experts or None
    )


def test_some_cards_and_what_goes_on_them() -> None:
    """For a person to look at: (layers, experts that stay) of each size with 8k tokens."""
    found = {
        (name, where): on_gpu(choose(*model(name), *MACHINES[where][:1], Wanted(8192)))
        for name in ("12b", "26b", "31b")
        for where in ("6 GB", "8 GB", "12 GB", "16 GB", "24 GB")
    }
    assert found["12b", "8 GB"] == (49, 0)
    assert found["26b", "16 GB"] == (31, 0)
    assert found["31b", "24 GB"] == (61, 0)
    assert 30 < found["12b", "6 GB"][0] < 40
    assert 5 < -found["26b", "12 GB"][1] < 12
    assert 12 < -found["26b", "8 GB"][1] < 22
    assert 30 < found["31b", "12 GB"][0] < 40


@pytest.mark.parametrize("name", MODELS)
def test_more_memory_holds_no_less_and_more_context_leaves_no_more(name: str) -> None:
    sizes = [size / 2 for size in range(2, 70)]
    for context in CONTEXTS:
        held = [on_gpu(choose(*model(name), cards(size), Wanted(context))) for size in sizes]
        assert held == sorted(held)
        assert held[0] < held[-1] == (model(name)[0].layers + 1, 0)
    for size in (4, 6, 8, 12, 16):
        longer = [
            on_gpu(choose(*model(name), cards(size), Wanted(context)))
            for context in range(4096, 131_073, 4096)
        ]
        assert all(a >= b for a, b in pairwise(longer))


@pytest.mark.parametrize("seed", range(60))
def test_any_devices_are_never_filled_beyond_what_they_have(seed: int) -> None:
    chance = random.Random(seed)
    devices = cards(*(chance.uniform(0.5, 40) for _ in range(chance.randint(1, 4))))
    shape, weights = model(chance.choice(MODELS))
    wanted = Wanted(
        chance.choice((2048, 8192, 50_000, 131_072)),
        chance.choice(("f16", "q8_0", "q4_0")),
        gpu_memory=chance.choice((None, chance.randint(1, 40 * GIB))),
    )
    placement = choose(shape, weights, devices, wanted)
    assert fits(placement, devices)
    taken = sum(share.bytes for share in placement.gpus)
    assert wanted.gpu_memory is None or taken <= wanted.gpu_memory
    readers = placement.of - placement.layers <= shape.owners - 1
    assert bool(placement.drafter) == (bool(placement.gpus) and readers)
    if len(devices) == 1:
        larger = tuple(replace(d, free=d.free + GIB, total=d.total + GIB) for d in devices)
        assert on_gpu(choose(shape, weights, larger, wanted)) >= on_gpu(placement)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("sizes", [(8, 8), (3, 20), (20, 3), (2, 2, 2)])
def test_the_drafter_is_with_all_that_it_reads(name: str, sizes: tuple[float, ...]) -> None:
    """Where a layer whose cache it reads is on a device that it has not, llama.cpp ends."""
    shape, weights = model(name)
    placement = choose(shape, weights, cards(*sizes), Wanted(32_768))
    holders, first = {}, placement.of - placement.layers
    for share in placement.gpus:
        holders.update(dict.fromkeys(range(first, first + share.layers), share.name))
        first += share.layers
    read = [holders.get(layer, "") for layer in (shape.owners - 2, shape.owners - 1)]
    if placement.layers > 3:
        assert read == [placement.drafter] * 2


def test_a_pair_that_one_card_holds_is_on_one() -> None:
    placement = choose(*model("12b"), cards(8, 24), Wanted(8192))
    assert [share.name for share in placement.gpus] == ["CUDA1"]
    both = choose(*model("31b"), cards(12, 12), Wanted(8192))
    assert both.is_whole
    first, second = both.gpus
    assert first.bytes == pytest.approx(second.bytes, rel=0.15)


def test_a_card_is_preferred_to_what_shares_the_machines_memory() -> None:
    devices = (*shared(12, 16), *cards(6))
    placement = choose(*model("12b"), devices, Wanted(8192))
    assert {share.name for share in placement.gpus} == {"CUDA0"}


def test_what_was_asked_for_is_done() -> None:
    shape, weights = model("26b")
    few = choose(shape, weights, cards(24), Wanted(8192, gpu_layers=5))
    assert (few.layers, few.cpu_experts, few.drafter) == (5, 0, "CUDA0")
    kept = choose(shape, weights, cards(24), Wanted(8192, cpu_experts=12))
    assert (kept.layers, kept.cpu_experts) == (31, 12)
    all_kept = choose(shape, weights, cards(24), Wanted(8192, cpu_experts=10**6))
    assert all_kept.cpu_experts == 30
    none = choose(shape, weights, cards(24), Wanted(8192, gpu_layers=0))
    assert (none.layers, none.gpus) == (0, ())
    # More than fits by this estimate: loading will tell.
    much = choose(shape, weights, cards(6), Wanted(8192, gpu_layers=-1, cpu_experts=0))
    assert much.is_whole
    assert not fits(much, cards(6))


def test_layers_and_a_limit_that_exclude_each_other_are_refused() -> None:
    wanted = Wanted(8192, gpu_layers=40, gpu_memory=3 * GIB)
    with pytest.raises(DoesNotFit, match=r"40 layers take 6\.\d GB on the GPU, and 3\.2 GB may"):
        choose(*model("12b"), cards(24), wanted)


def test_a_limit_is_kept_to() -> None:
    for limit in range(1, 8):
        wanted = Wanted(8192, gpu_memory=limit * 10**9)
        placement = choose(*model("12b"), cards(24), wanted)
        taken = sum(share.bytes for share in placement.gpus)
        assert limit - 0.45 < taken / 1e9 <= limit


def test_what_the_whole_machine_cannot_hold_is_refused() -> None:
    with pytest.raises(DoesNotFit, match=r"of memory beside the GPU, and the machine has 8\.6 GB"):
        choose(*model("31b"), cards(6), Wanted(8192), Machine(6 * GIB, 8 * GIB, 4))
    with pytest.raises(DoesNotFit, match=r"needs \d+\.\d GB of memory, and the machine has"):
        choose(*model("31b"), (), Wanted(8192), Machine(6 * GIB, 8 * GIB, 4))


def test_a_longer_piece_is_for_room_that_is_left() -> None:
    """Where it has room, a placement that was made for it is the same one; where it has none, that
    would have moved something."""
    seen = set()
    for name in MODELS:
        shape, weights = model(name)
        for gpus, machine in MACHINES.values():
            try:
                placement = choose(shape, weights, gpus, Wanted(8192), machine)
                longer = choose(shape, weights, gpus, Wanted(8192, piece=2048), machine)
            except DoesNotFit:
                continue
            if not placement.gpus:
                continue
            wanted = Wanted(8192, piece=2048)
            roomy = still_fits(shape, weights, gpus, wanted, placement, machine)
            assert still_fits(shape, weights, gpus, Wanted(8192), placement, machine)
            if len(placement.gpus) == 1:
                assert roomy == (longer.key == placement.key), (name, gpus)
            seen.add(roomy)
    assert seen == {True, False}


def test_a_limit_counts_for_a_longer_piece_too_and_a_device_that_is_gone_has_no_room() -> None:
    shape, weights = model("e2b")
    gpus = cards(24)
    placement = choose(shape, weights, gpus, Wanted(8192))
    taken = sum(share.bytes for share in placement.gpus)
    for piece, limit, roomy in ((2048, None, True), (512, taken, True), (2048, taken, False)):
        wanted = Wanted(8192, gpu_memory=limit, piece=piece)
        assert still_fits(shape, weights, gpus, wanted, placement) == roomy
    assert not still_fits(shape, weights, (), Wanted(8192), placement)
