"""The only package that touches llama.cpp: load a pair, evaluate tokens, hand out rows.

Knows nothing of sampling, rounds, templates or terminals.
"""

from gemma_mtp.llama.devices import backends, devices
from gemma_mtp.llama.library import NEEDED_VERSION, features, mtp_missing, versions
from gemma_mtp.llama.load import LoadedPair, load_pair

__all__ = [
    "NEEDED_VERSION",
    "LoadedPair",
    "backends",
    "devices",
    "features",
    "load_pair",
    "mtp_missing",
    "versions",
]
