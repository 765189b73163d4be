"""Under which conditions something was measured: files, versions, machine, settings.

What a figure needs beside it to mean anything elsewhere. Knows files and how a pair was loaded;
neither terminal nor llama.cpp.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gemma_mtp import __version__
from gemma_mtp.api import LoadOptions, PairFiles, PairInfo
from gemma_mtp.models.gguf import Header, read_header
from gemma_mtp.models.machine import cpu_name


def files(pair: PairFiles, sums: Mapping[Path, str] | None = None) -> list[dict[str, Any]]:
    """Role, name, size and weights of each file, parts one by one; its sha256 if `sums` is given.

    The weights of a part are those of the whole model.
    """
    found = []
    for role, path in (("target", pair.target), ("drafter", pair.drafter)):
        if path is None:
            continue
        header = read_header(path)
        for file in header.files:
            size = file.stat().st_size
            entry = {"role": role, "name": file.name, "bytes": size, "weights": weights(header)}
            found.append({**entry, **({"sha256": sums[file]} if sums else {})})
    return found


def weights(header: Header) -> str:
    """The type most of the layers' weights have, such as Q4_0; embeddings do not count, since a
    step reads but one row of them."""
    sizes: Counter[str] = Counter()
    for name, tensor in header.tensors.items():
        if name.startswith("blk.") and len(tensor.shape) > 1:
            sizes[tensor.type] += tensor.bytes
    return sizes.most_common(1)[0][0] if sizes else ""


def versions(llama: tuple[str, str]) -> dict[str, str]:
    """Of this program and of what it runs on; `llama`: the binding's and llama.cpp's."""
    return {
        "gemma_mtp": __version__,
        "llama_cpp_python": llama[0],
        "llama_cpp": llama[1],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
    }


def loaded(info: PairInfo, options: LoadOptions) -> dict[str, Any]:
    """How the pair was loaded."""
    return {
        "context_size": info.context_size,
        "threads": info.threads,
        "gpu_layers": info.gpu_layers,
        "kv_type": options.kv_type,
        "flash_attention": options.flash_attn,
    }
