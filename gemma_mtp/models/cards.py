"""Which graphics cards this machine has, whether or not llama.cpp was built for them.

`findings` asks where llama.cpp sees none, `build/choice` before llama.cpp is built. Needs the
standard library alone.
"""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gemma_mtp.models.build.system import System

# Makers of cards that llama.cpp can compute on; virtual screens have others.
MAKERS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
DISPLAY, ACCELERATOR = "0x03", "0x12"  # how the class of such a PCI device begins
IN_INTEL_PROCESSORS = "0000:00:02.0"  # where the graphics of a processor of Intel's always are
LEAST_OF_A_CARD = 2 << 30  # bytes of its own memory; what AMD's processors set aside is seldom more

BACKENDS = {"NVIDIA": {"CUDA", "Vulkan"}, "AMD": {"ROCm", "Vulkan"}, "Intel": {"SYCL", "Vulkan"},
            "Apple": {"MTL"}}  # fmt: skip
"""What llama.cpp calls that which can use the cards of a maker."""


class Card(NamedTuple):
    """One card. `capability` is NVIDIA's, such as (8, 6), and None where it is not known."""

    name: str
    maker: str
    integrated: bool = False
    capability: tuple[int, int] | None = None

    @property
    def is_worth_it(self) -> bool:
        """Whether it is faster than the processor, as far as can be told without a try."""
        return not self.integrated or self.maker == "Apple"

    @property
    def backends(self) -> set[str]:
        """What llama.cpp has to be built with to use it, one of these."""
        return BACKENDS[self.maker]


def cards(system: System | None = None) -> list[Card]:
    """Those that are there, NVIDIA's first."""
    system = system or System()
    if sys.platform == "darwin":
        return [Card("Apple's", "Apple", integrated=True)]
    found = [*_pci(system)]
    nvidia = driven_by_nvidia(system) or _known_to_nvidias_driver(system)
    nvidia = nvidia or [card for card in found if card.maker == "NVIDIA"]
    if not nvidia and system.tool("nvidia-smi"):
        nvidia = [Card("an NVIDIA card", "NVIDIA")]
    return [*nvidia, *(card for card in found if card.maker != "NVIDIA")]


def driven_by_nvidia(system: System) -> list[Card]:
    """The cards that NVIDIA's driver can use now; none where it is not there or does not answer."""
    smi = system.tool("nvidia-smi")
    if not smi:
        return []
    said = system.ask(smi, "--query-gpu=name,compute_cap", "--format=csv,noheader")
    rows = re.findall(r"^(.+), *(\d+)\.(\d+)\s*$", said, re.MULTILINE)
    if rows:
        return [Card(name, "NVIDIA", capability=(int(a), int(b))) for name, a, b in rows]
    said = system.ask(smi, "--query-gpu=name", "--format=csv,noheader")  # an older driver
    return [Card(name.strip(), "NVIDIA") for name in said.splitlines() if name.strip()]


def _known_to_nvidias_driver(system: System) -> list[Card]:
    """By the names that it writes below /proc."""
    texts = "\n".join(system.read("proc/driver/nvidia/gpus/*/information"))
    return [Card(name, "NVIDIA") for name in re.findall(r"^Model:\s*(.+?)\s*$", texts, re.M)]


def _pci(system: System) -> list[Card]:
    """Those that the system lists, by lspci's names where it is installed."""
    devices = sorted((system.root / "sys/bus/pci/devices").glob("*"))
    makers = {device: maker for device in devices if (maker := _maker(device))}
    names = _pci_names(system) if makers else {}
    found = []
    for device, maker in makers.items():
        integrated = _is_integrated(device, maker)
        unnamed = f"{maker}'s graphics in the processor" if integrated else f"an {maker} card"
        name = f"{maker} {names[device.name]}" if device.name in names else unnamed
        found.append(Card(name, maker, integrated))
    return found


def _maker(device: Path) -> str:
    """Whose card a PCI device is; "" for anything else."""
    with suppress(OSError, ValueError):
        kind = (device / "class").read_text()
        if kind.startswith((DISPLAY, ACCELERATOR)):
            return MAKERS.get((device / "vendor").read_text().strip(), "")
    return ""


def _is_integrated(device: Path, maker: str) -> bool:
    """Whether it is a part of the processor, and shares the machine's memory."""
    if maker == "Intel":
        return device.name == IN_INTEL_PROCESSORS
    with suppress(OSError, ValueError):
        return int((device / "mem_info_vram_total").read_text()) < LEAST_OF_A_CARD
    return False


def _pci_names(system: System) -> dict[str, str]:
    """What is sold as what, by address: "Radeon RX 7600" of "Navi 33 [Radeon RX 7600]"."""
    found = {}
    for line in system.ask(
        system.tool("lspci", "usr/sbin", "sbin") or "lspci", "-mm", "-D"
    ).splitlines():
        address, *words = [word for word in re.split(r' "|" ?"?', line) if word]
        if len(words) > 2:
            sold_as = re.search(r"\[([^]]+)\]\s*$", words[2])
            found[address] = sold_as[1] if sold_as else words[2]
    return found
