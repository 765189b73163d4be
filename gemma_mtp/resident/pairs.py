"""Loads a pair in this process, with costs that were measured before, states of chats and a log.

The resident engine does, and commands that measure or that leave no process behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from gemma_mtp.api import LoadOptions, PairFiles, Placement
from gemma_mtp.engine import loading
from gemma_mtp.engine.device_choice import OnDevice
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.two_drafters import TwoDrafters
from gemma_mtp.errors import DoesNotFit
from gemma_mtp.llama import devices, features, versions
from gemma_mtp.models import machine, tried
from gemma_mtp.models.chat_states import ChatStates
from gemma_mtp.models.saved_costs import CostMemory
from gemma_mtp.models.temporary_pair import is_temporary
from gemma_mtp.paths import cache_dir, state_dir
from gemma_mtp.resident import choices, placing
from gemma_mtp.resident.failures import what_helps


def load(
    asked: PairFiles,
    options: LoadOptions,
    progress: Callable[[float], bool],
    *,
    measuring: bool = False,
) -> Engine:
    """With the drafter that was kept where two were tried; `measuring` leaves a trial of two out,
    which takes time. Raises BadPair, DoesNotFit, Cancelled, UsageError."""
    # Another build or another processor has other kernels.
    version = "/".join([*versions(), features(), machine.cpu_name()])
    files, score = tried.settled(asked)
    if measuring:
        files = replace(files, rival=None)
    costs = partial(CostMemory, cache_dir() / "costs", options=options, llama_cpp=version)
    memory = costs(files=files)
    kept = None if is_temporary(files.target) else memory
    graphics = [device[1] for device in devices() if device[2] != "cpu"]
    library = "/".join([version, *graphics])
    states = None if kept is None else ChatStates(files, options, library)
    logged = replace(options, log_file=state_dir() / "llama.log")
    here = machine.this_machine()
    gpus = here.gpus

    def load_as(placement: Placement | None) -> Engine:
        if placement is None or not placement.gpus:
            return load_with(placement, None)
        assert sizes is not None
        own = choices.of(files, options, library, sizes, here, placement)
        try:
            return load_with(placement, own)
        except DoesNotFit:
            if own.known is None or not own.known.options.key:
                raise
            return load_with(placement, own.usual)

    def load_with(placement: Placement | None, on_device: OnDevice | None) -> Engine:
        two = None
        if files.rival is not None:
            other = replace(files, drafter=files.rival)
            two = TwoDrafters(files, partial(tried.remember, files), costs(files=other))
        return loading.load(
            *(files, logged, progress, kept, states, placement),
            two_drafters=two,
            on_device=on_device,
        )

    with what_helps():
        sizes = placing.asked(files, options) if gpus else None
        tries = placing.placements(files, options, gpus, sizes) if gpus else iter([None])
        found, said = placing.first_that_fits(tries, load_as, files.drafter is not None)
    if said := said or placing.why_on_cpu(found.info.placement, options, gpus):
        found.info = replace(found.info, warnings=(*found.info.warnings, said))
    if score is not None:
        found.info = replace(found.info, drafter_choice=score.said(*asked.drafter_names))
    return found
