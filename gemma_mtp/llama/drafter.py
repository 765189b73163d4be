"""The drafter: one token at a time, from the target's hidden state and cache.

Knows nothing of what becomes of its drafts.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp

from gemma_mtp.llama.batch import Batch, Row, Rows, evaluate
from gemma_mtp.llama.library import ext
from gemma_mtp.llama.shortlist import Chooser, Shortlist, gone


class LlamaDrafter:
    """The drafter; its context owns no KV cache but reads the target's."""

    def __init__(self, model: Any, context: Any, embedding_width: int) -> None:
        self.model = model
        self._batch = Batch(1, embedding_width)
        self._batch.struct.n_tokens = 1
        self._batch.outputs[0] = 1
        vocab = llama_cpp.llama_model_get_vocab(model)
        self._vocabulary_size = llama_cpp.llama_vocab_n_tokens(vocab)
        self._bytes = embedding_width * 4
        assert self._batch.embedding is not None
        self._input = ctypes.addressof(self._batch.embedding)
        self.use_context(context)

    def use_context(self, context: Any) -> None:
        """Draft in this context from now on."""
        self.context = context
        self.chooser = Chooser(context, self._vocabulary_size)
        self._logits = Rows(self._vocabulary_size)

    def begin(self, hidden: Row, position: int) -> None:
        """Start a draft from the target's hidden state before `position`."""
        ctypes.memmove(self._input, hidden.ctypes.data, self._bytes)
        # Every step of one draft is evaluated at the same position: the drafter was trained so.
        self._batch.positions[0] = position

    def step(self, token: int, short: bool = False) -> Row | Shortlist:
        """Logits [vocabulary] for the token after `token`, or a shortlist where `short` says that
        one will do, and the device can choose; valid until the next call."""
        self._batch.tokens[0] = token
        short = self.chooser.turn(short)
        evaluate(self.context, self._batch)
        found = self.chooser.read(0, 1, gone) if short else []
        if short and not found:
            self.chooser.turn(False)
            evaluate(self.context, self._batch)
        row = found[0] if found else self._logits.row(llama_cpp.llama_get_logits(self.context))
        hidden = ext.llama_get_embeddings_nextn_ith(self.context, 0)
        ctypes.memmove(self._input, hidden, self._bytes)
        return row
