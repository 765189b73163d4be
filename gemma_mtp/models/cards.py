"""Which graphics cards this machine has, whether or not llama.cpp was built for them.

`findings` asks where llama.cpp sees none. Looks at what the system lists; asks no driver.
"""

from __future__ import annotations

import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# Makers of cards that llama.cpp can compute on; virtual screens have others.
MAKERS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
DISPLAY, ACCELERATOR = "0x03", "0x12"  # how the class of such a PCI device begins

BACKENDS = {"GGML_CUDA": "CUDA", "GGML_METAL": "MTL", "GGML_VULKAN": "Vulkan"}


class Card(NamedTuple):
    """One card. `build` is the option of llama.cpp's build for it."""

    name: str
    build: str

    @property
    def backend(self) -> str:
        """What llama.cpp calls that which was built for it."""
        return BACKENDS[self.build]


def cards(root: Path = Path("/")) -> list[Card]:
    """Those that are there, NVIDIA's first."""
    if sys.platform == "darwin":
        return [Card("Apple's", "GGML_METAL")]
    named = [Card(name, "GGML_CUDA") for name in _nvidia_names(root)]
    makers = {_maker(device) for device in (root / "sys/bus/pci/devices").glob("*")}
    if not named and ("NVIDIA" in makers or shutil.which("nvidia-smi")):
        named = [Card("an NVIDIA card", "GGML_CUDA")]
    others = [maker for maker in ("AMD", "Intel") if maker in makers]
    return [*named, *(Card(f"an {maker} card", "GGML_VULKAN") for maker in others)]


def _nvidia_names(root: Path) -> list[str]:
    """As NVIDIA's driver calls them."""
    found = []
    for file in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
        with suppress(OSError, ValueError):
            found += re.findall(r"^Model:\s*(.+?)\s*$", file.read_text(), re.MULTILINE)
    return found


def _maker(device: Path) -> str:
    """Whose card a PCI device is; "" for anything else."""
    with suppress(OSError, ValueError):
        kind = (device / "class").read_text()
        if kind.startswith((DISPLAY, ACCELERATOR)):
            return MAKERS.get((device / "vendor").read_text().strip(), "")
    return ""
