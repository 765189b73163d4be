"""How fast this machine reads its memory, which is what sets the pace of plain decoding on a CPU.

`doctor` asks, and tells `fit`. Takes a quarter of a second or less.
"""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

COPIED = 32 << 20  # bytes a thread copies at once; with those of the others more than caches hold
THREADS = 8  # at the most; more are seldom faster, and each takes twice as many bytes
TIMES = 8  # the fastest counts: other programs only slow it down


def memory_speed(cores: int) -> float:
    """Bytes per second that all cores together move: a copy reads each byte and writes it."""
    count = max(1, min(cores, THREADS))
    # Written once: pages that nobody wrote to are all one.
    pairs = [(bytearray(b"\1") * COPIED, bytearray(b"\1") * COPIED) for _ in range(count)]
    buffers = [[(ctypes.c_char * COPIED).from_buffer(one) for one in pair] for pair in pairs]

    def copy(pair: list[ctypes.Array[ctypes.c_char]]) -> None:
        ctypes.memmove(pair[0], pair[1], COPIED)  # without Python's lock, so all at once

    with ThreadPoolExecutor(count) as pool:
        fastest = float("inf")
        for _ in range(TIMES):
            started = perf_counter()
            list(pool.map(copy, buffers))
            fastest = min(fastest, perf_counter() - started)
    return 2 * COPIED * count / fastest
