"""A device made of software: this machine's processor, as llama.cpp's RPC backend offers it.

    python benchmarks/devices/rpc_worker.py FOLDER PORT [BYTES]

FOLDER holds llama.cpp's libraries, built with GGML_RPC=ON. It listens on this machine alone until
it is killed. With BYTES it says that it has so much memory, and cannot have much more.
"""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

GET_MEMORY = 2  # its place in ggml_backend_device_i, whose members are pointers to functions
OWN = 64 << 20  # bytes beside the buffers: of the program, and of what is sent to it
Size = ctypes.POINTER(ctypes.c_size_t)
GetMemory = ctypes.CFUNCTYPE(None, ctypes.c_void_p, Size, Size)


def limited(device: int, size: int) -> object:
    """Have a device say that its memory is of `size` bytes; keep what is returned."""

    def answer(_device: int, free: ctypes._Pointer, total: ctypes._Pointer) -> None:
        free[0] = total[0] = size

    call = GetMemory(answer)
    functions = (ctypes.c_void_p * (GET_MEMORY + 1)).from_address(device)
    functions[GET_MEMORY] = ctypes.cast(call, ctypes.c_void_p).value
    if resource is not None:
        kilobytes = re.search(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())
        assert kilobytes is not None
        most = int(kilobytes[1]) * 1024 + size + OWN
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return call


def serve(folder: Path, port: int, size: int) -> None:
    """Be the worker."""
    ggml = ctypes.CDLL(str(folder / "libggml.so"))
    rpc = ctypes.CDLL(str(folder / "libggml-rpc.so"))
    ggml.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    device = ggml.ggml_backend_dev_by_type(0)  # the CPU
    kept = limited(device, size) if size else None
    start = rpc.ggml_backend_rpc_start_server
    handles = ctypes.POINTER(ctypes.c_void_p)
    start.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, handles]
    start(f"127.0.0.1:{port}".encode(), None, 1, 1, (ctypes.c_void_p * 1)(device))
    del kept


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
