"""From two files to a loaded pair: each part in order, and freed in the reverse order.

Knows nothing of what the pair is used for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import llama_cpp

from gemma_mtp.api import (
    DEFAULT_CONTEXT,
    ON_CPU,
    DeviceChoice,
    DeviceOptions,
    LoadOptions,
    PairFiles,
    PairInfo,
    Placement,
)
from gemma_mtp.errors import BadPair, DoesNotFit, UsageError
from gemma_mtp.llama import library
from gemma_mtp.llama.devices import devices, has_gpu
from gemma_mtp.llama.drafter import LlamaDrafter
from gemma_mtp.llama.library import give_back_memory
from gemma_mtp.llama.loaded_pair import (
    LoadedPair,
    drafter_context,
    refuse_untrained,
    target_context,
    usual_options,
)
from gemma_mtp.llama.log import attach as attach_log
from gemma_mtp.llama.log import log
from gemma_mtp.llama.media import Encoder
from gemma_mtp.llama.model_file import load_model
from gemma_mtp.llama.overrides import TARGET_OVERRIDES, drafter_overrides, softcap_of
from gemma_mtp.llama.placing import ModelPlace, drafter_place, measured, target_place
from gemma_mtp.llama.target import LlamaTarget
from gemma_mtp.llama.threads import usable_threads

# Threads of a smaller model wait for each other longer than they compute; with other work on the
# machine, many times longer.
ONE_THREAD_PARAMETERS = 100_000_000


def load_pair(
    files: PairFiles,
    options: LoadOptions,
    progress: Callable[[float], bool] = lambda fraction: True,
    placement: Placement | None = None,
    device: DeviceOptions | None = None,
) -> LoadedPair:
    """Load target and drafter; `progress` is told 0..1 and answers whether to go on. Without a
    `placement` all layers, or as many as the options say, go where llama.cpp puts them. `device`
    says how a pair on GPUs is evaluated.

    Raises ModelNotAvailable for a file that is gone, BadPair when llama.cpp refuses one, DoesNotFit
    when there is no memory for it, UsageError when the options ask for what this file or machine
    does not have, Cancelled when `progress` says no.
    """
    options.check()
    log.open(options.log_file, options.verbose)
    attach_log()
    library.start()
    missing = library.mtp_missing()
    place, drafters_place = _places(options, placement)
    layers = place.layers
    device = device or usual_options(layers)
    log.taken()
    drafter, rival, drafter_kv, parameters = None, None, 0, 0
    with ExitStack() as undo:  # what was loaded is freed where something fails
        # The target is nearly all of the bytes, so the drafter's progress is the last bit of it.
        target, target_kv, threads = _load_target(
            files.target, options, place, device, lambda f: progress(0.95 * f), undo
        )
        if files.drafter is not None and not missing:
            model = _load_drafter(
                files.drafter, drafters_place, target, lambda f: progress(0.95 + 0.05 * f), undo
            )
            context, drafter_kv = drafter_context(model, options, threads, layers, target, device)
            undo.callback(lambda: llama_cpp.llama_free(context))
            drafter = LlamaDrafter(model, context, target.embedding_width)
            parameters = llama_cpp.llama_model_n_params(drafter.model)
        buffers = log.taken()
        if files.rival is not None and drafter is not None:
            rival = _load_rival(files.rival, options, drafters_place, layers, target, device, undo)
        give_back_memory()
        progress(1.0)
        undo.pop_all()
    if missing:
        reason = f"{missing}; version {library.NEEDED_VERSION} is needed, so decoding is plain"
    else:
        reason = "" if drafter else files.no_drafter or "there is no drafter for this model"
    found = llama_cpp.llama_model_chat_template(target.model, None)
    template = found.decode("utf-8", "replace") if found else ""
    encoder = None
    if files.encoder is not None:
        gpus = _gpus(placement, layers)
        encoder = Encoder(files.encoder, target.model, threads, options.image_tokens, gpus)
    sees, hears = encoder.reads if encoder else (False, False)
    info = PairInfo(
        name=files.name,
        context_size=target.context_size,
        threads=threads,
        # Where a GPU computes, threads wait for it, and that says nothing about other programs.
        adaptive_threads=options.threads is None and threads > 1 and not layers,
        gpu_layers=layers,
        target_kv_bytes=target_kv,
        drafter_kv_bytes=drafter_kv,
        target_parameters=llama_cpp.llama_model_n_params(target.model),
        drafter_parameters=parameters,
        plain_reason=reason,
        warnings=target.vocabulary.warnings(template),
        context_limit=llama_cpp.llama_model_n_ctx_train(target.model),
        drafter_of=files.drafter_of if drafter else "",
        placement=measured(placement or ON_CPU, buffers),
        device_choice=DeviceChoice(device),
        images=sees,
        no_images=files.no_encoder,
        audio=hears,
        no_audio=files.no_audio,
    )
    weights = Counter({key: count for key, count in buffers.items() if key[1] == "model"})
    return LoadedPair(target, drafter, template, info, options, weights, rival, encoder)


def _gpus(placement: Placement | None, layers: int) -> list[str]:
    """The devices that the target has layers on."""
    if placement is not None:
        return [share.name for share in placement.gpus]
    return [name for name, _, kind, *_ in devices() if kind != "cpu"] if layers else []


def _places(options: LoadOptions, placement: Placement | None) -> tuple[ModelPlace, ModelPlace]:
    """Those of target and drafter."""
    if placement is None:
        same = ModelPlace(_layers_on_gpu(options))
        return same, same
    return target_place(placement), drafter_place(placement)


def _layers_on_gpu(options: LoadOptions) -> int:
    """How many, -1 for all. Raises UsageError where some are asked for and there is no GPU."""
    # llama_supports_gpu_offload would also be true for RPC's backend without a device.
    gpu = has_gpu()
    if options.gpu_layers and not gpu:
        asked = "all" if options.gpu_layers < 0 else options.gpu_layers
        raise UsageError(
            f"gpu_layers is {asked}, and llama.cpp finds no GPU here.",
            "0 is the CPU alone, auto whatever is here; gemma-mtp doctor says how a GPU is used.",
        )
    return options.gpu_layers if options.gpu_layers is not None else (-1 if gpu else 0)


def _load_target(
    path: Path,
    options: LoadOptions,
    place: ModelPlace,
    device: DeviceOptions,
    progress: Callable[[float], bool],
    undo: ExitStack,
) -> tuple[LlamaTarget, int, int]:
    """The target, the bytes of its KV cache, and the threads that evaluate."""
    model = load_model(path, place, TARGET_OVERRIDES, progress)
    undo.callback(lambda: llama_cpp.llama_model_free(model))
    small = llama_cpp.llama_model_n_params(model) < ONE_THREAD_PARAMETERS
    threads = options.threads or (1 if small else usable_threads())
    trained = llama_cpp.llama_model_n_ctx_train(model)
    size = options.context or min(DEFAULT_CONTEXT, trained)
    refuse_untrained(model, size)
    context, kv_bytes = target_context(model, options, threads, place.layers, size, device)
    undo.callback(lambda: llama_cpp.llama_free(context))
    return LlamaTarget(model, context, device.piece, softcap_of(model)), kv_bytes, threads


def _load_drafter(
    path: Path,
    place: ModelPlace,
    target: LlamaTarget,
    progress: Callable[[float], bool],
    undo: ExitStack,
) -> Any:
    """The drafter's model."""
    model = load_model(path, place, drafter_overrides(target.vocabulary.size), progress)
    undo.callback(lambda: llama_cpp.llama_model_free(model))
    return model


def _load_rival(
    path: Path,
    options: LoadOptions,
    place: ModelPlace,
    layers: int,
    target: LlamaTarget,
    device: DeviceOptions,
    undo: ExitStack,
) -> LlamaDrafter | None:
    """A second drafter to compare the first one with; None where it cannot be had, as for want of
    memory: the pair does without."""
    with suppress(BadPair, DoesNotFit), ExitStack() as own:
        model = _load_drafter(path, place, target, lambda fraction: True, own)
        threads = llama_cpp.llama_n_threads(target.context)
        context, _ = drafter_context(model, options, threads, layers, target, device)
        own.callback(lambda: llama_cpp.llama_free(context))
        log.taken()
        undo.push(own.pop_all())
        return LlamaDrafter(model, context, target.embedding_width)
    return None
