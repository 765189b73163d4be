"""Compares encoders with `transformers`, which computes from the original files.

    python benchmarks/encoder_agreement.py CONVERTER [--keep FOLDER]

CONVERTER is llama.cpp's `convert_hf_to_gguf.py`, as in the source distribution of llama-cpp-python.
Small originals with random weights are written for both kinds of encoders, the transformer and that
of 12B, and converted as published files are, in F32, F16 and BF16. Each file has to be taken for
the built-in target. Of a picture that neither side has to resize, and of a recording, the rows that
stand for it are compared with those of the original: the largest difference, over the largest
number there.

libmtmd computes the transformer's GELU by its quick form, since the converter writes no other into
the file; the originals have the form with tanh. So the transformer is compared with an original of
either form: the first shows whether all else agrees, the second how far pictures are from what the
original sees. Likewise libmtmd takes for the loudness of a
frequency the larger of it and a floor, where the original adds the floor to it: recordings are
compared either way. Ends with status 1 where F32 differs by more than 3e-3 with the same forms;
llama.cpp looks GELU up in a table of 16-bit numbers. Needs what `gemma-mtp[convert]` installs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    Gemma4AudioFeatureExtractor,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4UnifiedAudioFeatureExtractor,
    Gemma4UnifiedConfig,
    Gemma4UnifiedForConditionalGeneration,
)

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.encoder import png
from support.sounds import tune, wav

from gemma_mtp.api import Audio, Image, LoadOptions, Media, PairFiles
from gemma_mtp.llama import LoadedPair, load_pair
from gemma_mtp.llama.media import Encoder
from gemma_mtp.models import gguf
from gemma_mtp.models.encoder_check import check_encoder
from gemma_mtp.models.store import BUILTIN_FOLDER

TARGET = BUILTIN_FOLDER / "tiny-target.gguf"
WIDTH = 448  # of the built-in target's embeddings
ACROSS, DOWN = 20, 14  # parts of 48 pixels: 280 in all, as many as Gemma 4 makes of a picture
PATCH, PART = 16, 48  # pixels
TYPES = ("f32", "f16", "bf16")
QUICK, TANH = "quick_gelu", "gelu_pytorch_tanh"
ORIGINALS = (("gemma4v", QUICK), ("gemma4v", TANH), ("gemma4uv", ""))
BOUND = 3e-3
TEXT: dict[str, Any] = {
    "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 4, "vocab_size": 512,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "global_head_dim": 32,
    "vocab_size_per_layer_input": 512, "hidden_size_per_layer_input": 0,
    "num_kv_shared_layers": 0,
}  # fmt: skip
SOUNDS: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
FLOOR = 1e-3  # of loudness
SECONDS = 7.013  # of the recording; neither side fills whole frames with it
SIGHT: dict[str, Any] = {
    "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 4, "head_dim": 12, "patch_size": PATCH, "standardize": True,
}  # fmt: skip


def original(kind: str, gelu: str, folder: Path) -> Any:
    """A model with random weights, saved as one is published."""
    if kind == "gemma4v":
        sight = SIGHT | {"hidden_activation": gelu}
        config = Gemma4Config(text_config=TEXT, vision_config=sight, audio_config=SOUNDS)
        model: Any = Gemma4ForConditionalGeneration(config)
    else:
        there = {"mm_embed_dim": WIDTH, "output_proj_dims": WIDTH}
        unified = Gemma4UnifiedConfig(text_config=TEXT, vision_config=there, audio_config={})
        model = Gemma4UnifiedForConditionalGeneration(unified)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point() and ("vision" in name or "audio" in name):
                scale = 0.05 if tensor.dim() > 1 else 0.2
                known = tensor if tensor.dim() == 1 and tensor.isfinite().all() else 0.0
                fixed = ("input_m", "output_m", "inv_freq", "softcap", "timescales")
                if not any(word in name for word in fixed):
                    tensor.copy_(known + scale * torch.randn_like(tensor))
    model.save_pretrained(folder)
    seen = {"image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": seen}))
    return model


def reference(model: Any, kind: str, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The rows of the original: [280, WIDTH]."""
    side = PATCH if kind == "gemma4v" else PART
    high, wide = pixels.shape[0] // side, pixels.shape[1] // side
    parts = pixels.reshape(high, side, wide, side, 3).transpose(0, 2, 1, 3, 4)
    values = torch.tensor(parts.reshape(1, high * wide, -1) / 255.0, dtype=torch.float32)
    across, down = np.meshgrid(np.arange(wide), np.arange(high))
    places = torch.tensor(np.stack([across, down], -1).reshape(1, -1, 2))
    with torch.no_grad():
        found = model.eval().model.get_image_features(values, places)
    rows = getattr(found, "pooler_output", found)
    rows = rows[0] if isinstance(rows, (list, tuple)) else rows
    return np.asarray(rows.float().numpy()).reshape(-1, WIDTH)


