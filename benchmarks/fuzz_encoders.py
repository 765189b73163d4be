"""Damages the headers of encoders, has each read a picture and recordings, and counts the deaths.

    python benchmarks/fuzz_encoders.py [--count 2000] [--seed 1] [--memory 3] [--keep FOLDER]

Every mutated file is checked as a pull does; what passes is loaded beside the built-in target, in a
process of its own, and encodes. A refusal is a success, and so are rows; a process that ends by a
signal is a failure, and so is an exception that is no sentence. `--only N` repeats one of them.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from fuzz_headers import (
    ROOT,
    change_key,
    change_shape,
    change_type,
    drop_key,
    drop_tensor,
    in_a_child,
    other_value,
    outcome,
    rename_key,
    spread_key,
)

sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import gguf_writer as writer  # noqa: E402
from support.encoder import F32, parts_of, picture  # noqa: E402
from support.gguf_writer import INT32, Metadata, Tensors, Typed  # noqa: E402
from support.pairs import TINY  # noqa: E402
from support.sounds import wav  # noqa: E402

from gemma_mtp.api import Audio, Image, LoadOptions  # noqa: E402
from gemma_mtp.errors import GemmaMtpError  # noqa: E402
from gemma_mtp.llama import LoadedPair, load_pair  # noqa: E402
from gemma_mtp.llama.media import Encoder  # noqa: E402
from gemma_mtp.models import gguf  # noqa: E402
from gemma_mtp.models.encoder_check import check_encoder  # noqa: E402

WIDTH = 448  # of the built-in target's embeddings
KINDS = (("gemma4v", "gemma4a"), ("", "gemma4a"), ("gemma4uv", "gemma4ua"), ("", "gemma4ua"),
         ("gemma4v", ""), ("gemma4uv", ""))  # fmt: skip
LARGEST = 200 << 20  # bytes of a file; a tensor may be damaged to any size
FILL = (np.random.default_rng(3).standard_normal(5000) * 0.1).astype("<f4").tobytes()
KEYS = (
    ("attention.head_count_kv", 2),
    ("attention.head_dim", 12),
    ("feature_layer", Typed(INT32, [1, 2])),
    ("mm_patch_merge_type", "spatial"),
    ("image_grid_pinpoints", Typed(INT32, [224, 224])),
    ("projector.scale_factor", 3),
    ("image_min_pixels", 100),
    ("image_max_pixels", 100),
    ("preproc_image_size", 0),
    ("num_mel_bins", 0),
    ("window_size", 0),
    ("spatial_merge_size", 0),
)
GENERAL = (
    ("clip.projector_type", "gemma4v"),
    ("clip.projector_type", "gemma4ua"),
    ("clip.use_silu", True),
    ("clip.has_vision_encoder", True),
    ("clip.has_audio_encoder", True),
    ("clip.has_gen_audio_encoder", True),
    ("clip.minicpmv_version", 3),
    ("general.alignment", 64),
    ("split.count", 2),
)
NAMES = ("v.class_embd", "v.pre_ln.weight", "v.patch_embd.weight.1", "v.blk.0.attn_qkv.weight",
         "v.blk.0.ls1.weight", "v.std_bias", "a.conv1d.0.bias", "a.position_embd.weight",
         "a.blk.0.ffn_gate.weight", "a.blk.0.attn_q.bias", "a.blk.0.per_dim_k_scale.weight",
         "a.blk.0.conv_dw.bias", "mm.a.soft_emb_norm.weight", "x")  # fmt: skip
ENDS = (".bias", ".scale", ".input_min", ".input_max", ".output_min", ".output_max")


def add_key(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    part = chance.choice(("vision", "audio"))
    own = [(f"clip.{part}.{key}", value) for key, value in KEYS]
    key, value = chance.choice([*own, *own, *GENERAL])
    metadata[key] = value if chance.random() < 0.5 else other_value(chance, value)


def add_tensor(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    source = chance.choice(list(tensors))
    name = source.removesuffix(".weight").removesuffix(".bias") + chance.choice(ENDS)
    shape = chance.choice(((1,), (2,), (4,), (12,), (24,), (24, 24), (WIDTH,), tensors[source][0]))
    tensors[chance.choice((name, *NAMES))] = shape, chance.choice((0, 0, 0, 1, 8, 26))


def scale(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    """Another number, in a key and nearly everywhere among the shapes, as if it were meant."""
    key = chance.choice([key for key, value in metadata.items() if type(value) is int and value])
    before = metadata[key]
    metadata[key] = after = chance.choice((1, 2, 3, 224, 640, 4096, before + 1, 2 * before))
    for name, (shape, kind) in tensors.items():
        if chance.random() < 0.9:
            tensors[name] = tuple(after if size == before else size for size in shape), kind


def double_layers(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    metadata[f"clip.{chance.choice(('audio', 'vision'))}.block_count"] = 2
    for name in [name for name in tensors if ".blk.0." in name]:
        tensors[name.replace(".blk.0.", ".blk.1.")] = tensors[name]


MUTATIONS = (
    *(change_key, change_key, change_key, spread_key, drop_key, add_key, add_key, rename_key),
    *(change_type, change_type, change_shape, drop_tensor, add_tensor, add_tensor, scale, scale),
    double_layers,
)


def mutated(chance: random.Random, path: Path) -> str:
    """Write a damaged encoder; what was done to it, "" where nothing can be written."""
    found, shapes = parts_of(WIDTH, *chance.choice(KINDS))
    metadata, tensors = dict(found), {name: (shape, F32) for name, shape in shapes.items()}
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        mutation = chance.choice(MUTATIONS)
        if tensors:  # one that hears without layers has a single one, which may be gone
            done.append(mutation.__name__)
            mutation(chance, metadata, tensors)
    if sum(writer.size_of(*tensor) for tensor in tensors.values()) > LARGEST:
        return ""
    alignment = metadata.get("general.alignment", 32)
    good = type(alignment) is int and 0 < alignment <= 4096
    writer.write(path, metadata, tensors, alignment=alignment if good else 32, fill=FILL)
    return " ".join(done)


def use(pair: LoadedPair, path: Path, chance: random.Random) -> str:
    """Check, load and encode, as the program does."""
    try:
        check_encoder(gguf.read_header(TINY.target), gguf.read_header(path))
    except GemmaMtpError:
        return "refused"
    encoder = Encoder(path, pair.target.model, 1, chance.choice((70, 280, 1120)))
    sees, hears = encoder.reads
    parts = [Image(picture(), "image/png")] * sees
    parts += [Audio(wav(seconds), "audio/wav") for seconds in (1.0, 3.7, 0.1)] * hears
    try:
        for part in parts:
            for segment in encoder.segments(part, "it"):
                encoder.rows(segment)
    except GemmaMtpError as error:
        return f"refused by llama.cpp: {error}"
    return "encoded"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one mutation")
    parser.add_argument("--memory", type=int, default=3, help="gigabytes; 0 is no limit")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="where files that kill are kept")
    asked = parser.parse_args()
    pair = load_pair(replace(TINY, drafter=None), LoadOptions(context=512, threads=1))
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mmproj.gguf"
        for number in range(asked.count) if asked.only is None else [asked.only]:
            chance = random.Random(f"{asked.seed}/{number}")
            done = mutated(chance, path)
            if not done:
                continue
            said = in_a_child(
                lambda chance=chance: use(pair, path, chance),  # type: ignore[misc]
                asked.memory,
                asked.seconds,
            )
            found[outcome(said)] += 1
            if said.startswith(("died", "exception")) or asked.only is not None:
                print(f"{number}: {done}: {said}", flush=True)
                if asked.keep:
                    asked.keep.mkdir(parents=True, exist_ok=True)
                    (asked.keep / f"{number}.gguf").write_bytes(path.read_bytes())
    for what, count in found.most_common():
        print(f"{count:6} {what}")
    return int(any(what.startswith(("died", "exception")) for what in found))


if __name__ == "__main__":
    sys.exit(main())
