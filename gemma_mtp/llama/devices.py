"""The devices llama.cpp can compute on."""

from __future__ import annotations

import ctypes
from typing import Any

from gemma_mtp.errors import UsageError
from gemma_mtp.llama import library, log

DEVICE_KINDS = ("cpu", "gpu", "igpu", "accel")  # in the order of ggml-backend.h
_Handle = ctypes.c_void_p


def devices() -> list[tuple[str, str, str, int, int]]:
    """llama.cpp's devices: name, description, kind ("cpu", "gpu", "igpu", "accel"), bytes free
    and in all. Starting a GPU's backend takes a moment."""
    lib = library.ggml
    log.attach()
    library.start()
    lib.ggml_backend_dev_count.restype = ctypes.c_size_t
    lib.ggml_backend_dev_get.argtypes, lib.ggml_backend_dev_get.restype = [ctypes.c_size_t], _Handle
    for name in ("name", "description"):
        call = getattr(lib, f"ggml_backend_dev_{name}")
        call.argtypes, call.restype = [_Handle], ctypes.c_char_p
    lib.ggml_backend_dev_type.argtypes = [_Handle]
    size = ctypes.POINTER(ctypes.c_size_t)
    lib.ggml_backend_dev_memory.argtypes, lib.ggml_backend_dev_memory.restype = (
        [_Handle, size, size],
        None,
    )
    return [_device(lib.ggml_backend_dev_get(i)) for i in range(lib.ggml_backend_dev_count())]


def has_gpu() -> bool:
    """Whether a device is here that can hold layers; none is started for it."""
    lib = library.ggml
    library.start()
    lib.ggml_backend_dev_by_type.argtypes = [ctypes.c_int]
    lib.ggml_backend_dev_by_type.restype = _Handle
    kinds = (DEVICE_KINDS.index(kind) for kind in ("gpu", "igpu"))
    return any(lib.ggml_backend_dev_by_type(kind) for kind in kinds)


def backends() -> set[str]:
    """What llama.cpp was built for, such as "CPU" and "CUDA", whether or not a device is found."""
    lib = library.ggml
    log.attach()
    library.start()
    lib.ggml_backend_reg_count.restype = ctypes.c_size_t
    lib.ggml_backend_reg_get.argtypes, lib.ggml_backend_reg_get.restype = [ctypes.c_size_t], _Handle
    lib.ggml_backend_reg_name.argtypes = [_Handle]
    lib.ggml_backend_reg_name.restype = ctypes.c_char_p
    return {
        lib.ggml_backend_reg_name(lib.ggml_backend_reg_get(i)).decode()
        for i in range(lib.ggml_backend_reg_count())
    }


def handle(name: str) -> int:
    """llama.cpp's own device of this name. Raises UsageError where there is none."""
    lib = library.ggml
    lib.ggml_backend_dev_by_name.argtypes = [ctypes.c_char_p]
    lib.ggml_backend_dev_by_name.restype = _Handle
    found: int | None = lib.ggml_backend_dev_by_name(name.encode())
    if found is None:
        raise UsageError(f"llama.cpp finds no device {name} here.", "gemma-mtp doctor lists them.")
    return found


def memory_name(name: str) -> str:
    """What llama.cpp's log calls the memory of a device. Raises UsageError as `handle` does."""
    lib = library.ggml
    lib.ggml_backend_dev_buffer_type.argtypes = lib.ggml_backend_buft_name.argtypes = [_Handle]
    lib.ggml_backend_dev_buffer_type.restype = _Handle
    lib.ggml_backend_buft_name.restype = ctypes.c_char_p
    kind = lib.ggml_backend_dev_buffer_type(handle(name))
    return str(lib.ggml_backend_buft_name(kind).decode())


def cpu_buffer_type() -> int:
    """The memory of the machine, as a place for weights."""
    library.ggml.ggml_backend_cpu_buffer_type.restype = _Handle
    return int(library.ggml.ggml_backend_cpu_buffer_type())


def _device(handle: Any) -> tuple[str, str, str, int, int]:
    lib, free, total = library.ggml, ctypes.c_size_t(), ctypes.c_size_t()
    lib.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
    kind = lib.ggml_backend_dev_type(handle)
    return (
        lib.ggml_backend_dev_name(handle).decode(),
        lib.ggml_backend_dev_description(handle).decode("utf-8", "replace"),
        DEVICE_KINDS[kind] if kind < len(DEVICE_KINDS) else "other",
        free.value,
        total.value,
    )
