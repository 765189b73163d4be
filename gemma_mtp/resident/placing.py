"""Where a pair goes on a machine with GPUs, and what is tried when it does not fit after all.

`resident.pairs` loads by it. What is free on a device is known only roughly, and other programs may
take some meanwhile: so a load that fails for memory is tried again with less on the GPUs, down to
the CPU alone, and says so. Layers that a person has asked for are not made fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from gemma_mtp.api import DeviceOptions, LoadOptions, PairFiles, Placement
from gemma_mtp.errors import DoesNotFit
from gemma_mtp.models import gguf, pace
from gemma_mtp.models.hyperparameters import shape_of
from gemma_mtp.models.machine import Device, Machine
from gemma_mtp.models.placement import Wanted, choose, still_fits
from gemma_mtp.models.shape import Shape
from gemma_mtp.models.weights import Weights, from_headers
from gemma_mtp.text import byte_size

SMALLER = 0.85  # of what the try before was to take on GPUs: a few layers of a large model
TRIES = 3  # on GPUs; each may take half a minute with a large model

Loaded = TypeVar("Loaded")
Tried = TypeVar("Tried", Placement, Placement | None)


Asked = tuple[Shape, Weights, Wanted]
"""What is to be placed, and how."""


def placements(
    files: PairFiles, options: LoadOptions, gpus: Sequence[Device], found: Asked | None = None
) -> Iterator[Placement]:
    """What to try, in this order. `found` is what `asked` found, if it was asked before. Raises
    DoesNotFit for layers that were asked for and are more than the memory that may be used."""
    shape, weights, wanted = found or asked(files, options)
    placement = choose(shape, weights, gpus, wanted)
    yield placement
    for _ in range(TRIES - 1 if options.gpu_layers is None else 0):
        taken = sum(gpu.bytes for gpu in placement.gpus)
        placement = choose(shape, weights, gpus, replace(wanted, gpu_memory=int(SMALLER * taken)))
        if not placement.gpus:
            break
        yield placement
    if options.gpu_layers is None:
        yield choose(shape, weights, gpus, replace(wanted, gpu_layers=0, gpu_memory=None))


def has_room(found: Asked, here: Machine, placement: Placement, device: DeviceOptions) -> bool:
    """Whether a pair in this placement has room with such options of its devices; `here`: what was
    free before it was loaded."""
    shape, weights, wanted = found
    flash = wanted.flash_attention and device.flash_attention is not False
    changed = replace(
        wanted, piece=device.piece, flash_attention=flash, shortlist=bool(device.shortlist)
    )
    return still_fits(shape, weights, here.gpus, changed, placement, here)


def why_on_cpu(placement: Placement, options: LoadOptions, gpus: Sequence[Device]) -> str:
    """A sentence where nothing went to the GPUs that are here, though nobody asked for that."""
    if placement.gpus or not gpus or options.gpu_layers == 0:
        return ""
    free, limit = sum(gpu.free for gpu in gpus), options.gpu_memory
    if limit is not None and limit < free:
        where = f"into the {byte_size(limit)} that gpu_memory allows"
    else:
        where = f"on the GPU, where {byte_size(free)} are free"
    return f"No layer fits {where}: all of it is on the CPU."


def without_drafter(
    files: PairFiles, options: LoadOptions, loaded: Placement, here: Machine
) -> tuple[Placement, float] | None:
    """Where the target alone would go in the place of the pair that is `loaded`, and how many times
    as fast plain decoding would be there by estimate; None where the drafter takes no layer's
    place. Raises DoesNotFit."""
    if not loaded.gpus or files.drafter is None:
        return None
    shape, weights, wanted = asked(files, options)
    before = {gpu.name: gpu.free for gpu in loaded.gpus}  # less is free now
    gpus = tuple(replace(gpu, free=before.get(gpu.name, gpu.free)) for gpu in here.gpus)
    here = replace(here, gpus=gpus)
    placement = choose(shape, weights, gpus, wanted)
    return pace.without_drafter(shape, weights, placement, wanted, here)


def asked(files: PairFiles, options: LoadOptions) -> Asked:
    """What the headers of the files and the options say."""
    header = gguf.read_header(files.target)
    drafter = gguf.read_header(files.drafter) if files.drafter else None
    shape, weights = shape_of(header), from_headers(header, drafter)
    # A model is parted anew whenever it is loaded, and a trial decides for good: so while there are
    # two drafters a layer gives way rather than the trial.
    if files.rival is not None:
        with suppress(OSError):
            weights = replace(weights, rival=files.rival.stat().st_size)
    return shape, weights, Wanted.of(options, gguf.describe(header).context_length)


def first_that_fits(
    tries: Iterator[Tried], load: Callable[[Tried], Loaded], has_drafter: bool = True
) -> tuple[Loaded, str]:
    """What `load` made of the first placement that it had the memory for, and a sentence about
    those before, if there were some. Raises what `load` raises."""
    placement, said = next(tries), ""
    while True:
        try:
            return load(placement), said
        except DoesNotFit as error:
            following = next(tries, None)
            if placement is None or following is None or not placement.gpus:
                if placement and placement.gpus and not error.hint:
                    error.hint = "Fewer layers may do, or --gpu-layers auto."
                raise
            before, placement = placement, following
            said = (
                f"There was too little memory for {before.in_words(has_drafter)} ({error}). "
                f"Tried then: {following.in_words(has_drafter)}."
            )
