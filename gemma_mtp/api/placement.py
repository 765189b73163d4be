"""Where the weights of a pair are kept and computed: on which devices, and what stays on the CPU.

`models.placement` chooses it by arithmetic, `llama.load` carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemma_mtp.text import byte_size, counted


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

    @property
    def key(self) -> tuple[str | int, ...]:
        """What tells it from others that compute and take their time otherwise; () on the CPU."""
        if not self.gpus:
            return ()
        shares = [part for gpu in self.gpus for part in (gpu.name, gpu.layers)]
        return (*shares, self.cpu_experts, self.drafter)

    def in_words(self, has_drafter: bool) -> str:
        """What is where, as "34 of 49 layers and the drafter on the GPU, 7.6 of 8.0 GB"; the output
        counts as a layer."""
        if not self.gpus:
            return "all layers on the CPU"
        whole = self.layers >= self.of
        parts = [f"all {self.of} layers" if whole else f"{self.layers} of {self.of} layers"]
        parts[0] += " and the drafter" if self.drafter else ""
        parts[0] += " on the GPU" if len(self.gpus) == 1 else f" on {len(self.gpus)} GPUs"
        if self.cpu_experts:
            parts.append(f"the experts of {counted(self.cpu_experts, 'layer')} on the CPU")
        if has_drafter and not self.drafter:
            parts.append("the drafter on the CPU")
        taken, free = (sum(getattr(gpu, k) for gpu in self.gpus) for k in ("bytes", "free"))
        few = taken * 10 < free  # in the same unit hardly a digit of it would be left
        sizes = f"{byte_size(taken)} of {byte_size(free)}" if few else byte_size(taken, free)
        return ", ".join([*parts, sizes])


ON_CPU = Placement(0, 0)
