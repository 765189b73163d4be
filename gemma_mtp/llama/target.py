"""The target model: evaluates tokens, hands out rows, forgets positions.

Knows where cells lie and what is left after a rewind; nothing of sampling, rounds or texts.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, overload

import llama_cpp
import numpy as np

from gemma_mtp.api import DECIDED, MAX_WIDTH
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.llama import window_cells
from gemma_mtp.llama.batch import Batch, Row, Rows, evaluate
from gemma_mtp.llama.library import ext
from gemma_mtp.llama.ring import Ring
from gemma_mtp.llama.shortlist import Chooser, Shortlist, gone
from gemma_mtp.llama.vocabulary import Vocabulary


@dataclass(frozen=True)
class SavedTarget:
    """The sliding window of the cache, and the last token's hidden state and logits: all of them,
    or a shortlist that tells whatever is asked of one."""

    window: window_cells.Bytes
    row: Row | Shortlist | None = None
    hidden: Row | None = None

    @property
    def nbytes(self) -> int:
        return self.window.nbytes + sum(r.nbytes for r in (self.row, self.hidden) if r is not None)


@dataclass(frozen=True)
class SavedCache:
    """All of the cache, of which so many bytes at the end are the sliding window; 0 without one."""

    cells: window_cells.Bytes
    window: int

    @property
    def nbytes(self) -> int:
        return self.cells.nbytes


class LlamaTarget:
    """The target model with its KV cache; positions are 0-based tokens of the one sequence."""

    def __init__(self, model: Any, context: Any, piece_size: int, softcap: float = 0.0) -> None:
        """`piece_size`: tokens of a prompt that are evaluated at once; the context may have room
        for more. `softcap`: the logits are not capped yet; `decoding.sampler` does it."""
        self.model, self.softcap = model, softcap
        self.vocabulary = Vocabulary(model)
        self.embedding_width: int = llama_cpp.llama_model_n_embd_out(model)
        self.gives_hidden = False
        self.model_bytes: int = llama_cpp.llama_model_size(model)
        self._window: int = llama_cpp.llama_model_n_swa(model)
        self.use_context(context, piece_size)

    def use_context(self, context: Any, piece_size: int) -> None:
        """Evaluate in this context from now on, of which the cache is empty."""
        self.context = context
        self.context_size: int = llama_cpp.llama_n_ctx(context)
        self.piece_size = min(piece_size, self.most_at_once)
        self._batch = Batch(max(self.piece_size, MAX_WIDTH))
        self._memory = llama_cpp.llama_get_memory(context)
        # As llama.cpp sizes the cache of the sliding-window layers.
        cells = min(self.context_size, self._window + self.most_at_once)
        self._ring = Ring(-(-cells // 256) * 256)
        # Restored cells before this position are empty: no token looks at them, until a rewind.
        self._oldest = 0
        self._restored: Row | None = None
        self.chooser = Chooser(context, self.vocabulary.size)
        self._rows: Row | list[Shortlist] = []
        self._whole: Row | None = None  # those of the last `decode`, evaluated again
        self._logits = Rows(self.vocabulary.size)
        self._hidden = Rows(self.embedding_width)

    def lose_memory(self) -> None:
        """The context is freed; to forget positions does nothing until there is another one."""
        self._memory = None

    @overload
    def decode(
        self, tokens: Sequence[int], position: int, outputs: int, short: Literal[False] = False
    ) -> Row: ...

    @overload
    def decode(
        self, tokens: Sequence[int], position: int, outputs: int, short: bool
    ) -> Row | list[Shortlist]: ...

    def decode(
        self, tokens: Sequence[int], position: int, outputs: int, short: bool = False
    ) -> Row | list[Shortlist]:
        """Evaluate `tokens` at `position`...; logits [outputs, vocabulary] of the last `outputs`,
        or a shortlist of each where `short` says that one will do, and the device can choose.

        The rows are llama.cpp's own memory, valid until the next call.
        """
        batch, n = self._batch, len(tokens)
        for i in range(n):
            batch.tokens[i] = tokens[i]
            batch.positions[i] = position + i
            batch.outputs[i] = i >= n - outputs
        batch.struct.n_tokens = n
        self._first_output = n - outputs
        self._restored = self._whole = None
        # To evaluate it again must not change where the cells lie.
        short = short and self._ring.widest(position, n, kept=0) == n
        short = self.chooser.turn(short) if outputs else False
        self._evaluate()
        found = self.chooser.read(n - outputs, outputs, self._again) if short else []
        self._rows = found or self._whole_rows(outputs, again=short)
        return self._rows

    def _evaluate(self) -> None:
        evaluate(self.context, self._batch)
        last = self._batch.struct.n_tokens - 1
        self._ring.add(self._batch.positions[last] + 1)

    def _whole_rows(self, outputs: int, again: bool) -> Row:
        """All logits of the last `decode`; `again`: it is evaluated once more for them."""
        if again:
            self.chooser.turn(False)
            self.keep(self._batch.positions[0])
            self._evaluate()
        return self._logits.at(llama_cpp.llama_get_logits(self.context), outputs)

    def _again(self, output: int) -> Row:
        """All logits of an output of the last `decode`, which gave shortlists."""
        if self._whole is None:
            self.chooser.rest()
            self._whole = self._whole_rows(len(self._rows), again=True)
        row: Row = self._whole[output]
        return row

    def decode_embedded(self, rows: Row, position: int, outputs: int, at_once: bool) -> Row:
        """As `decode`, of `rows` that stand for a picture or a recording, [positions, embedding
        width]; `at_once` if each of them looks at all others. Raises GemmaMtpError where the
        context has no room for as many at once."""
        n = len(rows)
        size = n if at_once else self.piece_size
        if size > self.most_at_once:  # llama.cpp would end the process
            raise GemmaMtpError(f"What has {n} positions cannot be evaluated at once.")
        batch = Batch(size, rows.shape[1])
        batch.struct.token = None  # type: ignore[assignment]
        assert batch.embedding is not None
        if outputs:
            self.chooser.turn(False)
        llama_cpp.llama_set_causal_attn(self.context, not at_once)
        try:
            for start in range(0, n, size):
                part = np.ascontiguousarray(rows[start : start + size])
                ctypes.memmove(batch.embedding, part.ctypes.data, part.nbytes)
                for i in range(len(part)):
                    batch.positions[i] = position + start + i
                    batch.outputs[i] = start + i >= n - outputs
                batch.struct.n_tokens = len(part)
                evaluate(self.context, batch)
                self._ring.add(position + start + len(part))
        finally:
            llama_cpp.llama_set_causal_attn(self.context, True)
        self._first_output = len(part) - outputs
        self._restored = self._whole = None
        self._rows = self._whole_rows(outputs, again=False)
        return self._rows

    @property
    def most_at_once(self) -> int:
        """Positions that this context evaluates in one batch."""
        return int(llama_cpp.llama_n_ubatch(self.context))

    def hidden(self, row: int) -> Row:
        """Final hidden state [embedding_width] of output `row` of the last `decode`."""
        if self._restored is not None:
            return self._restored
        index = self._first_output + row
        pointer = ext.llama_get_embeddings_nextn_ith(self.context, index)
        return self._hidden.row(pointer)

    def can_rewind(self, length: int) -> bool:
        """Whether the window before `length` is still there, so that evaluation can go on."""
        oldest = llama_cpp.llama_memory_seq_pos_min(self._memory, 0)
        lost = oldest < 0 or max(oldest, self._oldest) > max(0, length - self._window)
        return length == 0 or not lost

    def rewind(self, length: int) -> None:
        """Forget positions from `length` on; only where `can_rewind`, or everything."""
        if length:
            self.keep(length)
            return
        llama_cpp.llama_memory_clear(self._memory, False)
        self._ring.reset(0)
        self._oldest = 0

    def keep(self, length: int) -> None:
        """Forget positions from `length` on, a few at most: rejected drafts."""
        llama_cpp.llama_memory_seq_rm(self._memory, 0, length, -1)
        self._ring.cut(length)

    def widest(self, position: int, kept: int = 1) -> int:
        """The widest batch at `position` that leaves the cells in order whatever is rejected of
        it, but for the first `kept` tokens: 1 or 0."""
        return self._ring.widest(position, MAX_WIDTH, kept)

    @property
    def ring_size(self) -> int:
        """Cells of the sliding-window layers: position p lies in cell p modulo this."""
        return self._ring.size

    @property
    def in_order(self) -> bool:
        """Whether the cache is laid out as it is after evaluating its tokens from the start."""
        return self._ring.in_order

    def saved_bytes(self) -> int:
        """What `save` takes now."""
        rows = 4 * (self.vocabulary.size + self.embedding_width)
        return window_cells.size(self.context) + rows

    def save(self, complete: bool) -> SavedTarget | None:
        """What a later `rewind` to here would miss; None where it cannot be had.

        `complete`: also the rows of the last `decode`, which had one output, unless that is a
        shortlist that leaves something open.
        """
        state = window_cells.save(self.context) if self._window else None
        if state is None:
            return None
        if not complete:
            return SavedTarget(state)
        row = self._rows[0]
        if isinstance(row, Shortlist):
            if row.sure < DECIDED:
                return SavedTarget(state)
            row = replace(row, whole=gone)
        else:
            row = row.copy()
        hidden = self.hidden(0).copy() if self.gives_hidden else None
        return SavedTarget(state, row, hidden)

    def restore(self, saved: SavedTarget, length: int) -> bool:
        """Go back to the `length` positions at which `saved` was taken, which were kept since.

        The cells are in order afterwards. False where it failed; then `rewind(0)` is what is left.
        """
        if not window_cells.restore(self.context, saved.window, length, self._ring.size):
            return False
        self._ring.reset(length)
        self._oldest = max(0, length - self._window)
        self._restored = saved.hidden
        return True

    def saved_cache_bytes(self) -> int:
        """What `save_cache` takes now."""
        return window_cells.size(self.context, 0)

    def save_cache(self) -> SavedCache | None:
        """A copy of the cache; None where it cannot be had."""
        window = self.save(complete=False)
        if self._window and window is None:
            return None
        cells = window_cells.save_all(self.context)
        return None if cells is None else SavedCache(cells, window.window.nbytes if window else 0)

    def restore_cache(self, saved: SavedCache, length: int) -> bool:
        """Put back a copy that was taken at `length` positions, bit for bit.

        False where it failed; then `rewind(0)` is what is left.
        """
        self.rewind(0)
        if not window_cells.restore_all(self.context, saved.cells):
            return False
        if saved.window:
            window = window_cells.window_of(saved.cells, saved.window)
            return self.restore(SavedTarget(window), length)
        self._ring.reset(length)
        return True
