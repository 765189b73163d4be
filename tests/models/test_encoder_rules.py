"""What llama.cpp would end the process over is refused by an encoder's header."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support import encoder as small
from support.encoder import write_encoder
from support.gguf_writer import split
from support.pairs import TINY

from gemma_mtp.errors import BadPair
from gemma_mtp.models import gguf
from gemma_mtp.models.encoder_check import check_encoder, encoder_near, fits
from gemma_mtp.models.encoder_rules import parts_of
from gemma_mtp.models.gguf_header import Header, TensorInfo

WIDTH = 448  # of the built-in target's embeddings
TARGET = gguf.read_header(TINY.target)
WRONG: list[tuple[str, str, object]] = [
    ("general.name", "u32", 3),
    ("clip.has_audio_encoder", "u32", 1),
    ("clip.has_gen_audio_encoder", "bool", True),
    ("clip.use_gelu", "str", "yes"),
    ("clip.use_silu", "bool", True),
    ("clip.minicpmv_version", "u32", 3),
    ("clip.projector_type", "str", "mlp"),
    ("clip.vision.patch_size", "f32", 4.0),
    ("clip.vision.patch_size", "u32", 3),
    ("clip.vision.embedding_length", "u32", 7),
    ("clip.vision.attention.layer_norm_epsilon", "f32", float("nan")),
    ("clip.vision.image_std", "[f32]", [1.0, 1.0]),
    ("clip.vision.image_std", "[f32]", [1.0, 0.0, 1.0]),
    ("clip.vision.image_mean", "[f64]", [0.0, 0.0, 0.0]),
    ("clip.vision.projector.scale_factor", "u32", 0),
]
OF_A_TRANSFORMER: list[tuple[str, str, object]] = [
    ("clip.vision.attention.head_count", "u32", 0),
    ("clip.vision.attention.head_count", "u32", 5),
    ("clip.vision.attention.head_count_kv", "u32", 1),
    ("clip.vision.feed_forward_length", "u32", 31),
    ("clip.vision.block_count", "u32", 2),
    ("clip.vision.attention.head_dim", "u32", 24),
]
OF_SOUND: list[tuple[str, str, object]] = [
    ("clip.has_audio_encoder", "u32", 1),
    ("clip.audio.projector_type", "str", "gemma3na"),
    ("clip.audio.projection_dim", "u32", 449),
    ("clip.audio.num_mel_bins", "u32", 0),
    ("clip.audio.num_mel_bins", "i32", 128),
    ("clip.audio.attention.layer_norm_epsilon", "f64", 1e-6),
    ("clip.vision.mm_patch_merge_type", "[u32]", [1]),
    ("clip.vision.image_grid_pinpoints", "u32", 1),
    ("clip.audio.feature_layer", "[f32]", [1.0]),
    ("clip.projector_type", "str", "gemma4v"),
]
OF_A_CONFORMER: list[tuple[str, str, object]] = [
    ("clip.audio.num_mel_bins", "u32", 64),
    ("clip.audio.num_mel_bins", "u32", 512),
    ("clip.audio.attention.head_count", "u32", 0),
    ("clip.audio.attention.head_count", "u32", 24),
    ("clip.audio.attention.head_dim", "u32", 24),
    ("clip.audio.embedding_length", "u32", 26),
    ("clip.audio.feed_forward_length", "u32", 31),
    ("clip.audio.block_count", "u32", 0),
    ("clip.audio.block_count", "u32", 2),
]
SOUNDS = ["gemma4a", "gemma4ua"]


def header(folder: Path, kind: str) -> Header:
    return gguf.read_header(write_encoder(folder / "mmproj.gguf", WIDTH, kind))


@pytest.mark.parametrize("kind", ["gemma4v", "gemma4uv"])
def test_keys_of_another_type_or_beyond_their_range(tmp_path: Path, kind: str) -> None:
    sound = header(tmp_path, kind)
    check_encoder(TARGET, sound)
    for name, found, value in WRONG + (OF_A_TRANSFORMER if kind == "gemma4v" else []):
        metadata, types = sound.metadata | {name: value}, sound.types | {name: found}
        with pytest.raises(BadPair):
            check_encoder(TARGET, replace(sound, metadata=metadata, types=types))


def sounds(folder: Path, kind: str) -> Header:
    return gguf.read_header(write_encoder(folder / "mmproj.gguf", WIDTH, "", sound=kind))


@pytest.mark.parametrize("kind", SOUNDS)
def test_keys_of_what_hears(tmp_path: Path, kind: str) -> None:
    sound = sounds(tmp_path, kind)
    check_encoder(TARGET, sound)
    assert parts_of(sound) == ["audio"]
    for name, found, value in OF_SOUND + (OF_A_CONFORMER if kind == "gemma4a" else []):
        metadata, types = sound.metadata | {name: value}, sound.types | {name: found}
        with pytest.raises(BadPair):
            check_encoder(TARGET, replace(sound, metadata=metadata, types=types))


@pytest.mark.parametrize("kind", SOUNDS)
def test_each_tensor_of_what_hears(tmp_path: Path, kind: str) -> None:
    sound = sounds(tmp_path, kind)
    optional = ("conv1d.0.norm", "conv1d.1.norm", "post_norm", "out.bias")
    for name, tensor in sound.tensors.items():
        others = {key: value for key, value in sound.tensors.items() if key != name}
        wrong = [
            replace(tensor, shape=(*tensor.shape[:-1], tensor.shape[-1] * 2 + 1)),
            replace(tensor, shape=(tensor.shape[0] * 2, *tensor.shape[1:])),
            replace(tensor, type="Q8_K"),
        ]
        if "conv" in name and "pw" not in name:
            wrong.append(replace(tensor, type="Q8_0"))
        for each in wrong:
            with pytest.raises(BadPair):
                check_encoder(TARGET, replace(sound, tensors=others | {name: each}))
        if not any(part in name for part in optional):
            with pytest.raises(BadPair):
                check_encoder(TARGET, replace(sound, tensors=others))


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: replace(tensor, shape=(*tensor.shape[:-1], tensor.shape[-1] * 2 + 1)),
        lambda tensor: replace(tensor, shape=(tensor.shape[0] * 2, *tensor.shape[1:])),
        lambda tensor: replace(tensor, type="Q8_K"),
        None,
    ],
)
@pytest.mark.parametrize("kind", ["gemma4v", "gemma4uv"])
def test_each_tensor_is_there_in_its_form(
    tmp_path: Path, kind: str, change: Callable[[TensorInfo], TensorInfo] | None
) -> None:
    sound = header(tmp_path, kind)
    for name, tensor in sound.tensors.items():
        others = {key: value for key, value in sound.tensors.items() if key != name}
        changed = {name: change(tensor)} if change else {}
        with pytest.raises(BadPair):
            check_encoder(TARGET, replace(sound, tensors=others | changed))


def test_too_few_places_for_a_long_picture(tmp_path: Path) -> None:
    sound = header(tmp_path, "gemma4v")
    name = "v.position_embd.weight"
    short = replace(sound.tensors[name], shape=(24, 1024, 2))
    with pytest.raises(BadPair, match="too few places"):
        check_encoder(TARGET, replace(sound, tensors=sound.tensors | {name: short}))


@pytest.mark.parametrize(
    ("sizes", "kind", "sound"),
    [
        ({"LAYERS": 64}, "gemma4v", ""),  # llama.cpp aborts: too many steps
        ({"LAYERS": 64}, "", "gemma4a"),
        ({"FEED_FORWARD": 1 << 15}, "gemma4v", ""),  # it dies, as there is not so much memory
        ({"FEED_FORWARD": 1 << 15}, "", "gemma4a"),
        ({"CHANNELS": (1 << 15, 1)}, "", "gemma4a"),
        ({"CHANNELS": (1, 1 << 12)}, "", "gemma4a"),
        ({"OUTPUT": 1 << 15}, "", "gemma4a"),
        ({"PATCH": 128}, "gemma4v", ""),
        ({"POOLED": 8, "PLACES": 8 * 1120}, "gemma4v", ""),
    ],
)
def test_small_files_that_ask_for_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: dict[str, int], kind: str, sound: str
) -> None:
    for name, size in sizes.items():
        monkeypatch.setattr(small, name, size)
    asking = gguf.read_header(write_encoder(tmp_path / "mmproj.gguf", WIDTH, kind, sound=sound))
    with pytest.raises(BadPair, match="unusable"):
        check_encoder(TARGET, asking)


def test_one_in_several_files(tmp_path: Path) -> None:
    place = write_encoder(tmp_path / "mmproj.gguf", WIDTH)
    first, *_ = split(place, place, parts=2)
    with pytest.raises(BadPair, match="is in several files"):
        check_encoder(TARGET, gguf.read_header(first))


def test_a_bad_one_beside_a_model_is_passed_over(tmp_path: Path, home: Path) -> None:
    target = tmp_path / "target.gguf"
    target.symlink_to(TINY.target)
    place = write_encoder(tmp_path / "mmproj-F16.gguf", WIDTH)
    assert encoder_near(target) == place
    place.write_bytes(place.read_bytes().replace(b"vision.patch_size", b"vision.patch_sizf"))
    assert encoder_near(target) is None
    assert not fits(target, place)
    assert not fits(target, tmp_path / "gone.gguf")


def test_what_real_encoders_have_besides_is_taken(tmp_path: Path) -> None:
    for sight, sound_kind in (("gemma4v", "gemma4a"), ("gemma4uv", "gemma4ua")):
        place = tmp_path / "both.gguf"
        both = gguf.read_header(write_encoder(place, WIDTH, sight, sound=sound_kind))
        check_encoder(TARGET, both)
        assert parts_of(both) == ["vision", "audio"]

    sound = header(tmp_path, "gemma4v")
    norm = sound.tensors["v.blk.0.ln1.weight"]
    scale = replace(norm, shape=(1,))
    check_encoder(
        TARGET, replace(sound, tensors=sound.tensors | {"v.blk.0.out_scale.weight": scale})
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs processes that fork")
def test_no_damaged_encoder_ends_the_process(tmp_path: Path) -> None:
    program = Path(__file__).parents[2] / "benchmarks" / "fuzz_encoders.py"
    command = [sys.executable, str(program), "--count", "60"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused" in done.stdout
    assert "encoded" in done.stdout
