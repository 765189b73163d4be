"""How long a token takes by arithmetic: weights are read once for it, each where it lies.

`fit` says how fast a pair may be, `details` whether plain decoding could be faster with more layers
on the GPU. Estimates, and rough ones; knows no clock.
"""

from __future__ import annotations

from dataclasses import replace

from gemma_mtp.api import Placement
from gemma_mtp.models.machine import Machine
from gemma_mtp.models.placement import Wanted, choose
from gemma_mtp.models.shape import Shape
from gemma_mtp.models.weights import Weights

CORE_RATE, CPU_RATE = 10e9, 40e9  # bytes of weights per second: one core; all, where the
# speed of the memory was not measured
GPU_RATE = 200e9  # bytes per second of a card; small ones have as much, large ones five times


def seconds(shape: Shape, weights: Weights, placement: Placement, machine: Machine) -> float:
    """Of a token without drafts, if reading the weights is all there is to do."""
    gpu, cpu = read(shape, weights, placement)
    return gpu / gpu_rate(machine) + cpu / cpu_rate(machine)


def read(shape: Shape, weights: Weights, placement: Placement) -> tuple[float, float]:
    """Bytes that a token reads from GPUs, and from the machine's memory."""
    used = shape.experts_used / shape.experts if shape.experts else 0.0
    first = shape.layers + 1 - placement.layers
    gpu, cpu = (0.0, weights.output) if first > shape.layers else (weights.output, 0.0)
    for layer in range(shape.layers):
        experts = weights.experts[layer] * used
        if layer < first:
            cpu += weights.layers[layer] + experts
        elif layer < placement.cpu_experts:
            gpu, cpu = gpu + weights.layers[layer], cpu + experts
        else:
            gpu += weights.layers[layer] + experts
    return gpu, cpu


def gpu_rate(machine: Machine) -> float:
    """Bytes per second; what shares the machine's memory is as fast as that."""
    shared = any(gpu.shares_memory for gpu in machine.gpus)
    return (machine.memory_speed or CPU_RATE) if shared else GPU_RATE


def cpu_rate(machine: Machine) -> float:
    """Bytes per second that all cores together read and compute with."""
    return min(machine.cores * CORE_RATE, machine.memory_speed or CPU_RATE)


def without_drafter(
    shape: Shape, weights: Weights, placement: Placement, wanted: Wanted, machine: Machine
) -> tuple[Placement, float] | None:
    """Where the target would go without its drafter, and how many times as fast a token is then by
    this arithmetic; None where the drafter takes no layer's place. MTP has to bring more than
    that."""
    if not placement.gpus or placement.is_whole or not weights.drafter:
        return None
    other = choose(shape, replace(weights, drafter=0), machine.gpus, wanted)
    before, after = (seconds(shape, weights, p, machine) for p in (placement, other))
    return (other, before / after) if before > after else None
