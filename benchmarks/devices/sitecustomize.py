"""Registers workers as devices of llama.cpp, in each Python process whose PYTHONPATH leads here.

SOFTWARE_DEVICES has their addresses, LLAMA_CPP_LIB_PATH llama.cpp's libraries: so commands of
gemma-mtp, and the engine that stays, find devices as if they were graphics cards.
"""

from __future__ import annotations

import ctypes
import os
import socket


def register(folder: str, addresses: list[str]) -> None:
    """Add each worker; one that cannot be reached is no device."""
    ggml = ctypes.CDLL(os.path.join(folder, "libggml.so"))
    rpc = ctypes.CDLL(os.path.join(folder, "libggml-rpc.so"))
    rpc.ggml_backend_rpc_add_server.argtypes = [ctypes.c_char_p]
    rpc.ggml_backend_rpc_add_server.restype = ctypes.c_void_p
    ggml.ggml_backend_register.argtypes = [ctypes.c_void_p]
    for address in filter(listens, addresses):
        if found := rpc.ggml_backend_rpc_add_server(address.encode()):
            ggml.ggml_backend_register(found)


def listens(address: str) -> bool:
    """Whether a worker is there; llama.cpp would end the process where none is."""
    host, _, port = address.rpartition(":")
    with socket.socket() as tried:
        return tried.connect_ex((host, int(port))) == 0


if os.environ.get("SOFTWARE_DEVICES"):
    register(os.environ["LLAMA_CPP_LIB_PATH"], os.environ["SOFTWARE_DEVICES"].split())
