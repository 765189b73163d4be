"""Cost curves on disk, so that a machine measures a pair once.

One small file for each pair of files and way of loading, with costs for each number of threads; any
change of these is another file. Losing one costs a few rounds of measuring, so nothing here ever
fails. The engine recalls and keeps them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gemma_mtp.api import LoadOptions, PairFiles, PairInfo
from gemma_mtp.decoding.costs import CostBook
from gemma_mtp.files import json_file
from gemma_mtp.files.checksum import state_of
from gemma_mtp.models import gguf_names

FORMAT = 2


class CostMemory:
    """`recall` what was measured for a loaded pair, `keep` what is known now."""

    def __init__(
        self, folder: Path, files: PairFiles, options: LoadOptions, llama_cpp: str
    ) -> None:
        """`llama_cpp`: its version, how it was built and the processor: what decides on kernels."""
        self._folder = folder
        self._key: dict[str, Any] = {
            "format": FORMAT,
            "llama_cpp": llama_cpp,
            "files": [[p.name, state_of(p)] for p in gguf_names.parts_of(*files.models)],
            "kv": options.kv_type,
            "flash_attention": options.flash_attn,
        }

    def recall(self, info: PairInfo) -> CostBook:
        """The curves measured before, or an empty book."""
        try:
            book = CostBook.from_dict(json_file.read(self._path(info))["costs"])
            json.dumps(book.as_dict(), allow_nan=False)  # costs without end are damage, too
            return book
        except (ValueError, KeyError, TypeError):
            return CostBook()

    def keep(self, info: PairInfo, book: CostBook) -> None:
        """Remember the curves; being unable to is no error."""
        if costs := book.as_dict():
            json_file.keep(self._path(info), {**self._full_key(info), "costs": costs})

    def _full_key(self, info: PairInfo) -> dict[str, Any]:
        more = {"placement": info.placement.key, "device": info.device_choice.options.key}
        known = {name: key for name, key in more.items() if key}
        return {**self._key, "gpu_layers": info.gpu_layers, **known}

    def _path(self, info: PairInfo) -> Path:
        return json_file.place(self._folder, self._full_key(info))
