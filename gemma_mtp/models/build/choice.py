"""Which build of llama.cpp fits this machine, why, and what is missing for a better one.

`scripts/chat`, `scripts/test` and `scripts/cmake-args` follow it, by way of `__main__`; `doctor`
says what would help. CUDA comes first, then ROCm, then Vulkan, then the CPU.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from gemma_mtp.models.build import remedies, wheels
from gemma_mtp.models.build.system import System
from gemma_mtp.models.build.wheels import Wheel
from gemma_mtp.models.cards import Card, cards, driven_by_nvidia

CUDA_FOLDERS = ("usr/local/cuda/bin", "opt/cuda/bin", "usr/lib/nvidia-cuda-toolkit/bin")
ROCM_FOLDERS = ("opt/rocm/bin",)
LIBRARIES = ("usr/lib", "usr/lib64", "usr/lib/*-linux-gnu", "usr/local/lib", "usr/local/lib64")
OLDEST_VULKAN = (1, 3, 240)  # Debian 12 has 1.3.239, with which llama.cpp does not compile


@dataclass(frozen=True)
class Build:
    """One way to build: its name, what CMake is told, and what it is good for, in words."""

    kind: str
    arguments: str
    reason: str


@dataclass(frozen=True)
class Lack:
    """What keeps a card from a build: `missing` in words, how to get it, and builds that are ready
    to install, best first."""

    card: Card
    kind: str
    missing: str
    remedy: str = ""
    wheels: tuple[Wheel, ...] = ()


@dataclass(frozen=True)
class Choice:
    """What to build now, and what a better build lacks."""

    build: Build
    lacks: tuple[Lack, ...] = ()


def choose(system: System | None = None) -> Choice:
    """The best build that the tools here can make."""
    system = system or System()
    if system.is_mac:
        return Choice(Build("Metal", "", "Apple's GPU (Metal), which is the default here"))
    lacks: list[Lack] = []
    for look in (_cuda, _rocm, _vulkan):
        found = look(system)
        if isinstance(found, Build):
            return Choice(found, tuple(lacks))
        lacks += [found] if found else []
    return Choice(Build("CPU", "", f"the CPU{_why_no_card(lacks, system)}"), tuple(lacks))


def _why_no_card(lacks: list[Lack], system: System) -> str:
    """Why it is the CPU, as the rest of a sentence."""
    if lacks and lacks[0].card.integrated:
        return f"; {lacks[0].card.name} would often be no faster"
    if lacks:
        return f" meanwhile: to use {lacks[0].card.name}, {lacks[0].missing}"
    silent = next((card for card in cards(system) if not card.integrated), None)
    if silent:
        return f", since no driver answers for {silent.name}"
    return ", since no graphics card was found that it can use"


def _cuda(system: System) -> Build | Lack | None:
    found = driven_by_nvidia(system)
    if not found:
        return None
    nvcc = os.environ.get("CUDACXX") or system.tool("nvcc", *CUDA_FOLDERS)
    wanted = sorted({card.capability for card in found if card.capability})
    driver = _newest_cuda(system)
    ready = tuple(wheels.for_cuda(driver or remedies.SOME_CUDA, wanted[0] if wanted else None))
    if not nvcc:
        remedy = remedies.for_cuda(system, driver, wanted)
        return Lack(found[0], "CUDA", "CUDA's compiler (nvcc) is missing", remedy, ready)
    version = _version(system.ask(nvcc, "--version"), r"release (\d+)\.(\d+)")
    known = re.findall(r"compute_(\d+)(\d)\b", system.ask(nvcc, "--list-gpu-arch"))
    if wrong := _wrong_age(version, [(int(a), int(b)) for a, b in known], wanted, driver):
        missing = f"CUDA's compiler here ({version or nvcc}) is too {wrong}"
        return Lack(found[0], "CUDA", missing, remedies.cuda_toolkit(driver, wanted), ready)
    arguments = ["-DGGML_CUDA=on"]
    if wanted:
        arguments.append(
            "-DCMAKE_CUDA_ARCHITECTURES=" + ";".join(f"{a}{b}-real" for a, b in wanted)
        )
    if not system.tool("nvcc"):
        arguments.append(f"-DCMAKE_CUDA_COMPILER={nvcc}")
    reason = f"{found[0].name} with CUDA {version}".rstrip()
    return Build("CUDA", " ".join(arguments), reason)


def _newest_cuda(system: System) -> tuple[int, int] | None:
    """The newest CUDA that NVIDIA's driver knows, as it says itself."""
    found = re.search(r"CUDA Version\s*:\s*(\d+)\.(\d+)", system.ask(system.tool("nvidia-smi")))
    return (int(found[1]), int(found[2])) if found else None


