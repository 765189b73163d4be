"""A placement as llama.cpp takes it: devices, layers, their shares, and weights that stay behind.

`llama.load` asks it for each of the two models.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import llama_cpp

from gemma_mtp.api import Placement
from gemma_mtp.llama.devices import cpu_buffer_type, handle, memory_name
from gemma_mtp.llama.log import Buffers

METAL = "MTL"
"""How names of Apple's devices begin. There llama.cpp maps all of the file between the first weight
that is on the GPU and the last one, where it maps: for a part of the layers nearly the whole file,
since the table of tokens, which also makes the output, comes first. `load_tensors` of its
src/llama-model.cpp."""
MAPPED = "_Mapped"  # after the name of the memory that the file is mapped to


class _Override(ctypes.Structure):
    """llama_model_tensor_buft_override of llama.h: weights, and the memory that is to hold them."""

    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


@dataclass(frozen=True)
class ModelPlace:
    """Where one model goes. The last `layers` of it, below 0 all, are on `devices`, in proportion
    to `shares`; None leaves the choice of devices to llama.cpp, () is the CPU alone. The experts of
    the first `cpu_experts` layers are in the machine's memory. Without `mapped` each device gets
    its weights alone."""

    layers: int
    devices: tuple[str, ...] | None = None
    shares: tuple[int, ...] = ()
    cpu_experts: int = 0
    mapped: bool = True

    def apply(self, params: Any) -> list[Any]:
        """Put it into llama_model_params; what is returned has to live until the model is loaded.

        Raises UsageError for a device that is not there any more.
        """
        params.n_gpu_layers = self.layers
        if not self.mapped:
            params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE
        alive: list[Any] = []
        if self.devices is not None:
            handles = [handle(name) for name in self.devices]
            array = (ctypes.c_void_p * (len(handles) + 1))(*handles)  # the last one is no device
            params.devices = ctypes.addressof(array)
            alive.append(array)
        if self.shares:
            split = (ctypes.c_float * llama_cpp.llama_max_devices())(*self.shares)
            params.tensor_split = split
            alive.append(split)
        if self.cpu_experts:
            layers = "|".join(map(str, range(self.cpu_experts)))
            pattern = rf"^blk\.({layers})\.ffn_\w+_exps".encode()
            overrides = (_Override * 2)(_Override(pattern, cpu_buffer_type()))
            params.tensor_buft_overrides = ctypes.addressof(overrides)
            alive.append(overrides)
        return alive


def target_place(placement: Placement) -> ModelPlace:
    """The target's layers, from the last one down."""
    names = tuple(share.name for share in placement.gpus)
    return ModelPlace(
        placement.layers,
        names,
        tuple(share.layers for share in placement.gpus),
        placement.cpu_experts,
        placement.is_whole or not any(name.startswith(METAL) for name in names),
    )


def drafter_place(placement: Placement) -> ModelPlace:
    """The whole drafter on its device. The others are named, too: a context can read the target's
    cache only where the device that holds it is among its own."""
    own = [placement.drafter] if placement.drafter else []
    others = [share.name for share in placement.gpus if share.name not in own]
    shares = (1, *(0 for _ in others)) if own else ()
    return ModelPlace(-1 if own else 0, (*own, *others), shares)


def measured(placement: Placement, buffers: Buffers) -> Placement:
    """The placement with the bytes that llama.cpp announced."""
    held: Counter[str] = Counter()
    for (name, _), count in buffers.items():
        held[name.removesuffix(MAPPED)] += count
    gpus = tuple(replace(gpu, bytes=held.pop(memory_name(gpu.name), 0)) for gpu in placement.gpus)
    return replace(placement, gpus=gpus, beside=held.total())
