"""This machine as it is now: free memory, processors, GPUs as llama.cpp sees them, disk."""

from __future__ import annotations

import sys

from gemma_mtp import paths
from gemma_mtp.llama import threads
from gemma_mtp.models import machine
from gemma_mtp.models.machine import Device, Machine


def this_machine() -> Machine:
    """Memory, cores and GPUs as they are now."""
    free, total = machine.memory()
    disk = machine.disk_free(paths.models_dir())
    return Machine(free, total, threads.usable_threads(), tuple(_gpus()), disk)


def _gpus() -> list[Device]:
    from gemma_mtp import llama

    return [
        Device(name, description, free, total, kind == "igpu" or sys.platform == "darwin")
        for name, description, kind, free, total in llama.devices()
        if kind in ("gpu", "igpu")
    ]
