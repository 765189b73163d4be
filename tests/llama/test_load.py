"""What is said about a pair, or about the options it is loaded with, before its first word."""

from __future__ import annotations

import io
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.gguf_writer import INT32, Typed
from support.loadable_pair import KINDS, TOKENS, pair, written
from support.pairs import TINY

from gemma_mtp.api import CPU_PIECE, LoadOptions
from gemma_mtp.chat import loading
from gemma_mtp.cli.environment import Environment
from gemma_mtp.engine.loading import load
from gemma_mtp.errors import BadPair, ExitStatus, ModelNotAvailable, UsageError
from gemma_mtp.llama.log import Log
from gemma_mtp.options import Options
from gemma_mtp.settings import KV_TYPES
from gemma_mtp.terminal.render import Printer
from gemma_mtp.terminal.screen import Screen

SMALL = LoadOptions(context=512, threads=1)


def test_marks_that_are_not_one_token_are_named(tmp_path: Path) -> None:
    target, drafter = pair()
    target[0]["tokenizer.ggml.token_type"] = Typed(INT32, [min(kind, 1) for kind in KINDS])
    loaded = load(written(tmp_path, target, drafter), SMALL)
    (said,) = loaded.info.warnings
    assert "<|turn> is ordinary text" in said
    loaded.close()


def test_a_file_without_a_template_needs_gemma_4_s_own_marks(tmp_path: Path) -> None:
    target, drafter = pair()
    del target[0]["tokenizer.chat_template"]
    swapped = {"<|turn>": "<|start|>", "<turn|>": "<|stop|>"}
    for metadata, _ in (target, drafter):
        metadata["tokenizer.ggml.tokens"] = [swapped.get(token, token) for token in TOKENS]
    loaded = load(written(tmp_path, target, drafter), SMALL)
    assert "<|turn>, <turn|> are ordinary text" in loaded.info.warnings[0]
    loaded.close()


def test_a_vocabulary_without_an_end_is_named(tmp_path: Path) -> None:
    target, drafter = pair()
    del target[0]["tokenizer.ggml.eos_token_id"], target[0]["tokenizer.chat_template"]
    ends = {"<eos>": "<end>", "<turn|>": "<stop|>"}
    target[0]["tokenizer.ggml.tokens"] = [ends.get(token, token) for token in TOKENS]
    loaded = load(written(tmp_path, target, drafter), SMALL)
    assert "no token that ends a reply" in loaded.info.warnings[-1]
    loaded.close()


def test_warnings_are_shown_once_a_pair_is_loaded(tmp_path: Path) -> None:
    target, drafter = pair()
    target[0]["tokenizer.ggml.token_type"] = Typed(INT32, [min(kind, 1) for kind in KINDS])
    output, errors = io.StringIO(), io.StringIO()
    files = written(tmp_path, target, drafter)
    loading.load(
        Environment(), files, Options(context=512), Printer(Screen(output, errors))
    ).close()
    assert "expect nonsense" in errors.getvalue()
    assert output.getvalue() == ""


@pytest.mark.parametrize("kind", KV_TYPES)
def test_every_kv_type_that_is_offered_can_be_loaded(kind: str) -> None:
    loaded = load(TINY, LoadOptions(kv_type=kind, context=256, threads=1))
    assert loaded.info.target_kv_bytes > 0
    loaded.close()


def test_layers_on_a_gpu_that_is_not_there_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As of a build with RPC: it could use a GPU, and there is none.
    monkeypatch.setattr("llama_cpp.llama_supports_gpu_offload", lambda: True)
    monkeypatch.setattr("gemma_mtp.llama.load.has_gpu", lambda: False)
    with pytest.raises(UsageError, match=r"gpu_layers is 20, .* finds no GPU") as caught:
        load(TINY, LoadOptions(context=256, threads=1, gpu_layers=20))
    assert caught.value.status == ExitStatus.USAGE
    with pytest.raises(UsageError, match="gpu_layers is all, "):
        load(TINY, LoadOptions(context=256, threads=1, gpu_layers=-1))
    for layers in (0, None):
        loaded = load(TINY, LoadOptions(context=256, threads=1, gpu_layers=layers))
        assert loaded.info.gpu_layers == 0
        assert loaded.pair.target.piece_size == CPU_PIECE
        loaded.close()


def test_the_reason_is_llama_cpp_s_first_word_not_its_last(tmp_path: Path) -> None:
    target, drafter = pair()
    target[0]["general.name"] = 7
    with pytest.raises(
        BadPair, match=r"key general\.name has wrong type u32 but expected type str"
    ):
        load(written(tmp_path, target, drafter), SMALL)
    target[0]["general.name"] = "sound"
    target[0]["tokenizer.ggml.merges"] = 7
    with pytest.raises(BadPair, match=r"invalid gguf type for tokenizer\.ggml\.merges$"):
        load(written(tmp_path, target, drafter), SMALL)


@pytest.mark.parametrize("gone", ["model.gguf", "mtp.gguf"])
def test_a_file_that_is_removed_before_it_is_loaded_is_said_to_be_gone(
    tmp_path: Path, gone: str
) -> None:
    assert TINY.drafter is not None
    files = replace(TINY, target=tmp_path / "model.gguf", drafter=tmp_path / "mtp.gguf")
    for path, source in ((files.target, TINY.target), (files.drafter, TINY.drafter)):
        if path is not None and path.name != gone:
            path.symlink_to(source)
    with pytest.raises(ModelNotAvailable, match=f"{gone} is not there any more"):
        load(files, LoadOptions(context=512))


def test_a_reason_is_told_once() -> None:
    log = Log()
    log.write(4, b"llama_model_load: error loading model: no such tensor.\n", None)
    log.write(4, b"llama_model_load_from_file_impl: failed to load model\n", None)
    assert log.why() == "error loading model: no such tensor"
    assert log.why() == "llama.cpp gave no reason"
    log.write(4, b"old\n", None)
    log.forget()
    assert log.why() == "llama.cpp gave no reason"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_file_whose_name_is_no_utf8_is_loaded(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9.gguf")
    shutil.copyfile(TINY.target, odd)
    load(replace(TINY, target=odd), LoadOptions(context=256, threads=1)).close()
