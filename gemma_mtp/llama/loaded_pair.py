"""A loaded pair: its contexts, which are made anew for a longer context, and its end.

`load` makes it. Knows nothing of what the pair is used for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import llama_cpp

from gemma_mtp.api import (
    ON_CPU_OPTIONS,
    DeviceChoice,
    DeviceOptions,
    LoadOptions,
    PairInfo,
)
from gemma_mtp.errors import BadPair, DoesNotFit, UsageError
from gemma_mtp.llama.context import context_params, flash_attention, new_context
from gemma_mtp.llama.drafter import LlamaDrafter
from gemma_mtp.llama.library import ext, give_back_memory
from gemma_mtp.llama.log import Buffers, log
from gemma_mtp.llama.media import Encoder
from gemma_mtp.llama.placing import measured
from gemma_mtp.llama.target import LlamaTarget


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
    encoder: Encoder | None = None

    def __post_init__(self) -> None:
        self.threads = self.info.threads
        self.at_once = 0  # positions for which a batch has to have room, if more than a piece

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

    @property
    def device(self) -> DeviceOptions:
        """How it is evaluated where that differs by device."""
        return self.info.device_choice.options

    def attends_alike(self, size: int) -> bool:
        """Whether a context of `size` tokens computes as this one does: what the cache holds is
        the same bits then."""
        now, then = (
            flash_attention(self.options, not self.info.gpu_layers, tokens, self.device)
            for tokens in (self.info.context_size, size)
        )
        return bool(now == then)

    def enlarge(self, size: int) -> None:
        """Make the contexts anew, for `size` tokens; models stay, and the cache is empty. What was
        chosen for the device is given up where only that lacks the room.

        Raises UsageError for more than the model was trained for, and DoesNotFit: then they are as
        before. BadPair where even these cannot be had again; the pair can only be closed then.
        """
        refuse_untrained(self.target.model, size)
        usual = usual_options(self.info.gpu_layers)
        try:
            self._make_anew(size, self.device, self.at_once)
        except DoesNotFit:
            if self.device == usual:
                raise
            self._make_anew(size, usual, self.at_once)
            self.info = replace(self.info, device_choice=DeviceChoice(usual))

    def use(self, device: DeviceOptions) -> None:
        """Evaluate so from now on; where that is new, the contexts are made anew, and the cache is
        empty. Raises DoesNotFit and BadPair as `enlarge` does."""
        if device != self.device:
            self._make_anew(self.info.context_size, device, self.at_once)
            self.info = replace(self.info, device_choice=DeviceChoice(device))

    def widen(self, at_once: int) -> None:
        """Make the contexts anew, so that one batch may have `at_once` positions, or as many as a
        piece has where that is more; the cache is empty. Raises DoesNotFit and BadPair as `enlarge`
        does."""
        self._make_anew(self.info.context_size, self.device, at_once)

    def _make_anew(self, size: int, device: DeviceOptions, at_once: int) -> None:
        before = self.info.context_size, self.device, self.at_once
        self._free_contexts()  # first: there need not be room for both
        try:
            self._make_contexts(size, device, at_once)
        except DoesNotFit:
            self._free_contexts()
            try:
                self._make_contexts(*before)
            except DoesNotFit as error:
                raise BadPair(f"The context cannot be made again: {error}") from error
            raise

    def _make_contexts(self, size: int, device: DeviceOptions, at_once: int) -> None:
        layers, target, self.at_once = self.info.gpu_layers, self.target, at_once
        log.taken()  # of contexts that are gone
        wide = replace(device, piece=max(device.piece, at_once))
        context, target_kv = target_context(
            target.model, self.options, self.threads, layers, size, wide
        )
        target.use_context(context, device.piece)
        drafter_kv = 0
        for drafter in self._drafters:
            own, drafter_kv = drafter_context(
                drafter.model, self.options, self.threads, layers, target, device
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
            part.chooser.close()
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
        if self.encoder is not None:
            self.encoder.close()
        self._free_contexts()
        for part in self._parts:
            llama_cpp.llama_model_free(part.model)


def refuse_untrained(model: Any, size: int) -> None:
    trained = llama_cpp.llama_model_n_ctx_train(model)
    if size > trained:
        raise UsageError(f"A context of {size} tokens is more than this model's {trained}.")


def usual_options(layers: int) -> DeviceOptions:
    """Those with which nothing was measured, with so many layers on GPUs."""
    return DeviceOptions() if layers else ON_CPU_OPTIONS


def target_context(
    model: Any, options: LoadOptions, threads: int, layers: int, size: int, device: DeviceOptions
) -> tuple[Any, int]:
    """A context for the target, and the bytes of its KV cache."""
    params = context_params(options, threads, device, size, on_cpu=not layers)
    return new_context(model, params, "target", bool(device.shortlist))


def drafter_context(
    model: Any,
    options: LoadOptions,
    threads: int,
    layers: int,
    target: LlamaTarget,
    device: DeviceOptions,
) -> tuple[Any, int]:
    """A context for the drafter, which reads the target's cache, and the bytes of one of its own;
    both hand out hidden states from now on."""
    one = replace(device, piece=1)
    params = context_params(options, threads, one, target.context_size, on_cpu=not layers)
    params.ctx_type = llama_cpp.LLAMA_CONTEXT_TYPE_MTP
    params.ctx_other = target.context
    context, kv_bytes = new_context(model, params, "drafter", bool(device.shortlist))
    ext.llama_set_embeddings_nextn(target.context, True, True)
    target.gives_hidden = True
    ext.llama_set_embeddings_nextn(context, True, True)
    return context, kv_bytes
