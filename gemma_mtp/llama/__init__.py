"""The only package that touches llama.cpp: load a pair, evaluate tokens, hand out rows.

Knows nothing of sampling, rounds, templates or terminals.
"""

from gemma_mtp.errors import NoEngine
from gemma_mtp.llama.cuda_libraries import preload

preload()
try:
    import llama_cpp  # noqa: F401
except (ImportError, OSError, RuntimeError) as error:
    raise NoEngine(
        f"llama.cpp cannot be loaded: {error}.", "gemma-mtp doctor says what helps."
    ) from error

from gemma_mtp.llama.devices import backends, devices, has_gpu  # noqa: E402
from gemma_mtp.llama.library import (  # noqa: E402
    NEEDED_VERSION,
    features,
    mtp_missing,
    versions,
)
from gemma_mtp.llama.load import load_pair  # noqa: E402
from gemma_mtp.llama.loaded_pair import LoadedPair  # noqa: E402

__all__ = [
    "NEEDED_VERSION",
    "LoadedPair",
    "backends",
    "devices",
    "features",
    "has_gpu",
    "load_pair",
    "mtp_missing",
    "versions",
]
