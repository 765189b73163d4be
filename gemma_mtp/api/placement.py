"""Where the weights of a pair are kept and computed: on which devices, and what stays on the CPU.

`models.placement` chooses it by arithmetic, `llama.load` carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceShare:
    """What one GPU holds. `name` is llama.cpp's; `layers` are those of the target, the output
    counted as one; `bytes` are estimated, `free` were free when the estimate was made."""

    name: str
    layers: int
    bytes: int = 0
    free: int = 0


@dataclass(frozen=True)
class Placement:
    """`layers` of the target's `of`, from the last one down (the output counts as one), are on
    GPUs, divided among `gpus` in llama.cpp's order; no GPU means the CPU. The experts of the
    target's first `cpu_experts` layers stay in the machine's memory. The drafter is
    on the device `drafter`, "" for the CPU. `beside` is what the machine's own memory holds, in
    bytes."""

    layers: int
    of: int
    gpus: tuple[DeviceShare, ...] = ()
    cpu_experts: int = 0
    drafter: str = ""
    beside: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether nothing that could be on a GPU is elsewhere."""
        return bool(self.gpus) and self.layers >= self.of and not self.cpu_experts


ON_CPU = Placement(0, 0)
