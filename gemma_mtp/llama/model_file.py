"""One GGUF file becomes a model of llama.cpp, on the devices that it is given.

`load` calls it, for target and drafters alike.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp

from gemma_mtp.errors import BadPair, Cancelled, DoesNotFit, ModelNotAvailable
from gemma_mtp.llama.log import log
from gemma_mtp.llama.overrides import (
    Overrides,
)
from gemma_mtp.llama.placing import ModelPlace

NO_ROOM = re.compile(r"allocat|out of memory|OutOfDeviceMemory", re.IGNORECASE)
"""What llama.cpp and its devices say of memory that they cannot have."""


def load_model(
    path: Path, place: ModelPlace, overrides: Overrides, progress: Callable[[float], bool]
) -> Any:
    stopped = False

    def on_progress(fraction: float, _user_data: object) -> bool:
        nonlocal stopped
        try:
            stopped = stopped or not progress(fraction)
        except BaseException:  # an exception cannot cross C; saying "stop" can
            stopped = True
        return not stopped

    log.forget()
    params = llama_cpp.llama_model_default_params()
    needed_until_loaded = place.apply(params)
    params.kv_overrides = overrides
    params.progress_callback = llama_cpp.llama_progress_callback(on_progress)
    model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
    del needed_until_loaded
    if stopped:
        if model:
            llama_cpp.llama_model_free(model)
        raise Cancelled("Loading was stopped.")
    if not model and not path.is_file():
        raise ModelNotAvailable(
            f"{path} is not there any more; it was removed meanwhile.", "gemma-mtp list"
        )
    if not model:
        why = log.why()
        kind = DoesNotFit if NO_ROOM.search(why) else BadPair
        raise kind(f"llama.cpp cannot load {path.name}: {why}")
    return model