def _wrong_age(
    version: str,
    known: list[tuple[int, int]],
    wanted: list[tuple[int, int]],
    driver: tuple[int, int] | None,
) -> str:
    """How a compiler that knows some cards is wrong, "old" or "new ..."; "" where it is not."""
    if driver and version and int(version.partition(".")[0]) > driver[0]:
        return f"new for the driver, which knows CUDA {driver[0]}.{driver[1]}"
    unknown = [card for card in wanted if known and card not in known]
    return ("new" if unknown[0] < min(known) else "old") if unknown else ""


def _rocm(system: System) -> Build | None:
    """Nothing is said where it is missing, since Vulkan serves the same cards with less effort."""
    found = [card for card in cards(system) if card.maker == "AMD"]
    hipcc = system.tool("hipcc", *ROCM_FOLDERS)
    if not found or not hipcc or not system.first("dev/kfd") or not _has_hipblas(system):
        return None
    arguments = ["-DGGML_HIP=on"]
    config = system.tool("hipconfig", *ROCM_FOLDERS)
    if config and (folder := system.ask(config, "-l").strip()):
        arguments.append(f"-DCMAKE_HIP_COMPILER={folder}/clang++")
    if targets := _targets(system):
        arguments.append("-DGPU_TARGETS=" + ";".join(targets))
    return Build("ROCm", " ".join(arguments), f"{found[0].name} with ROCm")


def _has_hipblas(system: System) -> bool:
    folders = ("opt/rocm/lib", *LIBRARIES)
    return system.first(*(f"{folder}/cmake/hipblas" for folder in folders)) is not None


def _targets(system: System) -> list[str]:
    """The cards' architectures, such as gfx1100, of numbers such as 110000 that the driver gives:
    two digits each for main version, version and step, the step in hexadecimal."""
    texts = "\n".join(system.read("sys/class/kfd/kfd/topology/nodes/*/properties"))
    numbers = {int(n) for n in re.findall(r"^gfx_target_version (\d+)$", texts, re.M)} - {0}
    return [f"gfx{n // 10000}{n // 100 % 100}{n % 100:x}" for n in sorted(numbers)]


def _vulkan(system: System) -> Build | Lack | None:
    found = [*driven_by_nvidia(system)]
    if system.first("dev/dri/renderD*"):
        found += [card for card in cards(system) if card.maker in ("AMD", "Intel")]
    if not found:
        return None
    card = min(found, key=lambda card: card.integrated)
    missing = missing_for_vulkan(system)
    if not missing:
        return Build("Vulkan", "-DGGML_VULKAN=on", f"{card.name} with Vulkan")
    remedy = remedies.for_vulkan(system, packages_are_old="too old" in missing)
    return Lack(card, "Vulkan", f"Vulkan's {missing}", remedy, (wheels.VULKAN,))


def missing_for_vulkan(system: System) -> str:
    """What a build for Vulkan lacks, as the rest of a sentence; "" where all is there."""
    sdk = os.environ.get("VULKAN_SDK", "")
    if not system.tool("glslc", *([f"{sdk}/bin"] if sdk else [])):
        return "shader compiler (glslc) is missing"
    if sdk:
        return ""
    header = system.read("usr/*include/vulkan/vulkan_core.h") or system.read(
        "usr/local/include/vulkan/vulkan_core.h"
    )
    if not header or not system.first(*(f"{folder}/libvulkan.so" for folder in LIBRARIES)):
        return "headers are missing"
    version = _header_version(header[0])
    if version < OLDEST_VULKAN:
        return f"headers here ({'.'.join(map(str, version))}) are too old"
    places = ("usr/share", *LIBRARIES, "usr/local/share")
    if not system.first(*(f"{place}/cmake/SPIRV-Headers" for place in places)):
        return "headers of SPIR-V are missing"
    return ""


def _header_version(text: str) -> tuple[int, int, int]:
    last = re.search(r"define VK_HEADER_VERSION (\d+)", text)
    rest = re.search(r"HEADER_VERSION_COMPLETE VK_MAKE_API_VERSION\(0, (\d+), (\d+)", text)
    return (int(rest[1]), int(rest[2]), int(last[1])) if rest and last else OLDEST_VULKAN


def _version(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return ".".join(found.groups()) if found else ""
