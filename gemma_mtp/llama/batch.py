"""One call of llama.cpp: a batch of tokens goes in, rows of numbers come out.

Contexts here hold one sequence. Knows neither target nor drafter.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from gemma_mtp.errors import DoesNotFit, GemmaMtpError
from gemma_mtp.llama.log import log

Row = NDArray[np.float32]


class Batch:
    """A llama_batch over arrays of our own, so that a call allocates nothing."""

    def __init__(self, size: int, embedding_width: int = 0) -> None:
        self.tokens = (llama_cpp.llama_token * size)()
        self.positions = (llama_cpp.llama_pos * size)()
        self.outputs = (ctypes.c_int8 * size)()
        self._counts = (ctypes.c_int32 * size)(*([1] * size))
        self._sequence = llama_cpp.llama_seq_id(0)
        pointer = ctypes.pointer(self._sequence)
        self._sequences = (ctypes.POINTER(llama_cpp.llama_seq_id) * size)(*([pointer] * size))
        self.embedding = (ctypes.c_float * (size * embedding_width))() if embedding_width else None
        self.struct = llama_cpp.llama_batch(
            n_tokens=0,
            token=self.tokens,
            embd=self.embedding,
            pos=self.positions,
            n_seq_id=self._counts,
            seq_id=self._sequences,
            logits=self.outputs,
        )


class Rows:
    """NumPy views of rows that llama.cpp owns; a view is rebuilt only when the buffer has moved."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._address = 0
        self._view: NDArray[Any] = np.empty((0, width))

    def at(self, pointer: Any, rows: int) -> NDArray[Any]:
        """[rows, width] numbers of the kind that is pointed to, or more rows."""
        address = ctypes.cast(pointer, ctypes.c_void_p).value or 0
        if address != self._address or rows > len(self._view):
            array = np.ctypeslib.as_array(pointer, shape=(rows, self.width))
            self._address, self._view = address, array
        return self._view

    def row(self, pointer: Any) -> Row:
        view: Row = self.at(pointer, 1)[0]
        return view


def evaluate(context: Any, batch: Batch) -> None:
    code = llama_cpp.llama_decode(context, batch.struct)
    if code == 0:
        return
    if code == 1:
        raise DoesNotFit("The context is full.")
    raise GemmaMtpError(f"llama.cpp failed to evaluate a batch (code {code}): {log.why()}.")
