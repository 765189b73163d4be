"""A drafter made worse on purpose: noise on its weights, or logits too flat or too sharp.

The built-in drafter agrees with its target nearly always, as no drafter of a large model does.
Knows GGUF blocks and rows, nothing of drafting.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from gemma_mtp.api import PairFiles
from gemma_mtp.decoding.drafters import DraftModel
from gemma_mtp.decoding.rows import Row
from gemma_mtp.models.gguf import read_header
from gemma_mtp.models.store import BUILTIN_FOLDER

BLOCK_BYTES = {"Q4_0": 18, "Q8_0": 34}  # each begins with its scale, in half precision


def noisy_weights(source: Path, target: Path, sigma: float, seed: int = 0) -> Path:
    """Copy a drafter, each block of its quantized weights scaled by 1 + sigma * N(0, 1)."""
    rng = np.random.default_rng(seed)
    header = read_header(source)
    shutil.copyfile(source, target)
    data = np.memmap(target, np.uint8, "r+")
    for tensor in header.tensors.values():
        size = BLOCK_BYTES.get(tensor.type)
        if size is None:
            continue
        start = header.data_offset + tensor.offset
        blocks = data[start : start + tensor.bytes].reshape(-1, size)
        scales = blocks[:, :2].copy().view(np.float16)
        noise = 1 + sigma * rng.standard_normal(scales.shape)
        blocks[:, :2] = (scales * noise).astype(np.float16).view(np.uint8)
    data.flush()
    return target


def weakened_pair(folder: Path, sigma: float) -> PairFiles:
    """The built-in pair with so much noise on the weights of its drafter, written to `folder`."""
    drafter = BUILTIN_FOLDER / "tiny-drafter.gguf"
    if sigma:
        drafter = noisy_weights(drafter, folder / f"drafter-{sigma:g}.gguf", sigma)
    return PairFiles("weakened", BUILTIN_FOLDER / "tiny-target.gguf", drafter)


class Tempered:
    """A drafter whose logits are too flat (factor below 1) or too sharp (above)."""

    def __init__(self, drafter: DraftModel, factor: float) -> None:
        self._drafter, self._factor = drafter, factor

    def begin(self, hidden: Row, position: int) -> None:
        self._drafter.begin(hidden, position)

    def step(self, token: int, short: bool = False) -> Row:
        row = self._drafter.step(token)
        assert isinstance(row, np.ndarray)
        return row * np.float32(self._factor)
