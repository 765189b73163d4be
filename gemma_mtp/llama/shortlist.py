"""The likeliest tokens of each row, chosen on the device: backend sampling of llama.cpp.

A context can have a sampler that leaves the SHORTLIST largest logits of each row. With it no whole
row is copied to the processor, without it every row is. To change that has llama.cpp lay out its
buffers anew, so it stays as it is until rows of the other kind are asked for. Knows nothing of how
a token is chosen.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from gemma_mtp.api import SHORTLIST
from gemma_mtp.llama.batch import Row, Rows

SEQUENCE = 0  # the only one of a context
# Evaluations with whole rows after a shortlist did not tell which token comes first. Where that
# happens once, as with weights that are all the same, it will happen again.
REST = 256

Again = Callable[[int], Row]
"""Evaluates a row once more, by its number, and gives all of it."""


def gone(output: int = 0) -> Row:
    """In place of a row that cannot be evaluated again."""
    raise AssertionError("more was asked of a shortlist than it was made for")


@dataclass(frozen=True)
class Shortlist:
    """The largest `logits` of a row, and their `ids`, the largest first, the smaller id before a
    tie. The first `sure` are those of the row; more may tie with the last one than are here.
    `whole` gives the row itself, until something else is evaluated."""

    ids: NDArray[np.int64]
    logits: Row
    whole: Callable[[], Row] = gone

    @property
    def sure(self) -> int:
        """How many at the front are certain to be the row's; none where some are no numbers."""
        if not np.isfinite(self.logits).all():
            return 0
        return int((self.logits > self.logits[-1]).sum())

    @property
    def nbytes(self) -> int:
        return self.ids.nbytes + self.logits.nbytes


def context(model: Any, params: Any) -> Any:
    """A context that a `Chooser` can have shortlists of, with room for them from the start; None
    where llama.cpp cannot make it. It is as any where a shortlist would be the whole row."""
    vocabulary = llama_cpp.llama_model_get_vocab(model)
    if llama_cpp.llama_vocab_n_tokens(vocabulary) <= SHORTLIST:
        return llama_cpp.llama_init_from_model(model, params)
    chain = _sampler()
    config = llama_cpp.llama_sampler_seq_config(SEQUENCE, ctypes.cast(chain, ctypes.c_void_p))
    params.samplers, params.n_samplers = ctypes.pointer(config), 1
    made = llama_cpp.llama_init_from_model(model, params)
    if made:
        _made_with[made] = chain
    else:
        llama_cpp.llama_sampler_free(chain)
    return made


_made_with: dict[Any, Any] = {}  # samplers of contexts for which there is no `Chooser` yet


class Chooser:
    """Has the device choose for one context, where that was made for it and the device can."""

    def __init__(self, context: Any, size: int) -> None:
        """`size`: tokens of the vocabulary."""
        self._context = context
        self._chain = _made_with.pop(context, None)
        self._possible = self._chain is not None
        self._resting = 0
        self._checked = False
        self._logits, self._ids = Rows(size), Rows(size)

    def turn(self, wanted: bool) -> bool:
        """Whether the next evaluation gives shortlists, which are `wanted` or not."""
        self._resting = max(self._resting - 1, 0)
        on = wanted and self._possible and not self._resting
        if on != (self._chain is not None):
            self._switch(on)
        return on

    def rest(self) -> None:
        """Give whole rows for a while."""
        self._resting = REST

    def read(self, first: int, count: int, again: Again) -> list[Shortlist]:
        """Those of `count` outputs, of which the first one is the batch's token `first`; none where
        the device cannot choose, after which there are whole rows."""
        context = self._context
        if not self._checked and not self._check(first):
            return []
        logits = self._logits.at(llama_cpp.llama_get_sampled_logits_ith(context, first), count)
        ids = self._ids.at(llama_cpp.llama_get_sampled_candidates_ith(context, first), count)
        return in_order(ids[:count, :SHORTLIST], logits[:count, :SHORTLIST], again)

    def _check(self, first: int) -> bool:
        """Whether the device has the operation; llama.cpp leaves it out without a word."""
        count = llama_cpp.llama_get_sampled_candidates_count_ith(self._context, first)
        self._checked = self._possible = count == SHORTLIST
        return self._possible

    def _switch(self, on: bool) -> None:
        new = _sampler() if on else None
        llama_cpp.llama_set_sampler(self._context, SEQUENCE, new)
        self.close()
        self._chain = new

    def close(self) -> None:
        """The sampler is used no more."""
        if self._chain is not None:
            llama_cpp.llama_sampler_free(self._chain)
            self._chain = None


def _sampler() -> Any:
    """One that leaves the largest logits; a context takes nothing but a chain, and only once."""
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_top_k(SHORTLIST))
    return chain


def in_order(ids: NDArray[np.int32], logits: Row, again: Again) -> list[Shortlist]:
    """Shortlists of rows [n, SHORTLIST], in whatever order the device left their tokens."""
    found = []
    for i, (own, values) in enumerate(zip(ids, logits, strict=True)):
        order = np.lexsort((own, -values))
        found.append(Shortlist(own[order].astype(np.int64), values[order], partial(again, i)))
    return found