def heard(
    model: Any, kind: str, samples: np.ndarray[Any, Any], as_llama: bool
) -> np.ndarray[Any, Any]:
    """The rows of the original for a recording; `as_llama` with llama.cpp's floor of loudness."""
    if kind == "gemma4v":
        given = Gemma4AudioFeatureExtractor(mel_floor=0.0 if as_llama else FLOOR)(
            [samples], return_tensors="pt"
        )
        mask = given["input_features_mask"].bool()
        if as_llama:  # the logarithm of the larger one is the larger logarithm
            given["input_features"] = given["input_features"].clamp(min=float(np.log(FLOOR)))
        given["input_features"] = given["input_features"].masked_fill(~mask[..., None], 0.0)
    else:
        given = Gemma4UnifiedAudioFeatureExtractor()([samples], return_tensors="pt")
    with torch.no_grad():
        found = model.eval().model.get_audio_features(
            given["input_features"], given["input_features_mask"]
        )
    rows = found.pooler_output[0][found.attention_mask[0].bool()]
    return np.asarray(rows.float().numpy()).reshape(-1, WIDTH)


def difference(pair: LoadedPair, path: Path, shown: Media, expected: Any) -> float:
    """Between what stands for a picture or a recording in llama.cpp and in the original."""
    check_encoder(gguf.read_header(TARGET), gguf.read_header(path))
    encoder = Encoder(path, pair.target.model, 1, ACROSS * DOWN)
    rows = encoder.rows(*encoder.segments(shown, "it"))
    assert rows is not None
    assert rows.shape == expected.shape, (rows.shape, expected.shape)
    encoder.close()
    return float(np.abs(rows - expected).max() / np.abs(expected).max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("converter", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder for the files")
    asked = parser.parse_args()
    pixels = np.random.default_rng(3).integers(0, 256, (DOWN * PART, ACROSS * PART, 3), np.uint8)
    samples = tune(SECONDS).astype(np.float32) / 32768
    recording = Audio(wav(SECONDS), "audio/wav")
    picture = png(pixels.tobytes(), ACROSS * PART, DOWN * PART)
    pair = load_pair(PairFiles("tiny", TARGET, None), LoadOptions(context=1024, threads=1))
    worst = 0.0
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        for kind, gelu in ORIGINALS:
            name = f"{kind} {gelu}".strip()
            saved = folder / name.replace(" ", "-")
            model = original(kind, gelu, saved)
            expected = reference(model, kind, pixels)
            sounds = [heard(model, kind, samples, as_llama) for as_llama in (True, False)]
            for form in TYPES:
                path = folder / f"mmproj-{saved.name}-{form}.gguf"
                subprocess.run(
                    [sys.executable, asked.converter, "--mmproj", "--outtype", form,
                     "--outfile", path, saved],
                    check=True, capture_output=True,
                )  # fmt: skip
                found = difference(pair, path, Image(picture, "image/png"), expected)
                alike, other = (difference(pair, path, recording, sound) for sound in sounds)
                said = f"pictures {found:.1e}, recordings {alike:.1e}, by the original's floor"
                print(f"{name}, {form}: {said} {other:.1e} of the largest number", flush=True)
                if form == "f32":
                    worst = max(worst, alike, found if gelu != TANH else 0.0)
    pair.close()
    return int(worst > BOUND)


if __name__ == "__main__":
    sys.exit(main())
