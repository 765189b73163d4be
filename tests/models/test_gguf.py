"""Every file a person may name gives a header or one clear sentence, never anything else."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from support import gguf_writer as writer

from gemma_mtp.errors import BadPair, ExitStatus, GemmaMtpError, ModelNotAvailable
from gemma_mtp.models import gguf, gguf_header, gguf_writer, pair_check

MODELS = Path(gguf.__file__).with_name("builtin")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return writer.write(tmp_path / "target.gguf", *writer.target())


def target_with(path: Path, **changes: Any) -> gguf.Header:
    """A target whose `gemma4.*` keys (dots written as __) are replaced, or dropped by None."""
    return changed(path / "target.gguf", "gemma4", writer.target(layers=4), changes)


def drafter_with(path: Path, **changes: Any) -> gguf.Header:
    return changed(path / "drafter.gguf", "gemma4-assistant", writer.drafter(), changes)


def changed(path: Path, arch: str, parts: Any, changes: dict[str, Any]) -> gguf.Header:
    metadata, tensors = parts
    for key, value in changes.items():
        full = f"{arch}.{key.replace('__', '.')}"
        metadata.pop(full, None)
        if value is not None:
            metadata[full] = value
    return gguf.read_header(writer.write(path, metadata, tensors))


def refusal(path: Path) -> str:
    with pytest.raises(BadPair) as caught:
        gguf.read_header(path)
    assert caught.value.status == ExitStatus.BAD_PAIR
    return str(caught.value)


# --- reading ---------------------------------------------------------------------------------


def test_reads_metadata_and_tensors(target: Path) -> None:
    header = gguf.read_header(target)
    assert header.version == 3
    assert header.architecture == "gemma4"
    assert header.metadata["gemma4.block_count"] == 2
    assert header.metadata["gemma4.attention.sliding_window_pattern"] == [True, False]
    assert header.metadata["tokenizer.ggml.tokens"] == writer.TOKENS
    assert header.tensors["token_embd.weight"] == gguf_header.TensorInfo((32, 8), "F32", 0)
    assert header.file_size == target.stat().st_size
    assert header.data_offset % 32 == 0


def test_block_sizes_decide_how_long_quantized_data_is(tmp_path: Path) -> None:
    path = writer.write(tmp_path / "q.gguf", *writer.target(kind=2))
    header = gguf.read_header(path)
    assert header.tensors["token_embd.weight"].bytes == 32 * 8 // 32 * 18
    assert gguf.describe(header).quantization == "Q4_0"


def test_describe(target: Path) -> None:
    seen = gguf.describe(gguf.read_header(target))
    assert (seen.name, seen.layers, seen.width) == ("Tiny gemma4", 2, 32)
    assert (seen.vocabulary, seen.context_length, seen.sliding_window) == (8, 4096, 512)
    sizes = [shape[0] * (shape[1:] or (1,))[0] for shape, _ in writer.target()[1].values()]
    assert seen.parameters == sum(sizes)


def test_a_large_vocabulary_is_counted_fast_and_not_kept(tmp_path: Path) -> None:
    metadata, tensors = writer.target()
    metadata["tokenizer.ggml.tokens"] = [f"token {n}" for n in range(262_144)]
    metadata["tokenizer.ggml.merges"] = [f"left{n} right" for n in range(514_000)]
    path = writer.write(tmp_path / "big.gguf", metadata, tensors)
    start = time.process_time()
    header = gguf.read_header(path)
    assert time.process_time() - start < 2  # about 0.2 s; the bound is for a busy machine
    assert header.metadata["tokenizer.ggml.merges"] == gguf_header.Count(514_000)
    assert gguf.describe(header).vocabulary == 262_144


def test_a_missing_file_is_a_model_that_is_not_available(tmp_path: Path) -> None:
    with pytest.raises(ModelNotAvailable, match=r"no file .*nowhere\.gguf"):
        gguf.read_header(tmp_path / "nowhere.gguf")


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><title>404</title>", "looks like a web page"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer"),
        (b'\x40\x00\x00\x00\x00\x00\x00\x00{"__metadata__":', "safetensors"),
        (b'{"error": "not found"}', "error message"),
        (b"something else entirely", "is not a GGUF file."),
        (b"GG", "is not a GGUF file."),
        (b"GGUF", "middle of its header"),
        (b"GGUF\x01\x00\x00\x00", "GGUF version 1"),
        (b"GGUF\x04\x00\x00\x00", "GGUF version 4"),
        (b"GGUF\x00\x00\x00\x03", "big-endian"),
        (b"GGUF\x03\x00\x00\x00" + b"\xff" * 16, "damaged header"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "file.gguf"
    path.write_bytes(content)
    assert words in refusal(path)


def test_missing_data_is_counted(target: Path) -> None:
    whole = target.read_bytes()
    target.write_bytes(whole[:-1000])
    assert "1,000 bytes are missing" in refusal(target)


def test_a_header_that_ends_early(target: Path) -> None:
    target.write_bytes(target.read_bytes()[:200])
    assert "middle of its header" in refusal(target)


def test_a_tensor_of_a_removed_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gguf_writer.SIZES, 31, (32, 18))
    metadata, tensors = writer.target()
    tensors["token_embd.weight"] = (32, 8), 31
    path = writer.write(tmp_path / "t.gguf", metadata, tensors)
    assert "type 31, which cannot be read" in refusal(path)


def test_a_file_larger_than_the_header_limit_is_read_only_up_to_it(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf, "MAX_HEADER", 500)
    assert "its header exceeds" in refusal(target)


def test_damage_of_any_kind_is_a_header_or_a_clear_error(target: Path, tmp_path: Path) -> None:
    whole = target.read_bytes()
    header_size = gguf.read_header(target).data_offset
    chance = random.Random(4)
    outcomes = set()
    for _ in range(300):
        data = bytearray(whole)
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        for _ in range(chance.choice((1, 1, 2, 8))):
            if data:
                data[chance.randrange(min(header_size, len(data)))] = chance.randrange(256)
        path = tmp_path / "damaged.gguf"
        path.write_bytes(data)
        try:
            header = gguf.read_header(path)
            gguf.describe(header)
            pair_check.check_target(header)
            outcomes.add("accepted")
        except GemmaMtpError as error:
            outcomes.add("refused" if str(error).endswith(".") else f"no sentence: {error}")
    assert outcomes == {"accepted", "refused"}


# --- a target --------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [0, 2])
def test_a_sound_target_passes(tmp_path: Path, shared: int) -> None:
    parts = writer.target(layers=4, shared=shared)
    pair_check.check_target(gguf.read_header(writer.write(tmp_path / "t.gguf", *parts)))


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ("llama", "architecture 'llama', not Gemma 4"),
        ("clip", "image encoder"),
        ("gemma4-assistant", "is an MTP drafter, not a target"),
        ("gemma4_mtp", "is an MTP drafter, not a target"),
        ("", "without an architecture"),
    ],
)
def test_other_architectures_as_target(tmp_path: Path, arch: str, words: str) -> None:
    metadata, tensors = writer.target()
    metadata["general.architecture"] = arch
    header = gguf.read_header(writer.write(tmp_path / "t.gguf", metadata, tensors))
    with pytest.raises(BadPair, match=words):
        pair_check.check_target(header)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embedding_length": None}, "lacks the hyperparameter embedding_length"),
        ({"embedding_length": "wide"}, "unusable embedding_length"),
        ({"block_count": 0}, "unusable block_count"),
        ({"block_count": 513}, "unusable block_count of 513"),
        ({"attention__head_count": [2, 2]}, "unusable attention.head_count"),
        ({"attention__head_count": 3}, "no multiple of its KV heads"),
        ({"attention__value_length": 8}, "keys and values of different sizes"),
        ({"attention__key_length_swa": None}, "lacks the hyperparameter attention.key_length_swa"),
        ({"rope__dimension_count_swa": None}, "rotary size"),
        ({"rope__dimension_count": 15}, "rotary size"),
        ({"rope__dimension_count": 0}, "unusable rope.dimension_count"),
        ({"context_length": 1}, "unusable context_length of 1"),
        ({"rope__scaling__type": "spiral"}, "rope.scaling.type"),
        ({"attention__layer_norm_rms_epsilon": None}, "layer_norm_rms_epsilon"),
        ({"expert_count": 4}, "expert counts"),
        ({"expert_used_count": 1}, "expert counts"),
        ({"expert_count": 4, "expert_used_count": 5}, "expert counts"),
        ({"attention__sliding_window_pattern": True}, "sliding_window_pattern"),
        ({"attention__sliding_window_pattern": [True] * 4}, "layer pattern"),
        ({"attention__sliding_window_pattern": [False] * 4}, "layer pattern"),
        ({"attention__sliding_window_pattern": [True, False, False, True]}, "layer pattern"),
        ({"attention__shared_kv_layers": 1}, "layer pattern"),
        ({"attention__shared_kv_layers": 3}, "layer pattern"),
        ({"attention__shared_kv_layers": 9}, "layer pattern"),
        ({"nextn_predict_layers": 1}, "MTP layers built in"),
        ({"embedding_length_out": 64}, "widens its output"),
        ({"feed_forward_length": 32}, "in a wrong shape"),
    ],
)
def test_targets_llama_cpp_would_abort_on(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadPair, match=words):
        pair_check.check_target(target_with(tmp_path, **changes))


@pytest.mark.parametrize(
    "name",
    ["token_embd.weight", "output_norm.weight", "rope_freqs.weight", "blk.0.attn_k.weight"],
)
def test_a_missing_tensor_is_named(tmp_path: Path, name: str) -> None:
    metadata, tensors = writer.target()
    del tensors[name]
    header = gguf.read_header(writer.write(tmp_path / "t.gguf", metadata, tensors))
    with pytest.raises(BadPair, match=rf"lacks the tensor {name}\."):
        pair_check.check_target(header)


@pytest.mark.parametrize(("name", "kind"), [("output_norm.weight", 1), ("blk.1.ffn_up.weight", 26)])
def test_a_tensor_in_a_type_no_kernel_takes(tmp_path: Path, name: str, kind: int) -> None:
    metadata, tensors = writer.target()
    tensors[name] = tensors[name][0], kind
    header = gguf.read_header(writer.write(tmp_path / "t.gguf", metadata, tensors))
    with pytest.raises(BadPair, match=f"{name} in type"):
        pair_check.check_target(header)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("tokenizer.ggml.tokens", None, "has no vocabulary"),
        ("tokenizer.ggml.model", "no_vocab", "has no vocabulary"),
        ("tokenizer.ggml.merges", None, "without merges"),
        ("tokenizer.ggml.scores", [0.0], "fewer entries"),
        ("tokenizer.ggml.tokens", list("abcdefga"), "same token twice"),
    ],
)
def test_vocabularies_llama_cpp_cannot_use(
    tmp_path: Path, key: str, value: Any, words: str
) -> None:
    metadata, tensors = writer.target()
    metadata.pop(key)
    if value is not None:
        metadata[key] = value
    header = gguf.read_header(writer.write(tmp_path / "t.gguf", metadata, tensors))
    with pytest.raises(BadPair, match=words):
        pair_check.check_target(header)


def test_empty_tokens_may_repeat(tmp_path: Path) -> None:
    metadata, tensors = writer.target()
    metadata["tokenizer.ggml.tokens"] = ["", "", *writer.TOKENS[2:]]
    pair_check.check_target(gguf.read_header(writer.write(tmp_path / "t.gguf", metadata, tensors)))


def test_experts_need_their_tensors(tmp_path: Path) -> None:
    metadata, tensors = writer.target()
    metadata |= {
        "gemma4.expert_count": 4,
        "gemma4.expert_used_count": 2,
        "gemma4.expert_feed_forward_length": 32,
    }
    tensors["blk.0.ffn_gate_inp.weight"] = (32, 4), 0
    header = gguf.read_header(writer.write(tmp_path / "t.gguf", metadata, tensors))
    with pytest.raises(BadPair, match=r"lacks the tensor blk\.0\.ffn_gate_inp\.scale"):
        pair_check.check_target(header)


# --- a drafter and a pair --------------------------------------------------------------------


def test_a_sound_pair_passes(tmp_path: Path) -> None:
    pair_check.check_pair(target_with(tmp_path), drafter_with(tmp_path))


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        ("gemma4", "is a target, not an MTP drafter"),
        ("clip", "image encoder"),
        ("qwen3", "architecture 'qwen3', not a Gemma 4 MTP drafter"),
    ],
)
def test_other_architectures_as_drafter(tmp_path: Path, arch: str, words: str) -> None:
    metadata, tensors = writer.drafter()
    metadata["general.architecture"] = arch
    header = gguf.read_header(writer.write(tmp_path / "d.gguf", metadata, tensors))
    with pytest.raises(BadPair, match=words):
        pair_check.check_drafter(header)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nextn_predict_layers": None}, "all its layers as MTP"),
        ({"nextn_predict_layers": 1}, "all its layers as MTP"),
        ({"embedding_length_out": None}, "lacks the hyperparameter embedding_length_out"),
        ({"embedding_length_out": 16}, "how wide its target is"),
        ({"attention__sliding_window_pattern": [True, True]}, "both sliding and full"),
        ({"attention__sliding_window_pattern": [False, False]}, "both sliding and full"),
    ],
)
def test_drafters_llama_cpp_would_abort_on(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadPair, match=words):
        pair_check.check_drafter(drafter_with(tmp_path, **changes))


def test_a_drafter_without_its_projection(tmp_path: Path) -> None:
    metadata, tensors = writer.drafter()
    del tensors["nextn.pre_projection.weight"]
    header = gguf.read_header(writer.write(tmp_path / "d.gguf", metadata, tensors))
    with pytest.raises(BadPair, match=r"lacks the tensor nextn\.pre_projection"):
        pair_check.check_drafter(header)


def test_a_drafter_of_another_size(tmp_path: Path) -> None:
    parts = writer.drafter(target_width=64)
    other = gguf.read_header(writer.write(tmp_path / "d.gguf", *parts))
    with pytest.raises(BadPair, match=r"d\.gguf does not belong to target\.gguf.*width 64.* 32"):
        pair_check.check_pair(target_with(tmp_path), other)


def test_a_drafter_with_another_vocabulary(tmp_path: Path) -> None:
    metadata, tensors = writer.drafter()
    metadata["tokenizer.ggml.tokens"] = writer.TOKENS[:7]
    tensors["token_embd.weight"] = (writer.DRAFTER_WIDTH, 7), 0
    other = gguf.read_header(writer.write(tmp_path / "d.gguf", metadata, tensors))
    with pytest.raises(BadPair, match="vocabularies of 7 and 8 tokens"):
        pair_check.check_pair(target_with(tmp_path), other)


def test_a_drafter_with_other_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = target_with(tmp_path)
    monkeypatch.setattr(writer, "HEAD", 8)
    with pytest.raises(BadPair, match="attention head sizes 8 and 16"):
        pair_check.check_pair(ours, drafter_with(tmp_path))


def test_a_drafter_that_expects_other_kv_heads(tmp_path: Path) -> None:
    other = drafter_with(tmp_path, attention__head_count_kv=[2, 2])
    with pytest.raises(BadPair, match="layer 1 expects 2 KV heads, the target has 1"):
        pair_check.check_pair(target_with(tmp_path), other)


@pytest.mark.skipif(not (MODELS / "tiny-drafter.gguf").exists(), reason="no built-in pair yet")
def test_the_built_in_pair_passes() -> None:
    pair = (gguf.read_header(MODELS / f"tiny-{role}.gguf") for role in ("target", "drafter"))
    pair_check.check_pair(*pair)
