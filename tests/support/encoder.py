"""Encoders with random weights, of the kinds that Gemma 4 has: what they see and hear is noise, but
llama.cpp reads and runs them as it does the real ones.

Pictures to show them are made here, too.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from gemma_mtp.models.gguf_writer import Metadata, Tensors, head, padded

PATCH, POOLED = 4, 3  # pixels of a side of a patch, and patches of a side that become one token
SIDE = PATCH * POOLED  # pixels of a side of what one token stands for
WIDTH, HEADS, LAYERS, FEED_FORWARD = 24, 2, 1, 32
PLACES = 4096  # patches of a side that a picture may have
UNIFIED_PLACES = 1120  # the same, of parts of SIDE pixels: as many as 12B's encoder has
MEL_BINS, CHANNELS, OUTPUT = 32, (4, 3), 20  # of what hears by a transformer
FRAME = 640  # samples of a position, where there is none
F32 = 0  # number of a type of ggml's

Shapes = dict[str, tuple[int, ...]]


def write_encoder(
    path: Path, target_width: int, kind: str = "gemma4v", seed: int = 7, sound: str = ""
) -> Path:
    """An encoder for a target with embeddings of `target_width` numbers.

    `kind` gemma4v is a small transformer, as of most models; gemma4uv none, as of 12B. `sound` is
    likewise gemma4a or gemma4ua, for recordings. Either may be "": then there is no such part.
    """
    metadata, shapes = parts_of(target_width, kind, sound)
    random = np.random.default_rng(seed)
    tensors: Tensors = {name: (shape, F32) for name, shape in shapes.items()}
    with path.open("wb") as file:
        file.write(head(metadata, tensors))
        for name, shape in shapes.items():
            values = random.standard_normal(shape[::-1])
            if len(shape) == 1:
                values = values * 0.02 + name.endswith("weight")
            elif "position" not in name:
                values /= np.sqrt(np.prod(shape[:-1]))
            data = values.astype("<f4").tobytes()
            file.write(data + bytes(padded(len(data)) - len(data)))
    return path


def parts_of(target_width: int, kind: str, sound: str) -> tuple[Metadata, Shapes]:
    """What the header of such an encoder says."""
    metadata: Metadata = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "general.name": "random encoder",
        "clip.use_gelu": True,
    }
    shapes: Shapes = {}
    if kind:
        shapes |= _unified(target_width) if kind == "gemma4uv" else _transformer(target_width)
        metadata |= _seeing(target_width, kind)
    if sound:
        shapes |= _conformer(target_width) if sound == "gemma4a" else _waves(target_width)
        metadata |= _hearing(target_width, sound)
    return metadata, shapes


def _seeing(target_width: int, kind: str) -> Metadata:
    unified = kind == "gemma4uv"
    return {
        "clip.has_vision_encoder": True,
        "clip.vision.projector_type": kind,
        "clip.vision.image_size": 224,
        "clip.vision.patch_size": PATCH,
        "clip.vision.embedding_length": target_width if unified else WIDTH,
        "clip.vision.feed_forward_length": 0 if unified else FEED_FORWARD,
        "clip.vision.block_count": 0 if unified else LAYERS,
        "clip.vision.attention.head_count": 0 if unified else HEADS,
        "clip.vision.attention.layer_norm_epsilon": 1e-6,
        "clip.vision.projection_dim": target_width,
        "clip.vision.projector.scale_factor": POOLED,
        "clip.vision.image_mean": [0.0, 0.0, 0.0],
        "clip.vision.image_std": [1.0, 1.0, 1.0],
    }


def _hearing(target_width: int, kind: str) -> Metadata:
    waves = kind == "gemma4ua"
    return {
        "clip.has_audio_encoder": True,
        "clip.audio.projector_type": kind,
        "clip.audio.num_mel_bins": 128 if waves else MEL_BINS,
        "clip.audio.embedding_length": FRAME if waves else WIDTH,
        "clip.audio.feed_forward_length": 0 if waves else FEED_FORWARD,
        "clip.audio.block_count": 0 if waves else LAYERS,
        "clip.audio.attention.head_count": 0 if waves else HEADS,
        "clip.audio.attention.layer_norm_epsilon": 1e-6,
        "clip.audio.projection_dim": target_width,
    }


def _transformer(target_width: int) -> Shapes:
    shapes: Shapes = {
        "v.patch_embd.weight": (PATCH, PATCH, 3, WIDTH),
        "v.position_embd.weight": (WIDTH, PLACES, 2),
        "mm.input_projection.weight": (WIDTH, target_width),
    }
    norms = ("ln1", "ln2", "attn_post_norm", "ffn_post_norm")
    for layer in range(LAYERS):
        at = f"v.blk.{layer}"
        shapes |= {f"{at}.{norm}.weight": (WIDTH,) for norm in norms}
        shapes |= {f"{at}.attn_{part}_norm.weight": (WIDTH // HEADS,) for part in "qk"}
        shapes |= {f"{at}.attn_{part}.weight": (WIDTH, WIDTH) for part in ("q", "k", "v", "out")}
        shapes |= {f"{at}.ffn_{part}.weight": (WIDTH, FEED_FORWARD) for part in ("up", "gate")}
        shapes[f"{at}.ffn_down.weight"] = (FEED_FORWARD, WIDTH)
    return shapes


def _unified(target_width: int) -> Shapes:
    inputs = SIDE * SIDE * 3
    shapes: Shapes = {
        "v.patch_embd.weight": (inputs, target_width),
        "v.patch_embd.bias": (target_width,),
        "v.position_embd.weight": (target_width, UNIFIED_PLACES, 2),
        "mm.input_projection.weight": (target_width, target_width),
    }
    for norm, width in ((1, inputs), (2, target_width), (3, target_width)):
        shapes |= {f"v.patch_norm.{norm}.{part}": (width,) for part in ("weight", "bias")}
    return shapes


def _conformer(target_width: int) -> Shapes:
    first, second = CHANNELS
    shapes: Shapes = {
        "a.conv1d.0.weight": (3, 3, 1, first),
        "a.conv1d.0.norm.weight": (first,),
        "a.conv1d.1.weight": (3, 3, first, second),
        "a.conv1d.1.norm.weight": (second,),
        "a.input_projection.weight": (MEL_BINS // 4 * second, WIDTH),
        "a.pre_encode.out.weight": (WIDTH, OUTPUT),
        "a.pre_encode.out.bias": (OUTPUT,),
        "mm.a.input_projection.weight": (OUTPUT, target_width),
    }
    norms = ("attn_pre_norm", "attn_post_norm", "ffn_norm", "ffn_post_norm", "ffn_norm_1",
             "ffn_post_norm_1", "norm_conv", "conv_norm", "ln2")  # fmt: skip
    for layer in range(LAYERS):
        at = f"a.blk.{layer}"
        shapes |= {f"{at}.{norm}.weight": (WIDTH,) for norm in norms}
        shapes |= {f"{at}.attn_{p}.weight": (WIDTH, WIDTH) for p in ("q", "k", "v", "out", "k_rel")}
        shapes |= {f"{at}.per_dim_scale.weight": (WIDTH // HEADS,)}
        for number in ("", "_1"):
            shapes[f"{at}.ffn_up{number}.weight"] = (WIDTH, FEED_FORWARD)
            shapes[f"{at}.ffn_down{number}.weight"] = (FEED_FORWARD, WIDTH)
        shapes[f"{at}.conv_pw1.weight"] = (WIDTH, 2 * WIDTH)
        shapes[f"{at}.conv_dw.weight"] = (5, WIDTH)
        shapes[f"{at}.conv_pw2.weight"] = (WIDTH, WIDTH)
    return shapes


def _waves(target_width: int) -> Shapes:
    return {"mm.a.input_projection.weight": (FRAME, target_width)}


def picture(width: int = 100, height: int = 80, seed: int = 1) -> bytes:
    """A PNG of colours that run into each other."""
    random = np.random.default_rng(seed)
    down, right = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    planes = [np.sin(6 * (random.random() * down + random.random() * right)) for _ in range(3)]
    pixels = (np.stack(planes, axis=-1) * 127 + 128).astype(np.uint8)
    return png(pixels.tobytes(), width, height)


def png(pixels: bytes, width: int, height: int) -> bytes:
    """A PNG of so many RGB pixels, whatever its header says of their number."""
    rows = b"".join(b"\0" + pixels[at : at + 3 * width] for at in range(0, len(pixels), 3 * width))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
