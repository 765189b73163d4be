"""How many threads decoding should use on this machine. Knows only the operating system."""

from __future__ import annotations

import os
from pathlib import Path


def usable_threads() -> int:
    """One thread per physical core this process may use, at least 1.

    Decoding is bound by memory: a second thread on the same core only gets in the way.
    """
    allowed = _allowed_cpus()
    cores = {_core_of(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota() or len(cores)))


def _allowed_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _core_of(cpu: int) -> str:
    """A name shared by the logical CPUs of one core; its own number where that is not known."""
    siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return siblings.read_text().strip()
    except OSError:
        return str(cpu)


def _quota() -> int | None:
    """CPUs a container is limited to (cgroup v2: "quota period" in microseconds)."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None
