"""What `show` says about where a pair would be put on this machine's GPUs; `details` asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from gemma_mtp.api import DeviceChoice, from_json
from gemma_mtp.models.machine import Machine
from gemma_mtp.models.pace import without_drafter
from gemma_mtp.models.placement import Wanted, choose
from gemma_mtp.models.shape import Shape
from gemma_mtp.models.weights import Weights
from gemma_mtp.text import counted


def of(shape: Shape, weights: Weights, wanted: Wanted, machine: Machine) -> dict[str, Any]:
    """The placement, and what plain decoding would gain by the room that the drafter takes.

    Raises DoesNotFit as `placement.choose` does.
    """
    placement = choose(shape, weights, machine.gpus, wanted, machine)
    found: dict[str, Any] = {
        "placement": asdict(placement),
        "placed": placement.in_words(bool(weights.drafter)),
    }
    plain = without_drafter(shape, weights, placement, wanted, machine)
    if plain is not None:
        other, gain = plain
        found["without_drafter"] = {
            "layers": other.layers,
            "cpu_experts": other.cpu_experts,
            "times_plain": round(gain, 3),
        }
    return found


def facts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The same for a person: labels, which may be empty, each with words."""
    if "placed" in found:
        yield "placement", f"{found['placed']}, by estimate"
    if "device_choice" in found:
        choice: DeviceChoice = from_json(DeviceChoice, found["device_choice"])
        yield "fastest", f"{choice.in_words}, when it was loaded there"
    if plain := found.get("without_drafter"):
        more = f"{plain['layers']} layers"
        if plain["cpu_experts"]:
            more = f"all but the experts of {counted(plain['cpu_experts'], 'layer')}"
        gain = f"plain decoding be {plain['times_plain']:.2f} times as fast, by estimate"
        yield "", f"without the drafter, {more} would fit, and {gain}"
