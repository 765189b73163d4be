"""Loads a pair in this process, with costs that were measured before, states of chats and a log.

The resident engine does, and commands that measure or that leave no process behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gemma_mtp.api import LoadOptions, PairFiles
from gemma_mtp.engine import engine
from gemma_mtp.llama import devices, features, versions
from gemma_mtp.models import machine
from gemma_mtp.models.chat_states import ChatStates
from gemma_mtp.models.saved_costs import CostMemory
from gemma_mtp.models.temporary_pair import is_temporary
from gemma_mtp.paths import cache_dir, state_dir
from gemma_mtp.resident.failures import what_helps


def load(
    files: PairFiles, options: LoadOptions, progress: Callable[[float], bool]
) -> engine.Engine:
    """Raises BadPair, DoesNotFit, Cancelled, UsageError."""
    # Another build or another processor has other kernels.
    version = "/".join([*versions(), features(), machine.cpu_name()])
    memory = CostMemory(cache_dir() / "costs", files, options, version)
    kept = None if is_temporary(files.target) else memory
    graphics = [device[1] for device in devices() if device[2] != "cpu"]
    states = None if kept is None else ChatStates(files, options, "/".join([version, *graphics]))
    log = state_dir() / "llama.log"
    with what_helps():
        return engine.load(files, replace(options, log_file=log), progress, kept, states)
