"""Keep llama.cpp from using Intel's AMX matrix unit, where this release of it dies with SIGSEGV.

On CPUs with AMX (Sapphire Rapids and later) llama.cpp puts quantized weights into AMX buffers and
may fault on its first tile instruction (ggml-org/llama.cpp#20824, still open for the pinned
release). There is no switch for it, but llama.cpp asks the kernel for permission first, once, and
uses its ordinary kernels when that is refused. Linux refuses while a thread has an alternate signal
stack too small for a frame with tiles in it, so a small one is installed for just that moment.
Knows nothing of models.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SMALL_STACK = 4096  # bytes; a signal frame with AMX tiles takes more than 8192


class _SignalStack(ctypes.Structure):
    """stack_t of sigaltstack(2) on Linux."""

    _fields_ = (
        ("pointer", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )


def cpu_has_amx() -> bool:
    """Whether this is a Linux machine whose CPU offers AMX."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return " amx_int8" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


@contextmanager
def amx_refused() -> Iterator[None]:
    """While inside, the kernel refuses this process the use of AMX tiles; stderr is closed to C."""
    if not cpu_has_amx():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    memory = ctypes.create_string_buffer(_SMALL_STACK)
    small = _SignalStack(ctypes.addressof(memory), 0, _SMALL_STACK)
    before = _SignalStack()
    libc.sigaltstack(ctypes.byref(small), ctypes.byref(before))
    try:
        with _c_stderr_closed():  # being refused, llama.cpp says so on stderr
            yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)


@contextmanager
def _c_stderr_closed() -> Iterator[None]:
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)
