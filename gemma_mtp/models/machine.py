"""What this machine has free: memory, GPUs, CPU cores, disk.

`fit` judges by it, `doctor` prints it. Knows the operating systems' ways to tell, and containers;
knows no model. What cannot be found out is None, never a guess.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.files.disk import free_bytes

NO_LIMIT = 1 << 60  # cgroup v1 writes "no limit" as a huge number


@dataclass(frozen=True)
class Device:
    """A device of llama.cpp that can hold layers; bytes."""

    name: str
    description: str
    free: int
    total: int
    shares_memory: bool = False  # with the CPU


@dataclass(frozen=True)
class Machine:
    """Bytes; None where it cannot be found out."""

    memory_free: int | None
    memory_total: int | None
    cores: int
    gpus: tuple[Device, ...] = ()
    disk_free: int | None = None  # where models are kept
    memory_speed: float | None = None  # bytes per second, where it was measured

    @property
    def gpu_free(self) -> int:
        """Free memory of all GPUs together: llama.cpp spreads layers over them."""
        return sum(gpu.free for gpu in self.gpus)


def this_machine() -> Machine:
    """Memory, cores and GPUs (as llama.cpp sees them) as they are now."""
    from gemma_mtp import llama
    from gemma_mtp.llama import threads

    gpus = tuple(
        Device(name, description, free, total, kind == "igpu" or sys.platform == "darwin")
        for name, description, kind, free, total in llama.devices()
        if kind in ("gpu", "igpu")
    )
    return Machine(*memory(), threads.usable_threads(), gpus, free_bytes(paths.models_dir()))


def has_gpu() -> bool:
    """Whether llama.cpp finds a GPU; unlike `this_machine` this takes none of its memory."""
    from gemma_mtp import llama

    return llama.has_gpu()


def memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> tuple[
    int | None, int | None
]:  # fmt: skip
    """Free and total memory, within the limit of the container if there is one."""
    if sys.platform == "darwin":
        return _mac()
    if sys.platform == "win32":
        return _windows()
    free, total = _linux(proc)
    if total is None:
        return _posix()
    for limit, used in _limits(proc, cgroup):
        total = min(total, limit)
        free = min(free or 0, max(limit - used, 0))
    return free, total


def resident_bytes() -> int | None:
    """Bytes of memory that this process takes; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def cpu_name() -> str:
    """The processor as its maker calls it."""
    try:
        match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
        return match[1].strip() if match else platform.processor()
    except OSError:
        return platform.processor() or platform.machine()


def _linux(proc: Path) -> tuple[int | None, int | None]:
    try:
        text = (proc / "meminfo").read_text()
    except OSError:
        return None, None
    sizes = {k: int(v) << 10 for k, v in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}
    return sizes.get("MemAvailable", sizes.get("MemFree")), sizes.get("MemTotal")


def _limits(proc: Path, cgroup: Path) -> list[tuple[int, int]]:
    """(limit, used) of this process's control group and those around it; cgroup v2, else v1."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    own = next((line[3:] for line in lines if line.startswith("0::")), "/").strip("/")
    found = []
    for place in (cgroup / own, *(cgroup / own).parents):
        found += _limit(place, "memory.max", "memory.current")
        if place == cgroup:
            break
    return found or _limit(cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes")


def _limit(place: Path, limit: str, used: str) -> list[tuple[int, int]]:
    try:
        most, now = int((place / limit).read_text()), int((place / used).read_text())
        stat = (place / "memory.stat").read_text()
    except (OSError, ValueError):  # "max" is no number
        return []
    # Pages of files count as used, but are given back when they are asked for.
    pages = sum(int(v) for v in re.findall(r"^(?:in)?active_file (\d+)$", stat, re.MULTILINE))
    return [(most, max(now - pages, 0))] if most < NO_LIMIT else []


def _posix() -> tuple[int | None, int | None]:
    try:
        size = os.sysconf("SC_PAGE_SIZE")
        return size * os.sysconf("SC_AVPHYS_PAGES"), size * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None, None


def _mac() -> tuple[int | None, int | None]:
    try:
        total = int(_output("sysctl", "-n", "hw.memsize"))
        text = _output("vm_stat")
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, None
    return mac_free(text), total


def mac_free(vm_stat: str) -> int | None:
    """Bytes that `vm_stat` lists as free or to be had without writing anything out."""
    size = re.search(r"page size of (\d+) bytes", vm_stat)
    kinds = "free|inactive|speculative|purgeable"
    pages = re.findall(rf"^Pages (?:{kinds}):\s+(\d+)\.", vm_stat, re.MULTILINE)
    return int(size[1]) * sum(map(int, pages)) if size and pages else None


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=5).stdout


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("free", ctypes.c_uint64),
        ("others", ctypes.c_uint64 * 5),
    )


def _windows() -> tuple[int | None, int | None]:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    if not getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):  # noqa: B009
        return None, None
    return status.free, status.total
