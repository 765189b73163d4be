"""What to install so that llama.cpp can be built for a card, in words or as a command.

`choice` names it where something is missing.
"""

from __future__ import annotations

from gemma_mtp.models.build.system import System

PACKAGES = {
    ("CUDA", "apt"): "sudo apt install nvidia-cuda-toolkit",
    ("CUDA", "pacman"): "sudo pacman -S cuda",
    ("Vulkan", "apt"): "sudo apt install libvulkan-dev glslc spirv-headers",
    ("Vulkan", "dnf"): "sudo dnf install vulkan-loader-devel glslc spirv-headers-devel",
    ("Vulkan", "pacman"): "sudo pacman -S vulkan-headers vulkan-icd-loader shaderc spirv-headers",
    ("Vulkan", "zypper"): "sudo zypper install vulkan-devel shaderc spirv-headers-devel",
}  # fmt: skip
"""The command that installs what a build needs, by the kind of build and the package manager."""
VULKAN_SDK = "install the Vulkan SDK from https://vulkan.lunarg.com"
NVIDIA = "https://developer.nvidia.com"
OLDER_THAN_PACKAGES = (9, 0)
"""Cards from here on are newer than the toolkits that some distributions have."""
NEWEST_TOOLKIT, OLDEST_CARD_FOR_IT = 13, (7, 5)
"""The main version of NVIDIA's newest toolkit, and the oldest cards that it compiles for."""
TOO_OLD_FOR_VULKAN = {"bullseye", "bookworm", "focal", "jammy"}
"""Debian's and Ubuntu's releases whose headers of Vulkan are older than OLDEST_VULKAN."""
SOME_CUDA = (12, 4)
"""What NVIDIA's driver is taken to know where it does not say it."""


def for_cuda(system: System, driver: tuple[int, int] | None, wanted: list[tuple[int, int]]) -> str:
    """A toolkit for the cards `wanted`, by their capabilities, lowest first; `driver` is the newest
    CUDA that the driver knows."""
    dropped = bool(wanted) and wanted[0] < OLDEST_CARD_FOR_IT and system.packager == "pacman"
    if dropped or wanted[-1:] >= [OLDER_THAN_PACKAGES]:
        return cuda_toolkit(driver, wanted)
    return PACKAGES.get(("CUDA", system.packager)) or cuda_toolkit(driver, wanted)


def cuda_toolkit(driver: tuple[int, int] | None, wanted: list[tuple[int, int]]) -> str:
    """NVIDIA's own, the newest that compiles for the cards and runs with the driver."""
    version = (driver or SOME_CUDA)[0]
    if wanted and wanted[0] < OLDEST_CARD_FOR_IT:
        version = min(version, NEWEST_TOOLKIT - 1)
    if version < NEWEST_TOOLKIT:
        return f"install the CUDA toolkit {version} from {NVIDIA}/cuda-toolkit-archive"
    return f"install the CUDA toolkit from {NVIDIA}/cuda-downloads"


def for_vulkan(system: System, packages_are_old: bool) -> str:
    """Headers of Vulkan and the compiler of shaders."""
    if packages_are_old or system.codenames & TOO_OLD_FOR_VULKAN:
        return VULKAN_SDK
    return PACKAGES.get(("Vulkan", system.packager), VULKAN_SDK)
