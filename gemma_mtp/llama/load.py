"""From two files to a loaded pair: each part in order, and freed in the reverse order.

Knows nothing of what the pair is used for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import llama_cpp

from gemma_mtp.api import (
    CPU_PIECE,
    DEFAULT_CONTEXT,
    GPU_PIECE,
    ON_CPU,
    LoadOptions,
    PairFiles,
    PairInfo,
    Placement,
)
from gemma_mtp.errors import BadPair, Cancelled, DoesNotFit, UsageError
from gemma_mtp.llama import library
from gemma_mtp.llama.context import context_params, flash_attention, new_context
from gemma_mtp.llama.drafter import LlamaDrafter
from gemma_mtp.llama.library import ext, give_back_memory
from gemma_mtp.llama.log import Buffers, log
from gemma_mtp.llama.log import attach as attach_log
from gemma_mtp.llama.overrides import (
    TARGET_OVERRIDES,
    Overrides,
    drafter_overrides,
    softcap_of,
)
from gemma_mtp.llama.placing import ModelPlace, drafter_place, measured, target_place
from gemma_mtp.llama.target import LlamaTarget
from gemma_mtp.llama.threads import usable_threads

# Threads of a smaller model wait for each other longer than they compute; with other work on the
# machine, many times longer.
ONE_THREAD_PARAMETERS = 100_000_000
NO_ROOM = re.compile(r"allocat|out of memory|OutOfDeviceMemory", re.IGNORECASE)
"""What llama.cpp and its devices say of memory that they cannot have."""


@dataclass
class LoadedPair:
    """A target ready to evaluate, its drafter if there is one, and what they turned out to be.

    `weights` are bytes by device, without what the contexts take. `rival` is a second drafter,
    until `settle` says which one stays; it is not among them.
    """

    target: LlamaTarget
    drafter: LlamaDrafter | None
    chat_template: str
    info: PairInfo
    options: LoadOptions
    weights: Buffers
    rival: LlamaDrafter | None = None

    def __post_init__(self) -> None:
        self.threads = self.info.threads

    def use_threads(self, count: int) -> None:
        """Evaluate with so many threads from now on, the drafter too."""
        if count == self.threads:
            return
        self.threads = count
        for part in self._parts:
            # Batches of one token and of more have a number each in llama.cpp.
            llama_cpp.llama_set_n_threads(part.context, count, count)

    def settle(self, *, rival: bool) -> None:
        """Keep one of two drafters, the second one for `rival`, and free the other."""
        if self.drafter is None or self.rival is None:
            return
        other = self.drafter if rival else self.rival
        self.drafter, self.rival = self.rival if rival else self.drafter, None
        llama_cpp.llama_free(other.context)
        llama_cpp.llama_model_free(other.model)
        give_back_memory()
        parameters = llama_cpp.llama_model_n_params(self.drafter.model)
        self.info = replace(self.info, drafter_parameters=parameters)

    def attends_alike(self, size: int) -> bool:
        """Whether a context of `size` tokens computes as this one does: what the cache holds is
        the same bits then."""
        now, then = (
            flash_attention(self.options, not self.info.gpu_layers, tokens)
            for tokens in (self.info.context_size, size)
        )
        return bool(now == then)

    def enlarge(self, size: int) -> None:
        """Make the contexts anew, for `size` tokens; models stay, and the cache is empty.

        Raises UsageError for more than the model was trained for, and DoesNotFit: then they are as
        before. BadPair where even these cannot be had again; the pair can only be closed then.
        """
        _refuse_untrained(self.target.model, size)
        before = self.info.context_size
        self._free_contexts()  # first: there need not be room for both
        try:
            self._make_contexts(size)
        except DoesNotFit:
            self._free_contexts()
            try:
                self._make_contexts(before)
            except DoesNotFit as error:
                raise BadPair(f"The context cannot be made again: {error}") from error
            raise

    def _make_contexts(self, size: int) -> None:
        layers, target = self.info.gpu_layers, self.target
        context, target_kv = _target_context(
            target.model, self.options, self.threads, layers, size, target.piece_size
        )
        target.use_context(context)
        drafter_kv = 0
        for drafter in self._drafters:
            own, drafter_kv = _drafter_context(
                drafter.model, self.options, self.threads, layers, target
            )
            drafter.use_context(own)
        self.info = replace(
            self.info,
            context_size=target.context_size,
            target_kv_bytes=target_kv,
            drafter_kv_bytes=drafter_kv,
            placement=measured(self.info.placement, self.weights + log.taken()),
        )

    def _free_contexts(self) -> None:
        """The drafters' before the target's, which they read."""
        for part in self._parts:
            llama_cpp.llama_free(part.context)
            part.context = None
        self.target.lose_memory()
        give_back_memory()

    @property
    def _drafters(self) -> list[LlamaDrafter]:
        return [drafter for drafter in (self.rival, self.drafter) if drafter is not None]

    @property
    def _parts(self) -> list[LlamaDrafter | LlamaTarget]:
        return [*self._drafters, self.target]

    def close(self) -> None:
        """Free contexts before models."""
        self._free_contexts()
        for part in self._parts:
            llama_cpp.llama_model_free(part.model)


def load_pair(
    files: PairFiles,
    options: LoadOptions,
    progress: Callable[[float], bool] = lambda fraction: True,
    placement: Placement | None = None,
) -> LoadedPair:
    """Load target and drafter; `progress` is told 0..1 and answers whether to go on. Without a
    `placement` all layers, or as many as the options say, go where llama.cpp puts them.

    Raises BadPair when llama.cpp refuses a file, DoesNotFit when there is no memory for it,
    UsageError when the options ask for what this file or machine does not have, Cancelled when
    `progress` says no.
    """
    options.check()
    log.open(options.log_file, options.verbose)
    attach_log()
    library.start()
    missing = library.mtp_missing()
    place, drafters_place = _places(options, placement)
    layers = place.layers
    log.taken()
    drafter, rival, drafter_kv, parameters = None, None, 0, 0
    with ExitStack() as undo:  # what was loaded is freed where something fails
        # The target is nearly all of the bytes, so the drafter's progress is the last bit of it.
        target, target_kv, threads = _load_target(
            files.target, options, place, lambda f: progress(0.95 * f), undo
        )
        if files.drafter is not None and not missing:
            model = _load_drafter(
                files.drafter, drafters_place, target, lambda f: progress(0.95 + 0.05 * f), undo
            )
            context, drafter_kv = _drafter_context(model, options, threads, layers, target)
            undo.callback(lambda: llama_cpp.llama_free(context))
            drafter = LlamaDrafter(model, context, target.embedding_width)
            parameters = llama_cpp.llama_model_n_params(drafter.model)
        buffers = log.taken()
        if files.rival is not None and drafter is not None:
            rival = _load_rival(files.rival, options, drafters_place, layers, target, undo)
        give_back_memory()
        progress(1.0)
        undo.pop_all()
    if missing:
        reason = f"{missing}; version {library.NEEDED_VERSION} is needed, so decoding is plain"
    else:
        reason = "" if drafter else files.no_drafter or "there is no drafter for this model"
    found = llama_cpp.llama_model_chat_template(target.model, None)
    template = found.decode("utf-8", "replace") if found else ""
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
    )
    weights = Counter({key: count for key, count in buffers.items() if key[1] == "model"})
    return LoadedPair(target, drafter, template, info, options, weights, rival)


def _places(options: LoadOptions, placement: Placement | None) -> tuple[ModelPlace, ModelPlace]:
    """Those of target and drafter."""
    if placement is None:
        same = ModelPlace(_layers_on_gpu(options))
        return same, same
    return target_place(placement), drafter_place(placement)


def _layers_on_gpu(options: LoadOptions) -> int:
    """How many, -1 for all. Raises UsageError where some are asked for and there is no GPU."""
    gpu = bool(llama_cpp.llama_supports_gpu_offload())
    if options.gpu_layers and not gpu:
        raise UsageError(
            f"gpu_layers is {options.gpu_layers}, and llama.cpp finds no GPU here.",
            "Leave it out, or install llama.cpp for your GPU as the README says.",
        )
    return options.gpu_layers if options.gpu_layers is not None else (-1 if gpu else 0)


def _load_target(
    path: Path,
    options: LoadOptions,
    place: ModelPlace,
    progress: Callable[[float], bool],
    undo: ExitStack,
) -> tuple[LlamaTarget, int, int]:
    """The target, the bytes of its KV cache, and the threads that evaluate."""
    model = _load_model(path, place, TARGET_OVERRIDES, progress)
    undo.callback(lambda: llama_cpp.llama_model_free(model))
    small = llama_cpp.llama_model_n_params(model) < ONE_THREAD_PARAMETERS
    threads = options.threads or (1 if small else usable_threads())
    trained = llama_cpp.llama_model_n_ctx_train(model)
    size = options.context or min(DEFAULT_CONTEXT, trained)
    _refuse_untrained(model, size)
    piece = GPU_PIECE if place.layers else CPU_PIECE
    context, kv_bytes = _target_context(model, options, threads, place.layers, size, piece)
    undo.callback(lambda: llama_cpp.llama_free(context))
    return LlamaTarget(model, context, piece, softcap_of(model)), kv_bytes, threads


def _refuse_untrained(model: Any, size: int) -> None:
    trained = llama_cpp.llama_model_n_ctx_train(model)
    if size > trained:
        raise UsageError(f"A context of {size} tokens is more than this model's {trained}.")


def _target_context(
    model: Any, options: LoadOptions, threads: int, layers: int, size: int, piece: int
) -> tuple[Any, int]:
    """A context for the target, and the bytes of its KV cache."""
    params = context_params(options, threads, piece, size, on_cpu=not layers)
    return new_context(model, params, "target")


def _drafter_context(
    model: Any, options: LoadOptions, threads: int, layers: int, target: LlamaTarget
) -> tuple[Any, int]:
    """A context for the drafter, which reads the target's cache, and the bytes of one of its own;
    both hand out hidden states from now on."""
    params = context_params(options, threads, 1, target.context_size, on_cpu=not layers)
    params.ctx_type = llama_cpp.LLAMA_CONTEXT_TYPE_MTP
    params.ctx_other = target.context
    context, kv_bytes = new_context(model, params, "drafter")
    ext.llama_set_embeddings_nextn(target.context, True, True)
    target.gives_hidden = True
    ext.llama_set_embeddings_nextn(context, True, True)
    return context, kv_bytes


def _load_drafter(
    path: Path,
    place: ModelPlace,
    target: LlamaTarget,
    progress: Callable[[float], bool],
    undo: ExitStack,
) -> Any:
    """The drafter's model."""
    model = _load_model(path, place, drafter_overrides(target.vocabulary.size), progress)
    undo.callback(lambda: llama_cpp.llama_model_free(model))
    return model


def _load_rival(
    path: Path,
    options: LoadOptions,
    place: ModelPlace,
    layers: int,
    target: LlamaTarget,
    undo: ExitStack,
) -> LlamaDrafter | None:
    """A second drafter to compare the first one with; None where it cannot be had, as for want of
    memory: the pair does without."""
    with suppress(BadPair, DoesNotFit), ExitStack() as own:
        model = _load_drafter(path, place, target, lambda fraction: True, own)
        threads = llama_cpp.llama_n_threads(target.context)
        context, _ = _drafter_context(model, options, threads, layers, target)
        own.callback(lambda: llama_cpp.llama_free(context))
        log.taken()
        undo.push(own.pop_all())
        return LlamaDrafter(model, context, target.embedding_width)
    return None


def _load_model(
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
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    del needed_until_loaded
    if stopped:
        if model:
            llama_cpp.llama_model_free(model)
        raise Cancelled("Loading was stopped.")
    if not model:
        why = log.why()
        kind = DoesNotFit if NO_ROOM.search(why) else BadPair
        raise kind(f"llama.cpp cannot load {path.name}: {why}")
    return model
