"""How many threads this machine has room for, and how much of it others use.

Knows only the operating system.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import process_time

WINDOW = 0.2  # seconds that a look at the processors covers at least; they are counted in 0.01


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


class FreeProcessors:
    """Processors this process may use and other programs leave to it: idle or its own.

    Call it for the average since the last call that found one; None where the system does not say,
    or before enough time has passed for a first answer.
    """

    def __init__(self, read: Callable[[], tuple[float, float] | None] | None = None) -> None:
        """`read`: seconds that all these processors have been there and idle so far."""
        self._read = read or _processor_seconds
        self._last = self._now()
        self._free: float | None = None

    def __call__(self) -> float | None:
        now, last = self._now(), self._last
        if now is None or last is None:
            return None
        total, idle, own = (a - b for a, b in zip(now, last, strict=True))
        processors = len(_allowed_cpus())
        if total >= WINDOW * processors:
            self._last = now
            self._free = min((idle + own) / total, 1.0) * processors
        return self._free

    def _now(self) -> tuple[float, float, float] | None:
        found = self._read()
        return None if found is None else (*found, process_time())


def _processor_seconds() -> tuple[float, float] | None:
    """Of the processors this process may use, since the system's start: all, and idle."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    allowed = {f"cpu{number}" for number in _allowed_cpus()}
    total = idle = 0
    for name, *counts in (line.split() for line in lines if line.startswith("cpu")):
        if name in allowed:
            times = [int(count) for count in counts[:8]]  # those of guests are in them already
            total += sum(times)
            idle += sum(times[3:5])  # waiting for a disk is idle, too
    return (total / ticks, idle / ticks) if total else None
