"""Block quantization as ggml does it: Q4_0 and Q8_0 bytes, and their rounding inside training.

Both formats cut a row into blocks of 32 weights with one half-precision scale each. `fake_q4_0`
returns the values that the Q4_0 bytes of `pack_q4_0` stand for, so a model trained through it
loses nothing when it is exported.
"""

from __future__ import annotations

import numpy as np
import torch

BLOCK = 32


def _codes_q4_0(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the codes 0..15 and the half-precision scale of each block of 32."""
    index = blocks.abs().argmax(dim=-1, keepdim=True)
    scale = blocks.gather(-1, index) / -8
    # The codes are made with the exact scale, the values with the rounded one: so does ggml.
    inverse = torch.where(scale == 0, torch.zeros_like(scale), 1.0 / scale)
    codes = (blocks * inverse + 8.5).floor().clamp(0, 15)
    return codes, scale.half()


def fake_q4_0(weight: torch.Tensor) -> torch.Tensor:
    """Round `weight` (float32, rows of a multiple of 32) to what Q4_0 can hold."""
    codes, scale = _codes_q4_0(weight.reshape(-1, BLOCK))
    return ((codes - 8) * scale.float()).reshape(weight.shape)


def pack_q4_0(weight: torch.Tensor) -> np.ndarray:
    """Return `weight` as Q4_0 bytes, one row of bytes for each row of weights."""
    codes, scale = _codes_q4_0(weight.float().reshape(-1, BLOCK))
    nibbles = codes.numpy().astype(np.uint8)
    # The first half of a block lies in the low nibbles, the second in the high ones.
    packed = nibbles[:, : BLOCK // 2] | (nibbles[:, BLOCK // 2 :] << 4)
    rows = np.concatenate([scale.numpy().view(np.uint8), packed], axis=1)
    return rows.reshape(weight.shape[0], -1)


def pack_q8_0(weight: torch.Tensor) -> np.ndarray:
    """Return `weight` as Q8_0 bytes, one row of bytes for each row of weights."""
    blocks = weight.float().reshape(-1, BLOCK).numpy()
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    with np.errstate(divide="ignore"):
        inverse = np.where(scale == 0, np.float32(0), np.float32(1) / scale)
    scaled = blocks * inverse
    # ggml rounds halves away from zero, numpy to even.
    codes = (np.sign(scaled) * np.floor(np.abs(scaled) + 0.5)).astype(np.int8)
    rows = np.concatenate([scale.astype(np.float16).view(np.uint8), codes.view(np.uint8)], axis=1)
    return rows.reshape(weight.shape[0], -1)
