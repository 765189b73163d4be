"""What was chosen for a pair on its devices, on disk, so that it is measured once.

One small file for each pair of files, placement, way of loading, and class of context sizes. Losing
one costs another try, so nothing here ever fails. `resident.pairs` recalls and keeps, `show` looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gemma_mtp import paths
from gemma_mtp.api import (
    GPU_PIECE,
    DeviceChoice,
    LoadOptions,
    PairFiles,
    Placement,
    from_json,
    to_json,
)
from gemma_mtp.decoding.device_trials import LONGER_PIECES
from gemma_mtp.errors import UsageError
from gemma_mtp.files import json_file
from gemma_mtp.files.checksum import state_of
from gemma_mtp.models import gguf_names

FORMAT = 1
PIECES = (GPU_PIECE, *LONGER_PIECES)


class DeviceChoices:
    """`recall` what was chosen for a placement, `keep` what is chosen now."""

    def __init__(
        self, folder: Path, files: PairFiles, options: LoadOptions, context: int, machine: str
    ) -> None:
        """`context`: its size in tokens. `machine`: versions of llama.cpp, how it was built, the
        processor and the devices."""
        self._folder = folder
        self._key: dict[str, Any] = {
            "format": FORMAT,
            "machine": machine,
            "files": _states(gguf_names.parts_of(*files.models)),
            "kv": options.kv_type,
            "flash_attention": options.flash_attn,
            "context": context_class(context),
        }

    def recall(self, placement: Placement) -> DeviceChoice | None:
        """What was chosen before, None where nothing was, or nothing that can be used."""
        return _choice(json_file.read(self._path(placement)))

    def keep(self, placement: Placement, choice: DeviceChoice) -> None:
        """Remember it; being unable to is no error."""
        known = {**self._full_key(placement), "choice": to_json(choice)}
        json_file.keep(self._path(placement), known)

    def _full_key(self, placement: Placement) -> dict[str, Any]:
        return {**self._key, "placement": placement.key}

    def _path(self, placement: Placement) -> Path:
        return json_file.place(self._folder, self._full_key(placement))


def latest(files: Iterable[Path]) -> DeviceChoice | None:
    """What was chosen last, by measurement, for a pair of these files (all parts of each), wherever
    it was placed."""
    wanted = sorted(_states(files))
    with suppress(OSError, TypeError, KeyError):  # damage
        for path in sorted(folder().glob("*.json"), key=lambda kept: -kept.stat().st_mtime):
            known = json_file.read(path)
            choice = _choice(known)
            if choice and choice.duels and sorted(known["files"]) == wanted:
                return choice
    return None


def folder() -> Path:
    """Where choices are kept."""
    return paths.cache_dir() / "devices"


def _states(files: Iterable[Path]) -> list[list[str]]:
    return [[file.name, state_of(file)] for file in files]


def _choice(known: dict[str, Any]) -> DeviceChoice | None:
    try:
        found: DeviceChoice = from_json(DeviceChoice, known["choice"])
    except (UsageError, KeyError):
        return None
    return found if found.options.piece in PIECES else None


def context_class(context: int) -> int:
    """The next power of two: sizes in between take their time much alike."""
    return 1 << max(context - 1, 0).bit_length()
