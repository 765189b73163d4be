"""What is relied on in this release of llama-cpp-python, each thing by itself.

These fail first when the release is changed; docs/code.md lists what to look at then.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from llama_cpp import llama_cpp_ext
from support.pairs import TINY

from gemma_mtp.api import LoadOptions
from gemma_mtp.llama import (
    NEEDED_VERSION,
    devices,
    features,
    library,
    load_pair,
    mtp_missing,
    window_cells,
)
from gemma_mtp.llama.overrides import FLOAT, INTEGER, TEXT
from gemma_mtp.settings import KV_TYPES

ROOT = Path(__file__).parents[2]


def test_every_place_that_names_the_release_names_the_same_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"llama-cpp-python=={NEEDED_VERSION}" in project["dependencies"]
    server = (ROOT / "benchmarks" / "compare_llama_server.py").read_text()
    assert re.findall(r"llama-cpp-python==([\d.]+)", server) == [NEEDED_VERSION]
    assert llama_cpp.__version__ == NEEDED_VERSION


def test_the_functions_of_mtp_are_there() -> None:
    assert mtp_missing() == ""
    assert callable(llama_cpp_ext.llama_set_embeddings_nextn)
    assert callable(llama_cpp_ext.llama_get_embeddings_nextn_ith)


def test_the_symbol_is_there_through_which_amx_is_refused() -> None:
    assert hasattr(library.ggml, "_Z39ggml_backend_cpu_get_extra_buffer_typesv")


def test_devices_and_features_can_be_listed() -> None:
    assert "cpu" in {kind for _, _, kind, _, _ in devices()}
    assert "CPU : " in features()


@pytest.mark.parametrize("name", KV_TYPES)
def test_types_have_the_numbers_that_llama_cpp_gives_them(name: str) -> None:
    exported = getattr(llama_cpp, f"GGML_TYPE_{name.upper()}", None)
    assert exported in (None, KV_TYPES[name].number)


def test_kinds_of_overrides_have_the_numbers_that_llama_cpp_gives_them() -> None:
    names = ("INT", "FLOAT", "STR")
    numbers = [getattr(llama_cpp, f"LLAMA_KV_OVERRIDE_TYPE_{name}") for name in names]
    assert numbers == [INTEGER, FLOAT, TEXT]


@pytest.fixture(scope="module")
def pair():
    # Flash attention, which "auto" takes on a GPU, rounds otherwise than what is compared with.
    loaded = load_pair(TINY, LoadOptions(context=1024, threads=1, flash_attn="off"))
    yield loaded
    loaded.close()


def test_the_log_still_says_how_large_the_cache_is(pair) -> None:
    assert pair.info.target_kv_bytes > 0
    assert pair.info.drafter_kv_bytes == 0


def test_the_override_of_the_soft_cap_is_obeyed(pair) -> None:
    """Loaded without the override, the same file gives the same logits with the cap on them."""
    tokens = pair.target.vocabulary.tokenize("Once upon a time", special=False)
    row = pair.target.decode(tokens, 0, 1)[0].copy()
    pair.target.rewind(0)
    capped = logits_by_llama_cpp_alone(tokens, len(row))
    cap = pair.target.softcap
    assert np.allclose(capped, cap * np.tanh(row / cap), atol=1e-3)
    assert not np.allclose(capped, row, atol=1e-3)


def logits_by_llama_cpp_alone(tokens: list[int], vocabulary: int) -> np.ndarray:
    """Of the token after these, with the target's file loaded as llama.cpp does it by itself."""
    params = llama_cpp.llama_model_default_params()
    model = llama_cpp.llama_model_load_from_file(str(TINY.target).encode(), params)
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = 256
    params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = llama_cpp.llama_init_from_model(model, params)
    array = (llama_cpp.llama_token * len(tokens))(*tokens)
    assert llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(tokens))) == 0
    row = llama_cpp.llama_get_logits_ith(context, -1)
    found = np.ctypeslib.as_array(row, shape=(vocabulary,)).copy()
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return found


def test_the_window_of_the_cache_is_written_in_the_layout_that_is_read(pair) -> None:
    tokens = pair.target.vocabulary.tokenize("Once upon a time there was a fox.", special=False)
    pair.target.decode(tokens, 0, 1)
    state = window_cells.save(pair.target.context)
    whole = window_cells.save_all(pair.target.context)
    pair.target.rewind(0)
    assert state is not None
    assert whole is not None
    assert np.array_equal(window_cells.window_of(whole, len(state)), state)
    assert list(window_cells._State(state).cells["position"]) == list(range(len(tokens)))


def test_the_largest_logits_of_each_row_can_be_chosen_by_the_backend(pair) -> None:
    """In rows as far apart as whole ones, and no logits but theirs are copied."""
    target, context = pair.target, pair.target.context
    target.rewind(0)
    rows = target.decode([2, 5, 7], 0, 3)[:3].copy()
    target.rewind(0)
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_top_k(9))
    assert llama_cpp.llama_set_sampler(context, 0, chain)
    target.decode([2, 5, 7], 0, 3)
    for i, row in enumerate(rows):
        assert llama_cpp.llama_get_sampled_candidates_count_ith(context, i) == 9
        ids = llama_cpp.llama_get_sampled_candidates_ith(context, i)[:9]
        assert set(ids) == set(np.argsort(-row)[:9].tolist())
        logits = llama_cpp.llama_get_sampled_logits_ith(context, i)[:9]
        assert logits == row[ids].tolist()
    llama_cpp.llama_set_sampler(context, 0, None)
    llama_cpp.llama_sampler_free(chain)
    target.rewind(0)
    assert (target.decode([2, 5, 7], 0, 3)[:3] == rows).all()
