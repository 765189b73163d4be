"""Which weights of a pair go to which device, so that as many as possible are on GPUs.

`resident.placing` has a pair loaded by it, `fit` and `details` judge by it. Pure arithmetic; what
one choice takes is computed in `placement_plan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gemma_mtp.api.placement import Placement
from gemma_mtp.errors import DoesNotFit
from gemma_mtp.models import memory
from gemma_mtp.models.gpu_buffers import Rules, rules_of
from gemma_mtp.models.machine import Device, Machine
from gemma_mtp.models.placement_plan import Plan, Wanted
from gemma_mtp.models.shape import Shape
from gemma_mtp.models.weights import Weights
from gemma_mtp.text import byte_size

__all__ = ["MARGIN_LEAST", "Wanted", "choose", "room", "still_fits"]

MARGIN_SHARE, MARGIN_LEAST = 1 / 24, 256 * memory.MIB
"""Of all of a device's memory, and bytes: left for the screen, other programs, and what a GPU's
driver takes with the first evaluation."""


def choose(
    shape: Shape,
    weights: Weights,
    devices: Sequence[Device],
    wanted: Wanted,
    machine: Machine | None = None,
) -> Placement:
    """The most layers that fit; of a mixture of experts first all that is no expert.

    Layers that were asked for are not made fewer: loading will tell. Raises DoesNotFit where they
    are more than `wanted.gpu_memory`, and where the rest is more than all memory of `machine`.
    """
    gpus = [device for device in devices if not device.shares_memory] or list(devices)
    placement = _best(shape, weights, gpus, wanted, machine)
    if placement is None and gpus and _asks_for_layers(wanted):
        placement = _as_asked(shape, weights, gpus, wanted)
    placement = placement or Plan(shape, weights, wanted, 0, 0).on_cpu
    total = machine.memory_total if machine else None
    if total is not None and placement.beside > total:
        where = "of memory beside the GPU" if placement.gpus else "of memory"
        raise DoesNotFit(
            f"This needs {byte_size(placement.beside)} {where}, and the machine has"
            f" {byte_size(total)}.",
            "Take a smaller model or a shorter context; gemma-mtp doctor says what fits.",
        )
    return placement


def still_fits(
    shape: Shape,
    weights: Weights,
    devices: Sequence[Device],
    wanted: Wanted,
    placement: Placement,
    machine: Machine | None = None,
) -> bool:
    """Whether there is room for `wanted`, such as a longer piece, without moving anything of a
    placement, of which a part is on GPUs."""
    by_name = {device.name: device for device in devices}
    gpus = [by_name[share.name] for share in placement.gpus if share.name in by_name]
    if len(gpus) < len(placement.gpus):
        return False
    plan = Plan(shape, weights, wanted, placement.layers, placement.cpu_experts, _rules(gpus))
    needed = plan.divided(gpus, [share.layers for share in placement.gpus])
    rooms = _rooms(gpus, wanted.gpu_memory)
    held = all(share.bytes <= size for share, size in zip(needed.gpus, rooms, strict=True))
    return held and _leaves_memory(needed, gpus, machine)


def room(device: Device) -> int:
    """Bytes of a device that may be used."""
    return max(device.free - max(int(device.total * MARGIN_SHARE), MARGIN_LEAST), 0)


def _rules(gpus: Sequence[Device]) -> Rules:
    return rules_of([gpu.name for gpu in gpus])


def _asks_for_layers(wanted: Wanted) -> bool:
    return wanted.gpu_layers != 0 and (wanted.gpu_layers, wanted.cpu_experts) != (None, None)


def _best(
    shape: Shape,
    weights: Weights,
    gpus: Sequence[Device],
    wanted: Wanted,
    machine: Machine | None,
) -> Placement | None:
    """The first candidate that fits; None where none does."""
    for layers, kept in _candidates(shape, wanted):
        plan = Plan(shape, weights, wanted, layers, kept, _rules(gpus))
        for chosen in _selections(gpus, plan.is_whole):
            placement = plan.place(chosen, _rooms(chosen, wanted.gpu_memory))
            if placement and _leaves_memory(placement, chosen, machine):
                return placement
    return None


def _candidates(shape: Shape, wanted: Wanted) -> Iterator[tuple[int, int]]:
    """Numbers of layers on GPUs, and of those whose experts are not: from the most on GPUs down."""
    every, most = shape.layers + 1, shape.layers if shape.experts else 0
    kept = range(most + 1)
    if wanted.cpu_experts is not None:
        kept = range(min(wanted.cpu_experts, most), most + 1)[:1]
    if wanted.gpu_layers is not None:
        count = every if wanted.gpu_layers < 0 else min(wanted.gpu_layers, every)
        yield from ((count, experts) for experts in kept if count)
        return
    yield from ((every, experts) for experts in kept)
    # Layers that read the cache of others are on GPUs with those, or are not.
    least = shape.layers + 3 - shape.owners if shape.shared else 1
    yield from ((count, kept[-1]) for count in range(every - 1, least - 1, -1))


def _selections(gpus: Sequence[Device], whole: bool) -> Iterator[list[Device]]:
    """Devices to try, those with the most memory first: for a whole model as few as possible, for
    a part as many."""
    largest = sorted(gpus, key=room, reverse=True)
    counts = range(1, len(gpus) + 1)
    for count in counts if whole else reversed(counts):
        yield [gpu for gpu in gpus if gpu in largest[:count]]


def _rooms(gpus: Sequence[Device], limit: int | None) -> list[int]:
    """Bytes to use of each; of all together no more than the limit."""
    rooms = [room(gpu) for gpu in gpus]
    if limit is not None and sum(rooms) > limit:
        return [int(limit * size / sum(rooms)) for size in rooms]
    return rooms


def _leaves_memory(placement: Placement, gpus: Sequence[Device], machine: Machine | None) -> bool:
    """Whether the machine's memory holds the rest; what a GPU shares with it is one memory."""
    shared = {gpu.name for gpu in gpus if gpu.shares_memory}
    if machine is None or machine.memory_free is None or not shared:
        return True
    taken = sum(share.bytes for share in placement.gpus if share.name in shared)
    return taken + placement.beside <= machine.memory_free


def _as_asked(shape: Shape, weights: Weights, gpus: Sequence[Device], wanted: Wanted) -> Placement:
    """What was asked for, though by this estimate it does not fit."""
    *_, (layers, kept) = _candidates(shape, wanted)
    plan = Plan(shape, weights, wanted, layers, kept, _rules(gpus))
    placement = None
    for gpu_set in _selections(gpus, whole=False):
        shares = [max(room(gpu), 1) for gpu in gpu_set]  # one without room is asked, too
        whole = (weights.total + weights.drafter) * 64
        rooms = [whole * share // sum(shares) for share in shares]
        placement = placement or plan.place(gpu_set, rooms)
    assert placement is not None
    taken = sum(gpu.bytes for gpu in placement.gpus)
    if wanted.gpu_memory is not None and taken > wanted.gpu_memory:
        raise DoesNotFit(
            f"{placement.layers} layers take {byte_size(taken)} on the GPU,"
            f" and {byte_size(wanted.gpu_memory)} may be used.",
            "Ask for fewer layers, or allow more memory with --gpu-memory.",
        )
    return placement
