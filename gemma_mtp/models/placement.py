"""Which weights of a pair go to which device, so that as many as possible are on GPUs.

`llama.load` carries it out, `fit` judges by it. Pure arithmetic after llama.cpp's own rules: the
layers on GPUs are the last ones, and each device has some that follow each other
(`load_tensors` of its src/llama-model.cpp). Tables of which a token reads a row stay in the
machine's memory, and a layer's keys and values lie where the layer is. The drafter goes where the
keys and values lie that it reads, which elsewhere would be copied for every draft
(llama.cpp's issue 24366).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from gemma_mtp.api import CPU_PIECE, GPU_PIECE
from gemma_mtp.api.placement import DeviceShare, Placement
from gemma_mtp.errors import DoesNotFit
from gemma_mtp.models import memory
from gemma_mtp.models.machine import Device
from gemma_mtp.models.shape import Shape, padded
from gemma_mtp.models.weights import Weights
from gemma_mtp.text import byte_size

MARGIN_SHARE, MARGIN_LEAST = 1 / 24, 256 * memory.MIB
"""Of all of a device's memory, and bytes: left for the screen, other programs, and what a GPU's
driver takes with the first evaluation."""
BALANCE_STEPS = 12  # halvings; finer than the size of a layer
COPIES = 4  # of what is put in, where several devices evaluate in turns (GGML_SCHED_MAX_COPIES)


@dataclass(frozen=True)
class Wanted:
    """What is to be placed. None leaves the choice to `choose`: `gpu_layers` (the output counts as
    one; -1 for all) and `cpu_experts`, the number of layers whose experts stay in the machine's
    memory. `gpu_memory`: bytes to use on all GPUs together at the most."""

    context: int
    kv_type: str = "f16"
    flash_attention: bool = True
    gpu_layers: int | None = None
    cpu_experts: int | None = None
    gpu_memory: int | None = None


def choose(
    shape: Shape,
    weights: Weights,
    devices: Sequence[Device],
    wanted: Wanted,
    total: int | None = None,
) -> Placement:
    """The most layers that fit; of a mixture of experts first all that is no expert.

    Raises DoesNotFit for layers that were asked for and are more than `wanted.gpu_memory`, and
    where the rest is more than the machine's memory of `total` bytes.
    """
    gpus = [device for device in devices if not device.shares_memory] or list(devices)
    asked = wanted.gpu_layers is not None or wanted.cpu_experts is not None
    for layers, experts in _candidates(shape, wanted):
        plan = _Plan(shape, weights, wanted, layers, experts)
        for chosen in _selections(gpus, layers > shape.layers):
            if placement := plan.place(chosen, wanted.gpu_memory):
                return _held(placement, total)
    if asked and gpus and wanted.gpu_layers != 0:
        return _held(_as_asked(shape, weights, gpus, wanted), total)
    return _held(_Plan(shape, weights, wanted, 0, 0).on_cpu, total)


def room(device: Device) -> int:
    """Bytes of a device that may be used."""
    return max(device.free - max(int(device.total * MARGIN_SHARE), MARGIN_LEAST), 0)


def _candidates(shape: Shape, wanted: Wanted) -> list[tuple[int, int]]:
    """Numbers of layers, and of those whose experts stay behind: from the most on GPUs down."""
    every, most = shape.layers + 1, shape.layers if shape.experts else 0
    counts = [n for n in range(every, 0, -1) if _keeps_readers(shape, n)]
    if wanted.gpu_layers is not None:
        count = every if wanted.gpu_layers < 0 else min(wanted.gpu_layers, every)
        counts = [count] if count else []
    kept = range(most + 1) if wanted.cpu_experts is None else [min(wanted.cpu_experts, most)]
    if wanted.gpu_layers is not None:
        return [(count, experts) for count in counts for experts in kept]
    first = [(every, experts) for experts in kept]
    return first + [(count, kept[-1]) for count in counts if count < every]


def _keeps_readers(shape: Shape, count: int) -> bool:
    """Whether layers that read the cache of others are on GPUs with these, or none of them is."""
    return not shape.shared or count >= shape.layers + 1 - (shape.owners - 2)


def _selections(gpus: Sequence[Device], whole: bool) -> list[list[Device]]:
    """Devices to try: for a whole model as few as possible, those with the most memory."""
    if not whole:
        return [list(gpus)]
    largest = sorted(gpus, key=room, reverse=True)
    return [[g for g in gpus if g in largest[:n]] for n in range(1, len(gpus) + 1)]


def _as_asked(shape: Shape, weights: Weights, gpus: Sequence[Device], wanted: Wanted) -> Placement:
    """What was asked for, though by this estimate it does not fit: loading will tell."""
    layers, experts = _candidates(shape, wanted)[-1]
    plan = _Plan(shape, weights, wanted, layers, experts)
    endless = [replace(gpu, free=gpu.free << 20) for gpu in gpus]
    placement = plan.place(endless, None) or plan.on_cpu
    taken = sum(gpu.bytes for gpu in placement.gpus)
    if wanted.gpu_memory is not None and taken > wanted.gpu_memory:
        raise DoesNotFit(
            f"{placement.layers} layers take {byte_size(taken)} on the GPU,"
            f" and {byte_size(wanted.gpu_memory)} may be used.",
            "Ask for fewer layers, or allow more memory with --gpu-memory.",
        )
    free = {gpu.name: gpu.free for gpu in gpus}
    return replace(
        placement, gpus=tuple(replace(share, free=free[share.name]) for share in placement.gpus)
    )


def _held(placement: Placement, total: int | None) -> Placement:
    if total is not None and placement.beside > total:
        raise DoesNotFit(
            f"This needs {byte_size(placement.beside)} of memory beside the GPU, and the machine"
            f" has {byte_size(total)}."
            if placement.gpus
            else f"This needs {byte_size(placement.beside)} of memory, and the machine has"
            f" {byte_size(total)}.",
            "Take a smaller model or a shorter context; gemma-mtp doctor says what fits.",
        )
    return placement


@dataclass(frozen=True)
class _Plan:
    """So many layers on GPUs, the experts of the first `kept` layers not among them."""

    shape: Shape
    weights: Weights
    wanted: Wanted
    layers: int
    kept: int

    def place(self, gpus: Sequence[Device], limit: int | None) -> Placement | None:
        """On these devices, with layers divided by their free memory; None where it is too much."""
        if not gpus:
            return None
        rooms = self._rooms(gpus, limit)
        low, high, found = 0.0, 1.0, self._divided(rooms, 1.0)
        if found is None:
            return None
        for _ in range(BALANCE_STEPS if len(gpus) > 1 else 0):
            middle = (low + high) / 2
            if better := self._divided(rooms, middle):
                high, found = middle, better
            else:
                low = middle
        return self._placement(gpus, found)

    def _rooms(self, gpus: Sequence[Device], limit: int | None) -> list[int]:
        rooms = [room(gpu) for gpu in gpus]
        if limit is not None and sum(rooms) > limit:
            rooms = [int(limit * size / sum(rooms)) for size in rooms]
        return rooms

    def _divided(self, rooms: Sequence[int], share: float) -> list[int] | None:
        """How many layers each device gets if each is filled to that share, from the last one on;
        None where some are left."""
        counts, groups = [0] * len(rooms), list(self._groups)
        for number in reversed(range(len(rooms))):
            free = int(rooms[number] * share) - self._fixed(number, len(rooms))
            while groups and groups[-1][1] <= free:
                count, size = groups.pop()
                counts[number] += count
                free -= size
        return None if groups else counts

    def _placement(self, gpus: Sequence[Device], counts: list[int]) -> Placement:
        shares, last, drafter = [], self.shape.layers + 1, ""
        for number in reversed(range(len(gpus))):
            if not counts[number]:
                continue
            first = last - counts[number]
            size = self._fixed(number, len(gpus)) + sum(map(self._unit, range(first, last)))
            shares.append(DeviceShare(gpus[number].name, counts[number], size, gpus[number].free))
            if first <= self._read < last and self._has_drafter_on_gpu:
                drafter = gpus[number].name
            last = first
        return Placement(
            self.layers, self.shape.layers + 1, tuple(reversed(shares)), self.kept, drafter,
            self.beside,
        )  # fmt: skip

    @property
    def on_cpu(self) -> Placement:
        """Nothing on a GPU."""
        sizes = self.weights.total, self.weights.drafter
        context, kv_type = self.wanted.context, self.wanted.kv_type
        needed = memory.estimate(self.shape, *sizes, context, CPU_PIECE, kv_type).needed
        return Placement(0, self.shape.layers + 1, beside=needed)

    @cached_property
    def _groups(self) -> list[tuple[int, int]]:
        """Layers on GPUs that cannot be parted, in order, and the bytes they take: what the
        drafter reads is on one device."""
        groups: list[tuple[int, int]] = []
        for number in range(self._first, self.shape.layers + 1):
            size = self._unit(number)
            if number == self._read and groups and self._has_drafter_on_gpu:
                count, before = groups.pop()
                groups.append((count + 1, before + size))
            else:
                groups.append((1, size))
        return groups

    @property
    def _first(self) -> int:
        """The first layer on a GPU."""
        return self.shape.layers + 1 - self.layers

    @property
    def _read(self) -> int:
        """The last layer whose keys and values the drafter reads; the other is the one before."""
        return self.shape.owners - 1

    @property
    def _has_drafter_on_gpu(self) -> bool:
        return bool(self.weights.drafter) and self._first < self._read

    def _unit(self, number: int) -> int:
        """Bytes of one layer on a GPU, or of the output, which comes after the last one."""
        if number == self.shape.layers:
            return self.weights.output
        size = self.weights.layers[number] + self._kv(number)
        if number >= self.kept:
            size += self.weights.experts[number]
        if number == self._read and self._has_drafter_on_gpu:
            size += self.weights.drafter + self._drafter_compute
        return size

    def _kv(self, number: int) -> int:
        wanted = self.wanted
        return int(
            self.shape.layer_kv_bytes(
                number, wanted.context, GPU_PIECE, wanted.kv_type, not wanted.flash_attention
            )
        )

    @property
    def _drafter_compute(self) -> int:
        return 8 * self.shape.vocabulary

    def _fixed(self, number: int, count: int) -> int:
        """Bytes that a device needs with any layer at all. The first one also computes long
        prompts for layers that it does not have, and holds their weights meanwhile."""
        size = self._compute
        if count > 1 and self.layers > self.shape.layers and not self.kept:
            size += (COPIES - 1) * self._masks
        if number == 0 and (self._first > 0 or self.kept):
            size += self.weights.largest
            size += max((self._kv(layer) for layer in range(self._first)), default=0)
        return size

    @cached_property
    def _compute(self) -> int:
        scores = 0
        if not self.wanted.flash_attention:
            cells = padded(self.wanted.context)
            scores = 4 * GPU_PIECE * self.shape.heads * cells
        return memory.compute_bytes(self.shape, self.wanted.context, GPU_PIECE, scores)

    @property
    def _masks(self) -> int:
        cells = padded(self.wanted.context) + padded(self.shape.window + GPU_PIECE)
        return 2 * GPU_PIECE * cells

    @cached_property
    def beside(self) -> int:
        """Bytes of the machine's own memory."""
        weights, guess = self.weights, self._whole
        layers = range(self._first)
        size = weights.tables + guess.program + guess.snapshot
        size += sum(weights.layers[n] + self._kv(n) for n in layers if n < self.shape.layers)
        size += sum(weights.experts[: max(self.kept, self._first)])
        if not self._has_drafter_on_gpu:
            size += weights.drafter
        return size + (self._compute if self._first or self.kept else 0)

    @cached_property
    def _whole(self) -> memory.Estimate:
        sizes = self.weights.total, self.weights.drafter
        return memory.estimate(
            self.shape, *sizes, self.wanted.context, GPU_PIECE, self.wanted.kv_type
        )
