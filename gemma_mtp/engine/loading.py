"""From a pair of files to an engine: each part in order, and freed where a later one fails.

Called by whoever has an engine in its own process: the resident engine, `bench`, `verify`, tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gemma_mtp.api import LoadOptions, PairFiles, Placement
from gemma_mtp.engine.device_choice import OnDevice, settle
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.exactness import is_exact
from gemma_mtp.engine.states import States
from gemma_mtp.engine.template_process import head_start
from gemma_mtp.engine.two_drafters import Memory, TwoDrafters
from gemma_mtp.llama import load_pair


def load(
    files: PairFiles,
    options: LoadOptions,
    progress: Callable[[float], bool] = lambda f: True,
    memory: Memory | None = None,
    states: States | None = None,
    placement: Placement | None = None,
    two_drafters: TwoDrafters | None = None,
    on_device: OnDevice | None = None,
) -> Engine:
    """Load a pair; `progress` gets 0..1 and answers whether to go on. `memory` keeps costs, and
    `states` what was read of conversations, from one run of the program to the next. `placement`
    says what goes to which device; None leaves that to llama.cpp. With `two_drafters` a second
    drafter of the pair is tried, too. A part on a GPU is evaluated as `on_device` knows or finds
    out, in which case `progress` gets 1..2 as well.

    Raises BadPair, DoesNotFit, Cancelled.
    """
    renderer = head_start(files.target)
    try:
        tried = files if two_drafters else replace(files, rival=None)
        known = on_device.known.options if on_device and on_device.known else None
        pair = load_pair(tried, options, progress, placement, known)
        try:
            if pair.info.placement.gpus:
                if on_device is not None:
                    settle(pair, on_device, progress)
                pair.info = replace(pair.info, exact_holds=is_exact(pair.target))
            stopped = lambda: not progress(1.0)  # noqa: E731
            return Engine(pair, memory, renderer, stopped, states, two_drafters)
        except BaseException:
            pair.close()
            raise
    except BaseException:
        if renderer is not None:
            renderer.close()
        raise
