"""What one way to place a pair takes on each device.

`placement` tries one after the other. After llama.cpp's own rules: the layers on GPUs are the last
ones, and each device has some that follow each other (`load_tensors` of its src/llama-model.cpp).
Tables of which a token reads a row stay in the machine's memory, and a layer's keys and values lie
where the layer is. The drafter goes where the keys and values lie that it reads, which elsewhere
would be copied for every draft (llama.cpp's issue 24366).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from gemma_mtp.api import CPU_PIECE, DEFAULT_CONTEXT, GPU_PIECE, LoadOptions
from gemma_mtp.api.placement import DeviceShare, Placement
from gemma_mtp.models import memory
from gemma_mtp.models.gpu_buffers import CUDA, Buffers, Rules
from gemma_mtp.models.machine import Device
from gemma_mtp.models.shape import Shape
from gemma_mtp.models.weights import Weights

EVERY = 10**6  # layers; more than any model has
BALANCE_STEPS = 12  # halvings; finer than the size of a layer


@dataclass(frozen=True)
class Wanted:
    """What is to be placed. None leaves the choice to `choose`: `gpu_layers` (the output counts as
    one; -1 for all) and `cpu_experts`, the number of layers whose experts stay in the machine's
    memory. `gpu_memory`: bytes to use on all GPUs together at the most. `piece`: tokens of a prompt
    that are evaluated at once. `shortlist`: candidates are chosen on the GPUs."""

    context: int
    kv_type: str = "f16"
    flash_attention: bool = True
    gpu_layers: int | None = None
    cpu_experts: int | None = None
    gpu_memory: int | None = None
    piece: int = GPU_PIECE
    shortlist: bool = False

    @classmethod
    def of(cls, options: LoadOptions, longest: int) -> Wanted:
        """What a person asks for, of a model that was trained with `longest` tokens."""
        experts = options.cpu_experts
        return cls(
            context=options.context or min(DEFAULT_CONTEXT, longest),
            kv_type=options.kv_type,
            flash_attention=options.flash_attn != "off",
            gpu_layers=options.gpu_layers,
            cpu_experts=EVERY if experts is not None and experts < 0 else experts,
            gpu_memory=options.gpu_memory,
        )


@dataclass(frozen=True)
class Plan:
    """The last `layers` layers on GPUs that have such `rules`, the experts of the first `kept` ones
    not among them."""

    shape: Shape
    weights: Weights
    wanted: Wanted
    layers: int
    kept: int
    rules: Rules = CUDA

    def place(self, gpus: Sequence[Device], rooms: Sequence[int]) -> Placement | None:
        """Layers divided among these devices in proportion to their rooms, in bytes, each with one
        at least; None where a room is too small."""
        low, high, fixed = 0.0, 1.0, self._fixed(gpus)
        found = self._divided(rooms, fixed)
        if found is None:
            return None
        for _ in range(BALANCE_STEPS if len(gpus) > 1 else 0):
            middle = (low + high) / 2
            if better := self._divided([int(size * middle) for size in rooms], fixed):
                high, found = middle, better
            else:
                low = middle
        return self.divided(gpus, found)

    def divided(self, gpus: Sequence[Device], counts: Sequence[int]) -> Placement:
        """With so many layers on each of these devices."""
        shares, drafter, first = [], "", self._first
        for gpu, count, size in zip(gpus, counts, self._fixed(gpus), strict=True):
            own = range(first, first + count)
            taken = size + sum(map(self._unit, own))
            shares.append(DeviceShare(gpu.name, count, taken, gpu.free))
            if self._read in own and self._has_drafter_on_gpu:
                drafter = gpu.name
            first += count
        every = self.shape.layers + 1
        return Placement(self.layers, every, tuple(shares), self.kept, drafter, self._beside)

    @property
    def is_whole(self) -> bool:
        """Whether all layers are on GPUs, with or without their experts."""
        return self._first == 0

    @property
    def on_cpu(self) -> Placement:
        """Nothing on a GPU."""
        return Placement(0, self.shape.layers + 1, beside=self._estimate(CPU_PIECE).needed)

    def _divided(self, rooms: Sequence[int], fixed: Sequence[int]) -> list[int] | None:
        """How many layers each device gets if each is filled, from the last one on; None where
        layers or devices are left."""
        counts, groups = [0] * len(rooms), list(self._groups)
        for number in reversed(range(len(rooms))):
            free = rooms[number] - fixed[number]
            while len(groups) > number and groups[-1][1] <= free:
                count, size = groups.pop()
                counts[number] += count
                free -= size
        return None if groups or 0 in counts else counts

    @cached_property
    def _groups(self) -> list[tuple[int, int]]:
        """Layers on GPUs that cannot be parted, in order, and the bytes they take. The last two
        that have a cache of their own are read by the drafter, and by the layers after them."""
        groups: list[tuple[int, int]] = []
        for number in range(self._first, self.shape.layers + 1):
            size = self._unit(number)
            if groups and number >= self._read:
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
        return bool(self.weights.drafter) and self._first <= self._read

    @property
    def _is_mapped(self) -> bool:
        """Whether the file itself is what the GPU has, tables and all."""
        return self.rules.maps and self.is_whole and not self.kept

    def _unit(self, number: int) -> int:
        """Bytes of one layer on a GPU, or of the output, which comes after the last one."""
        if number == self.shape.layers:
            return self.weights.output
        size = self.weights.layers[number] + self._buffers.kv(number)
        if number >= self.kept:
            size += self.weights.experts[number]
        if number == self._read and self._has_drafter_on_gpu:
            count = 2 if self.weights.rival else 1
            size += self.weights.drafters + count * self._buffers.drafter
        return size

    def _fixed(self, gpus: Sequence[Device]) -> list[int]:
        """Bytes that each device needs whatever layers it has. The first one may also read prompts
        for what is on none."""
        buffers = self._buffers
        size = buffers.compute + buffers.read_elsewhere(self._first)
        if self._is_mapped:
            size += max(self.weights.tables - self.weights.output, 0)
        apart = self._first > 0 or self.kept > 0
        if len(gpus) > 1 and not apart:
            size += buffers.in_turns
        sizes = [size] * len(gpus)
        if apart and self.rules.helps:
            behind = range(min(self._first, self.shape.layers))
            helping = buffers.helping(self.weights.largest, behind, self.kept > 0)
            sizes[0] += max(helping - buffers.compute, 0)
        return sizes

    @cached_property
    def _buffers(self) -> Buffers:
        wanted = self.wanted
        flash = wanted.flash_attention
        what = wanted.context, wanted.kv_type, flash, self.rules, wanted.piece, wanted.shortlist
        return Buffers(self.shape, *what)

    @cached_property
    def _beside(self) -> int:
        """Bytes of the machine's own memory."""
        weights, guess = self.weights, self._estimate(self.wanted.piece)
        behind = range(min(self._first, self.shape.layers))
        size = guess.program + guess.snapshot + self._buffers.on_cpu
        size += 0 if self._is_mapped else weights.tables
        size += sum(weights.layers[layer] + self._buffers.kv(layer) for layer in behind)
        size += sum(weights.experts[: max(self.kept, len(behind))])
        return size if self._has_drafter_on_gpu else size + weights.drafters

    def _estimate(self, piece: int) -> memory.Estimate:
        sizes = self.weights.total, self.weights.drafters
        wanted = self.wanted
        return memory.estimate(self.shape, *sizes, wanted.context, piece, wanted.kv_type)
