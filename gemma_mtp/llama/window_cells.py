"""The cells of the sliding-window layers: saved, and put back where they were.

The other layers keep every position, so these cells are all that is lost when a reply moves on.
llama.cpp saves only the window and puts it into whatever cells are free, in which order attention
then adds them up in another order and gives other last bits. So the saved state is spread over an
image of the whole ring first, each position in its own cell (see `ring.py`); cells outside the
window hold zeros, which no token looks at. Knows the layout of the state that this release of
llama.cpp writes; where it is another one, nothing is saved.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
_ONLY_WINDOW = 1  # LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
_ALL = 0
_CELL = np.dtype([("position", "<i4"), ("sequences", "<u4"), ("sequence", "<i4")])
_HEAD = 12  # bytes: a magic number, the flags, and how many sequences follow
_Pointer = ctypes.POINTER(ctypes.c_uint8)


def size(context: Any, flags: int = _ONLY_WINDOW) -> int:
    """Bytes that `save` would take now; 0 where this llama.cpp cannot."""
    get_size = getattr(llama_cpp, "llama_state_seq_get_size_ext", None)
    return int(get_size(context, 0, flags)) if get_size else 0


def save(context: Any) -> Bytes | None:
    """The window as it is now, or None where it cannot be had."""
    state = _get(context, _ONLY_WINDOW)
    try:
        if state is not None:
            _State(state)  # can it be read?
    except ValueError:
        return None
    return state


def save_all(context: Any) -> Bytes | None:
    """All cells of all layers, or None where they cannot be had."""
    return _get(context, _ALL)


def window_of(state: Bytes, n_bytes: int) -> Bytes:
    """What `save` gave, of so many bytes, at the time when `save_all` gave `state`: its end."""
    return np.concatenate([state[:_HEAD], state[_HEAD - n_bytes :]])


def restore_all(context: Any, state: Bytes) -> bool:
    """Put back what `save_all` gave, into a cache that is empty. Those of the window come to lie in
    any order: `restore` them afterwards."""
    return _set(context, state, _ALL)


def _get(context: Any, flags: int) -> Bytes | None:
    n_bytes = size(context, flags)
    if not n_bytes:
        return None
    try:
        state = np.empty(n_bytes, np.uint8)
    except MemoryError:
        return None
    pointer = state.ctypes.data_as(_Pointer)
    n = llama_cpp.llama_state_seq_get_data_ext(context, pointer, len(state), 0, flags)
    return state if n == len(state) else None


def restore(context: Any, state: Bytes, length: int, ring: int) -> bool:
    """Put back the window of positions before `length`, in a ring of that many cells.

    The caches must hold the other layers' positions before `length` still.
    """
    saved = _State(state)
    try:
        whole = saved.spread(max(length, ring - 1), ring)
        image = whole if length >= ring - 1 else saved.spread(length, ring)
    except MemoryError:
        return False
    # llama.cpp fills the ring from its first cell on only if that cell was taken before; hence
    # twice, the first time with all cells.
    if not (_set(context, whole) and _set(context, image)):
        return False
    # It goes on in the cell freed last, that of position `length`.
    memory = llama_cpp.llama_get_memory(context)
    llama_cpp.llama_memory_seq_rm(memory, 0, length, -1)
    return True


def _set(context: Any, image: Bytes, flags: int = _ONLY_WINDOW) -> bool:
    pointer = image.ctypes.data_as(_Pointer)
    n = llama_cpp.llama_state_seq_set_data_ext(context, pointer, len(image), 0, flags)
    return int(n) == len(image)


class _State:
    """A saved state taken apart: head, cells, and for each layer the cells' keys and values."""

    def __init__(self, state: Bytes) -> None:
        self._state, self._at = state, 0
        self.head = self._take(_HEAD)
        (count,) = self._numbers("<I")
        self.cells = self._take(count * _CELL.itemsize).view(_CELL)
        if count == 0 or (self.cells["sequences"] != 1).any():
            raise ValueError("no cells of one sequence")
        self.kind = self._take(8)
        transposed, layers = struct.unpack("<II", self.kind.tobytes())
        self.parts = [self._rows() for _ in range(layers)]
        while self._at < len(state):
            self.parts.append(self._columns() if transposed else self._rows())

    def spread(self, last: int, ring: int) -> Bytes:
        """As if `ring` cells held the positions up to and with `last`."""
        count = min(last + 1, ring)
        cells = np.zeros(count, _CELL)
        cells["sequences"] = 1
        cells["position"] = last - (last - np.arange(count)) % ring
        to = self.cells["position"] % ring
        chunks = [self.head, np.frombuffer(struct.pack("<I", count), np.uint8), _bytes(cells)]
        chunks.append(self.kind)
        for head, axis, data in self.parts:
            shape = list(data.shape)
            shape[axis] = count
            image = np.zeros(shape, np.uint8)
            image[(slice(None),) * axis + (to,)] = data
            chunks += [head, _bytes(image)]
        return np.concatenate(chunks)

    def _rows(self) -> tuple[Bytes, int, Bytes]:
        """A row for each cell."""
        head = self._take(12)
        _type, width = struct.unpack("<iQ", head.tobytes())
        return head, 0, self._take(len(self.cells) * width).reshape(-1, width)

    def _columns(self) -> tuple[Bytes, int, Bytes]:
        """A column for each cell: values without flash attention."""
        head = self._take(12)
        _type, width, rows = struct.unpack("<iII", head.tobytes())
        count = len(self.cells)
        return head, 1, self._take(rows * count * width).reshape(rows, count, width)

    def _numbers(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self._take(struct.calcsize(form)).tobytes())

    def _take(self, n: int) -> Bytes:
        if self._at + n > len(self._state):
            raise ValueError("shorter than it says")
        self._at += n
        return self._state[self._at - n : self._at]


def _bytes(array: NDArray[Any]) -> Bytes:
    return np.frombuffer(array.tobytes(), np.uint8)
