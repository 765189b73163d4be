"""Headers that would end the whole process inside llama.cpp are refused before it sees them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from support import gguf_writer as writer
from support.gguf_writer import INT32, Metadata, Tensors, Typed
from support.loadable_pair import KINDS, ONES, TOKENS, pair, written

from gemma_mtp.api import End, Event, LoadOptions, Message, PairFiles, Request, Sampling
from gemma_mtp.engine import loading
from gemma_mtp.engine.engine import Engine
from gemma_mtp.errors import BadPair
from gemma_mtp.llama.overrides import DEFAULT_SOFTCAP
from gemma_mtp.models import gguf, hyperparameters, pair_check

ROOT = Path(__file__).parents[2]
Change = Callable[[Metadata, Tensors], object]


def load(files: PairFiles) -> Engine:
    return loading.load(files, LoadOptions(context=512, threads=1))


def reply(loaded: Engine) -> list[Event]:
    messages = (Message.text("user", "a ab c"),)
    return list(loaded.reply(Request(messages, Sampling(), seed=1, draft=2, max_tokens=4)))


def checked(files: PairFiles) -> PairFiles:
    assert files.drafter is not None
    pair_check.check_pair(gguf.read_header(files.target), gguf.read_header(files.drafter))
    return files


def test_the_sound_pair_is_loaded_and_writes(tmp_path: Path) -> None:
    loaded = load(checked(written(tmp_path, *pair())))
    assert isinstance(reply(loaded)[-1], End)
    assert loaded.info.warnings == ()
    loaded.close()


def metadata_with(key: str, value: Any) -> Change:
    return lambda metadata, tensors: metadata.__setitem__(key, value)


def metadata_without(key: str) -> Change:
    return lambda metadata, tensors: metadata.pop(key)


def tensor_of(name: str, kind: int, shape: tuple[int, ...] = ()) -> Change:
    return lambda metadata, tensors: tensors.__setitem__(name, (shape or tensors[name][0], kind))


def renamed(name: str, new: str) -> Change:
    return lambda metadata, tensors: tensors.__setitem__(new, tensors.pop(name))


I8, F16, F32, NVFP4 = 24, 1, 0, 40
REFUSED: dict[str, tuple[Change, str]] = {
    "no first token": (metadata_without("tokenizer.ggml.bos_token_id"), "bos_token_id is missing"),
    "first token out of range": (
        metadata_with("tokenizer.ggml.bos_token_id", len(TOKENS)),
        "says 268 for tokenizer.ggml.bos_token_id",
    ),
    "last token out of range": (
        metadata_with("tokenizer.ggml.eos_token_id", 2**32 - 1),
        "for tokenizer.ggml.eos_token_id",
    ),
    "an id of another type": (
        metadata_with("tokenizer.ggml.padding_token_id", 1.0),
        "unusable tokenizer.ggml.padding_token_id",
    ),
    "alignment": (metadata_with("general.alignment", 8), "an alignment of 8"),
    "null byte in a key": (metadata_with("gemma4.block_count\0", 1), "null byte"),
    "null byte in a text": (metadata_with("tokenizer.ggml.model", "gemma4\0"), "null byte"),
    "null byte in a token": (
        metadata_with("tokenizer.ggml.tokens", [*TOKENS[:-1], "a\0b"]),
        "null byte",
    ),
    "null byte in the name of a tensor": (
        renamed("output_norm.weight", "output_norm.weight\0"),
        "null byte",
    ),
    "another tokenizer": (metadata_with("tokenizer.ggml.model", "bert"), "kind 'bert'"),
    "kinds of tokens in another type": (
        metadata_with("tokenizer.ggml.token_type", KINDS),
        "fewer entries in tokenizer.ggml.token_type",
    ),
    "matrix of integers": (tensor_of("blk.0.attn_output.weight", I8), "in type I8"),
    "half a norm": (tensor_of("blk.2.ffn_norm.weight", F16), "in type F16"),
    "half a router's scale": (tensor_of("blk.1.ffn_gate_inp.scale", F16), "in type F16"),
    "optional matrix of integers": (tensor_of("blk.0.attn_v.weight", I8, (64, 64)), "in type I8"),
    "optional scale of integers": (tensor_of("blk.0.attn_q.scale", 26, (1,)), "in type I32"),
    "scale of another shape": (tensor_of("blk.0.ffn_up.scale", F32, (2,)), "wrong shape"),
    "scale of an output that is no NVFP4": (
        tensor_of("output.scale", F32, (1,)),
        "'output.scale' that llama.cpp does not expect",
    ),
    "unknown tensor": (
        tensor_of("blk.0.attn_q.bias", F32, (64,)),
        "'blk.0.attn_q.bias' that llama.cpp does not expect",
    ),
    "shared layer with other heads": (
        metadata_with("gemma4.attention.head_count_kv", [2, 1, 1, 1]),
        "layer 2 with other KV heads",
    ),
    "no experts used": (metadata_with("gemma4.expert_used_count", 0), "expert counts"),
    "no experts used in a layer": (
        metadata_with("gemma4.expert_used_count", [0, 2, 2, 2]),
        "expert_used_count that differ between layers",
    ),
    "experts in groups": (
        metadata_with("gemma4.expert_group_count", 2),
        "unusable expert_group_count of 2",
    ),
    "absurd context": (metadata_with("gemma4.context_length", 2**32 - 1), "context_length of 4294"),
    "absurd window": (
        metadata_with("gemma4.attention.sliding_window", 2**32 - 60),
        "sliding_window of 4294",
    ),
    "a number of another type": (
        metadata_with("gemma4.context_length", 4096.0),
        "unusable context_length",
    ),
    "both ways": (metadata_with("gemma4.attention.causal", False), "attention.causal of False"),
    "not a number": (
        metadata_with("gemma4.final_logit_softcapping", float("nan")),
        "final_logit_softcapping of nan",
    ),
    "soft cap of another type": (
        metadata_with("gemma4.final_logit_softcapping", "30"),
        "unusable final_logit_softcapping",
    ),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_what_llama_cpp_would_die_of_is_refused(tmp_path: Path, change: Change, words: str) -> None:
    target, drafter = pair()
    change(*target)
    alignment = target[0].get("general.alignment", 32)
    files = written(tmp_path, target, drafter)
    writer.write(files.target, *target, alignment=alignment, fill=ONES)
    with pytest.raises(BadPair, match=words):
        checked(files)


ACCEPTED: dict[str, Change] = {
    "no last token": metadata_without("tokenizer.ggml.eos_token_id"),
    "an id that llama.cpp ignores": metadata_with("tokenizer.ggml.padding_token_id", 2**31),
    "keys of quantizers": metadata_with("quantize.imatrix.entries_count", 250),
    "more keys of its own": metadata_with("gemma4.vision.block_count", 27),
    "keys and values of a shared layer": tensor_of("blk.2.attn_k.weight", F16, (64, 64)),
    "scales of a matrix": tensor_of("blk.0.ffn_up.scale", F32, (1,)),
    "per-tensor input scale": tensor_of("blk.1.attn_q.input_scale", F32, (1,)),
    "an output of its own": tensor_of("output.weight", F16, (64, len(TOKENS))),
    "a matrix in another type": tensor_of("blk.0.ffn_gate.weight", NVFP4),
    "no scale of a layer": metadata_with("gemma4.rope.scaling.type", "none"),
    "heads for each layer": metadata_with("gemma4.attention.head_count", Typed(INT32, [2] * 4)),
}


@pytest.mark.parametrize("change", ACCEPTED.values(), ids=ACCEPTED)
def test_what_llama_cpp_takes_is_loaded_and_writes(tmp_path: Path, change: Change) -> None:
    target, drafter = pair()
    change(*target)
    loaded = load(checked(written(tmp_path, target, drafter)))
    assert isinstance(reply(loaded)[-1], End)
    loaded.close()


def test_heads_that_a_quantized_cache_cannot_hold_are_refused(tmp_path: Path) -> None:
    with patch.multiple(writer, HEAD=96, HEAD_SWA=64):
        target = writer.target()
    path = writer.write(tmp_path / "target.gguf", *target)
    with pytest.raises(BadPair, match="heads of 96 and 64"):
        pair_check.check_target(gguf.read_header(path))


def test_of_a_drafter_s_vocabulary_only_the_size_counts(tmp_path: Path) -> None:
    target, drafter = pair()
    for key in ("merges", "bos_token_id", "token_type", "model"):
        del drafter[0][f"tokenizer.ggml.{key}"]
    load(checked(written(tmp_path, target, drafter))).close()


@pytest.mark.skipif(sys.platform == "win32", reason="needs processes that fork")
def test_no_damaged_header_ends_the_process(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "fuzz_headers.py"), "--count", "60"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused" in done.stdout
    assert "replied" in done.stdout


# --- what a missing key means ----------------------------------------------------------------


@pytest.mark.parametrize(("said", "used"), [(None, DEFAULT_SOFTCAP), (12.5, 12.5), (0.0, 0.0)])
def test_a_missing_soft_cap_is_llama_cpp_s(tmp_path: Path, said: float | None, used: float) -> None:
    target, drafter = pair()
    target[0].pop("gemma4.final_logit_softcapping", None)
    if said is not None:
        target[0]["gemma4.final_logit_softcapping"] = said
    loaded = load(written(tmp_path, target, drafter))
    assert loaded.pair.target.softcap == pytest.approx(used)
    loaded.close()


def test_missing_sizes_are_llama_cpp_s(tmp_path: Path) -> None:
    metadata, tensors = writer.target(layers=4)
    for key in ("attention.key_length", "attention.value_length", "attention.head_count_kv"):
        metadata.pop(f"gemma4.{key}")
    metadata["gemma4.attention.sliding_window_pattern"] = [True]
    metadata["gemma4.rope.dimension_count_swa"] = 8
    header = gguf.read_header(writer.write(tmp_path / "t.gguf", metadata, tensors))
    shape = hyperparameters.shape_of(header)
    assert shape.head_full == writer.WIDTH // 2  # of two heads
    assert (shape.kv_heads_full, shape.kv_heads_sliding) == (2, 2)
    assert shape.pattern == "SFFF"
