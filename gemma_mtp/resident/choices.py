"""What is known and possible of the options that a pair has on its devices, and where it is kept.

`resident.pairs` asks before it loads a pair of which a part goes to a GPU.
"""

from __future__ import annotations

from functools import partial

from gemma_mtp.api import LoadOptions, PairFiles, Placement
from gemma_mtp.engine.device_choice import OnDevice
from gemma_mtp.models import device_choices
from gemma_mtp.models.device_choices import DeviceChoices
from gemma_mtp.models.machine import Machine
from gemma_mtp.models.temporary_pair import is_temporary
from gemma_mtp.resident.placing import Asked, has_room


def of(
    files: PairFiles,
    options: LoadOptions,
    library: str,
    asked: Asked,
    here: Machine,
    placement: Placement,
) -> OnDevice:
    """`library`: versions of llama.cpp, how it was built, processor and devices. `here`: what is
    free now. What was chosen while more was free is left out where it has no room now."""
    fits = partial(has_room, asked, here, placement)
    if is_temporary(files.target):
        return OnDevice(None, fits)
    memory = DeviceChoices(device_choices.folder(), files, options, asked[2].context, library)
    known = memory.recall(placement)
    found = OnDevice(known, fits, partial(memory.keep, placement))
    if known is None or not known.options.key or fits(known.options):
        return found
    return found.usual
