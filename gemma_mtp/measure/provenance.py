"""The conditions under which something was measured: files, versions, machine, settings.

`bench` and `verify` print them beside their figures, which mean nothing elsewhere without them.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gemma_mtp import __version__
from gemma_mtp.api import LoadOptions, PairFiles, PairInfo, to_json
from gemma_mtp.models.gguf import Header, read_header
from gemma_mtp.models.machine import cpu_name


def conditions(
    files: PairFiles,
    info: PairInfo,
    options: LoadOptions,
    plan: Mapping[str, Any],
    llama: tuple[str, str],
    sums: Mapping[Path, str] | None = None,
) -> dict[str, Any]:
    """What `--json` says of a loaded pair that was measured by a plan.

    `llama` are the versions of llama-cpp-python and of llama.cpp. With `sums`, the sha256 of each
    file by path, files are listed with theirs.
    """
    loaded = {
        "context_size": info.context_size,
        "threads": info.threads,
        "gpu_layers": info.gpu_layers,
        "placement": info.placement.in_words(bool(info.drafter_parameters)),
        "kv_type": options.kv_type,
        "flash_attention": options.flash_attn,
        "device_choice": to_json(info.device_choice),
    }
    return {
        "model": files.called,
        "files": _files(files, sums),
        "settings": {**plan, **loaded},
        "versions": _versions(llama),
    }


def _files(pair: PairFiles, sums: Mapping[Path, str] | None) -> list[dict[str, Any]]:
    """Role, name, bytes and weights of each file, of a split model those of each part; the weights
    of a part are those of the whole model."""
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
    """The type that most of the layers' weights have, such as Q4_0.

    Embeddings do not count, since a step reads only one row of them.
    """
    sizes: Counter[str] = Counter()
    for name, tensor in header.tensors.items():
        if name.startswith("blk.") and len(tensor.shape) > 1:
            sizes[tensor.type] += tensor.bytes
    return sizes.most_common(1)[0][0] if sizes else ""


def _versions(llama: tuple[str, str]) -> dict[str, str]:
    """Of this program and of what it runs on."""
    return {
        "gemma_mtp": __version__,
        "llama_cpp_python": llama[0],
        "llama_cpp": llama[1],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
    }
