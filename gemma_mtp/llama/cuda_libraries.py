"""CUDA's libraries where pip installed them, so that a llama.cpp built for CUDA finds them.

NVIDIA publishes them as packages whose folders no system searches. What is loaded already is found
by its name, so they are loaded before llama.cpp is. The package `llama` does that first of all.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from contextlib import suppress
from pathlib import Path

BACKEND = "libggml-cuda.so"
NEEDED = ("libcudart.so.*", "libcublasLt.so.*", "libcublas.so.*")  # each after what it needs itself


def preload() -> list[Path]:
    """Load them if llama.cpp is built for CUDA; returns what was loaded."""
    if not sys.platform.startswith("linux"):
        return []
    found = importlib.util.find_spec("llama_cpp")
    loaded = []
    for folder in (found.submodule_search_locations or ()) if found else ():
        if not (Path(folder) / "lib" / BACKEND).exists():
            continue
        for pattern in NEEDED:
            for file in sorted(Path(folder).parent.glob(f"nvidia/*/lib/{pattern}")):
                with suppress(OSError):  # llama.cpp says itself what it misses
                    ctypes.CDLL(str(file), mode=ctypes.RTLD_GLOBAL)
                    loaded.append(file)
    return loaded
