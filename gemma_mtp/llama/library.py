"""The llama.cpp at hand: its version, whether it can run MTP, how it is started.

The functions that make MTP work are not part of llama-cpp-python's stable interface, so they are
looked up, never assumed. Knows no model.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

import llama_cpp

from gemma_mtp.llama.amx import amx_refused
from gemma_mtp.llama.log import attach

# libllama hands out the functions of its own libggml, wherever LLAMA_CPP_LIB_PATH had it come from:
# another copy would have a registry of devices of its own. Windows looks into one library only.
ggml: Any = llama_cpp.llama_cpp._lib
if os.name == "nt":
    from llama_cpp._ggml import libggml as ggml

ext: Any = None
_ext_error = ""
try:
    from llama_cpp import llama_cpp_ext as ext
except (ImportError, AttributeError) as error:  # an older release, or one with other symbols
    _ext_error = str(error)

NEEDED_VERSION = "0.3.36"


def versions() -> tuple[str, str]:
    """Versions of llama-cpp-python and of the llama.cpp inside it, which is a commit's.

    A source distribution has no repository, so that each build of one counts as changed ("dirty"):
    that says nothing about it.
    """
    commit = ggml.ggml_commit
    commit.restype = ctypes.c_char_p
    return llama_cpp.__version__, commit().decode().removesuffix("-dirty")


def mtp_missing() -> str:
    """Why this llama-cpp-python cannot run MTP drafters, or "" when it can."""
    if ext is None:
        return f"llama-cpp-python {llama_cpp.__version__} lacks MTP ({_ext_error})"
    fields = {name for name, *_ in llama_cpp.llama_context_params._fields_}
    if not {"ctx_type", "ctx_other"} <= fields or not hasattr(llama_cpp, "LLAMA_CONTEXT_TYPE_MTP"):
        return f"llama-cpp-python {llama_cpp.__version__} has no MTP context type"
    return ""


def features() -> str:
    """What llama.cpp was compiled for and found, e.g. "CPU : AVX2 = 1 | AVX512 = 1"."""
    attach()
    start()
    return str(llama_cpp.llama_print_system_info().decode())


def start() -> None:
    """Let llama.cpp list its CPU buffer types now, while AMX is refused; the list is kept."""
    llama_cpp.llama_backend_init()
    list_types = getattr(ggml, "_Z39ggml_backend_cpu_get_extra_buffer_typesv", None)
    if list_types is not None:
        list_types.restype = ctypes.c_void_p
        with amx_refused():
            list_types()


def give_back_memory() -> None:
    """Hand what loading has left unused back to the system, where the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(ctypes.c_size_t(0))
