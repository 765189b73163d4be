"""Architecture, memory and verdicts: the catalogue agrees with itself, machines get their due."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import gguf_writer as writer

from gemma_mtp.api import (
    CPU_PIECE,
    GPU_PIECE,
    MAX_WIDTH,
    SNAPSHOT_BYTES,
    SNAPSHOT_SHARE,
    LoadOptions,
    PairFiles,
)
from gemma_mtp.models import fit, gguf, memory
from gemma_mtp.models.catalogue import Entry, load_catalogue
from gemma_mtp.models.fit import (
    Verdict,
    judge,
    judge_all,
    recommend,
    recommended_context,
    too_large,
)
from gemma_mtp.models.hyperparameters import shape_of
from gemma_mtp.models.machine import Device, Machine
from gemma_mtp.models.shape import Shape, padded

CATALOGUE = load_catalogue()
REMOTE = [entry for entry in CATALOGUE.entries if not entry.builtin]
GB = 10**9
MODELS = Path(gguf.__file__).with_name("builtin")


def entry(name: str) -> Entry:
    found = CATALOGUE.find(name)
    assert found is not None
    return found


def shape(name: str) -> Shape:
    found = entry(name).shape
    assert found is not None
    return found


def machine(
    free: float, total: float = 0, cores: int = 8, gpu: float = 0, **more: object
) -> Machine:
    gpus = (Device("CUDA0", "a card", int(gpu * GB), int(gpu * GB)),) if gpu else ()
    return Machine(int(free * GB), int((total or free) * GB), cores, gpus, **more)  # type: ignore[arg-type]


# --- the catalogue's figures ------------------------------------------------------------------


@pytest.mark.parametrize("item", REMOTE, ids=lambda e: e.name)
def test_a_file_is_as_large_as_its_architecture_says(item: Entry) -> None:
    assert item.shape is not None
    bits = memory.BITS[item.target.quantization]
    if item.target.bytes is not None:
        # Mixed quantizations are averages; the QAT files are one quantization throughout.
        within = 0.005 if item.qat else 0.08
        assert item.target.bytes * 8 / item.shape.parameters == pytest.approx(bits, rel=within)


@pytest.mark.parametrize(
    ("name", "growing", "fixed"),
    [("e2b", 6, 12), ("e4b", 16, 40), ("12b", 16, 480), ("26b", 20, 300), ("31b", 80, 1200)],
)
def test_kv_figures_follow_from_the_architecture(name: str, growing: int, fixed: int) -> None:
    """MiB per 1024 tokens, and of the sliding layers at pieces of 512 tokens."""
    model = shape(name)
    assert model.kv_bytes(32768, 512) == (growing * 32 + fixed) << 20


def test_sliding_layers_get_the_window_and_one_piece_in_steps_of_256() -> None:
    assert [padded(n) for n in (1, 256, 257, 576)] == [256, 256, 512, 768]
    e2b = shape("e2b")
    # As llama.cpp 0.3.36 logged for this shape: 12 + 9 MiB, 192 + 9 MiB, 48 + 12 MiB.
    assert e2b.kv_bytes(2048, CPU_PIECE) == 21 << 20
    assert e2b.kv_bytes(32768, CPU_PIECE) == 201 << 20
    assert e2b.kv_bytes(8192, GPU_PIECE) == 60 << 20


def test_without_flash_attention_all_layers_values_are_as_wide_as_the_widest() -> None:
    e2b, large = shape("e2b"), shape("12b")
    # As llama.cpp 0.3.36 logged for this shape: 48 + 13.5 MiB, 192 + 13.5 MiB.
    assert memory.kv_bytes(e2b, 8192, CPU_PIECE) == 61.5 * memory.MIB
    assert memory.kv_bytes(e2b, 32768, CPU_PIECE) == 205.5 * memory.MIB
    for flash in ((65536, CPU_PIECE, "f16"), (8192, GPU_PIECE, "f16"), (8192, CPU_PIECE, "q8_0")):
        assert memory.kv_bytes(e2b, *flash) == e2b.kv_bytes(*flash)
    # Keys of 512, values of 8 x 256 instead of 512.
    growing = memory.kv_bytes(large, 16384, CPU_PIECE) - memory.kv_bytes(large, 8192, CPU_PIECE)
    assert growing == 8 * 8192 * (512 + 2048) * 2


def test_a_quantized_cache_is_smaller() -> None:
    e2b = shape("e2b")
    assert e2b.kv_bytes(8192, 64, "q8_0") == e2b.kv_bytes(8192, 64) * 34 // 64


def test_shared_layers_own_no_cache() -> None:
    e2b = shape("e2b")
    unshared = replace(e2b, shared=0)
    assert unshared.growing_layers == 7
    assert e2b.growing_layers == 3


def test_expert_models_read_a_part_of_their_weights() -> None:
    assert shape("26b").active_parameters == pytest.approx(3.8e9, rel=0.02)
    assert shape("12b").active_parameters == shape("12b").parameters
    assert shape("e2b").active_parameters == pytest.approx(2.3e9, rel=0.02)


def test_the_shape_of_a_file_is_found_in_its_header(tmp_path: Path) -> None:
    header = gguf.read_header(writer.write(tmp_path / "t.gguf", *writer.target()))
    found = shape_of(header)
    assert (found.layers, found.pattern, found.width, found.vocabulary) == (2, "SF", 32, 8)
    assert (found.head_sliding, found.head_full) == (8, 16)
    assert (found.kv_heads_sliding, found.kv_heads_full) == (2, 1)
    assert found.kv_bytes_per_cell() == 2 * 2 * 8 * 2


@pytest.mark.skipif(not (MODELS / "tiny-target.gguf").exists(), reason="no built-in pair yet")
def test_the_shape_of_the_built_in_pair_counts_its_weights() -> None:
    header = gguf.read_header(MODELS / "tiny-target.gguf")
    weights = sum(t.elements for t in header.tensors.values() if len(t.shape) > 1)
    assert shape_of(header).parameters == weights


# --- the estimate -----------------------------------------------------------------------------


def test_an_estimate_adds_up() -> None:
    guess = fit.needs(entry("e2b"), 8192)
    pair = entry("e2b")
    assert guess.weights == (pair.target.total or 0) + (pair.drafter.total or 0)
    parts = guess.weights + guess.kv + guess.compute + guess.program
    assert guess.needed == parts + guess.snapshot
    assert guess.least == guess.needed - guess.tables
    assert guess.tables == pytest.approx(1.33 * GB, rel=0.01)  # 35 x 256 x 262144 at 4.5 bits
    assert 2.8 * GB < guess.needed < 3.2 * GB


def test_more_context_needs_more() -> None:
    sizes = [fit.needs(entry("31b"), context).needed for context in fit.CONTEXTS]
    assert sizes == sorted(set(sizes))


def parts(
    context: int, piece: int = CPU_PIECE, kind: str = "f16", target: int = GB
) -> memory.Estimate:
    return memory.estimate(shape("e2b"), target, 0, context, piece, kind)


def test_a_cpu_keeps_the_attention_scores_of_a_piece() -> None:
    assert memory.score_bytes(shape("e2b"), 8192, CPU_PIECE) == 4 * 64 * 8 * 8192
    assert memory.score_bytes(shape("e2b"), 8000, CPU_PIECE) == 4 * 64 * 8 * 8192
    # As llama.cpp 0.3.36 logged for this shape: 26.75 + 1.01 MiB, 80.75 + 1.01 MiB.
    assert parts(8192).compute == pytest.approx(27.76 * memory.MIB, rel=0.001)
    assert parts(32768).compute == pytest.approx(81.76 * memory.MIB, rel=0.001)
    short, long = parts(16384), parts(32768)
    assert long.compute - short.compute > 4 * 64 * 8 * 16384
    assert long.program - short.program == 2 * 64 * 8 * 16384


@pytest.mark.parametrize(
    ("context", "piece", "kind"),
    [(65536, CPU_PIECE, "f16"), (8192, GPU_PIECE, "f16"), (8192, CPU_PIECE, "q8_0")],
)
def test_flash_attention_keeps_no_scores(context: int, piece: int, kind: str) -> None:
    assert memory.score_bytes(shape("e2b"), context, piece, kind) == 0
    assert parts(context, piece, kind).program == parts(65536).program


def test_the_estimate_knows_when_the_engine_does_without_flash_attention() -> None:
    context = pytest.importorskip("gemma_mtp.llama.context")
    assert memory.PLAIN_ATTENTION == context.LARGE_CONTEXT


def test_a_snapshot_is_a_window_and_its_last_row() -> None:
    e2b = shape("e2b")
    row = 4 * (e2b.vocabulary + e2b.width)
    assert parts(8192).snapshot == 12 * 512 * 2 * 256 * 2 + row
    assert parts(256).snapshot == 12 * 256 * 2 * 256 * 2 + row


def test_a_snapshot_that_a_session_does_not_keep_is_not_counted() -> None:
    large = replace(shape("31b"), window=4096)
    row = 4 * (large.vocabulary + large.width)
    size = int(4096 * large.kv_bytes_per_cell()) + row
    assert size > SNAPSHOT_BYTES
    kept = size * SNAPSHOT_SHARE
    assert memory.snapshot_bytes(large, kept, 8192) == size
    assert memory.snapshot_bytes(large, kept - SNAPSHOT_SHARE, 8192) == 0


def test_one_vocabulary_is_loaded() -> None:
    e2b = shape("e2b")
    half = replace(e2b, vocabulary=e2b.vocabulary // 2)
    programs = [memory.estimate(s, GB, 0, 65536, CPU_PIECE).program for s in (e2b, half)]
    rows = 4 * MAX_WIDTH
    assert programs[0] - programs[1] == half.vocabulary * (memory.TOKEN_BYTES + rows)


def test_files_of_unknown_size_are_estimated() -> None:
    assert entry("12b:q8_0").target.bytes is None
    assert fit.needs(entry("12b:q8_0"), 8192).weights == pytest.approx(13.2 * GB, rel=0.03)


# --- verdicts ---------------------------------------------------------------------------------


def verdicts(on: Machine, wanted: int = 8192) -> dict[str, Verdict]:
    fits = judge_all(REMOTE, on, wanted)
    return {f.entry.name: f.verdict for f in fits if f.entry.default}


def test_a_small_laptop() -> None:
    found = verdicts(machine(6, 8))
    assert found["e4b"] == found["e2b"] == Verdict.WELL
    assert found["12b"] == found["31b"] == Verdict.NO
    best = recommend(judge_all(REMOTE, machine(6, 8)))
    assert best is not None
    assert best.entry.name == "e4b"
    assert recommended_context(best) == 32768
    assert recommended_context(best, wanted=65536) == min(best.context, 65536)


def test_reasons_name_both_sides() -> None:
    no = judge(entry("12b"), machine(6, 8))
    assert no is not None
    assert no.reason == "needs 8.0 GB, 6.0 GB are free"
    closing = judge(entry("12b"), machine(6, 16))
    assert closing is not None
    assert closing.reason.endswith("closing other programs could do")


def test_a_warning_names_what_is_needed_and_what_is_free() -> None:
    words = "12b does not fit in memory: needs 8.0 GB, 6.0 GB are free."
    assert too_large(entry("12b"), machine(6, 8)) == words
    closing = too_large(entry("12b"), machine(6, 16))
    assert closing == words[:-1] + "; closing other programs could do."


def test_no_warning_where_it_fits_or_nobody_knows() -> None:
    assert too_large(entry("12b"), machine(60, 64, disk_free=0)) == ""
    assert too_large(entry("12b"), machine(6, 8, gpu=24)) == ""
    assert too_large(entry("12b"), Machine(None, None, 8)) == ""
    guess = fit.needs(entry("31b"), 8192).needed
    assert too_large(entry("31b"), machine((guess + 1.1 * GB) / GB, 21)) == ""


def test_a_context_that_is_too_long_becomes_a_smaller_one() -> None:
    guess = fit.needs(entry("31b"), 8192).needed
    found = judge(entry("31b"), machine((guess + 2 * GB) / GB, 24, cores=64), wanted=131072)
    assert found is not None
    assert found.verdict == Verdict.SMALLER
    assert 8192 <= found.context < 131072
    assert "128k tokens need" in found.reason


def test_every_context_up_to_the_longest_fits() -> None:
    """Without flash attention 32k tokens may need more than 64k with it."""
    large = entry("12b")
    without, flash = (fit.needs(large, context).needed for context in (32768, 65536))
    assert without > flash
    free = (without + flash) / 2 / GB
    found = judge(large, machine(free / 0.95, free / 0.95), wanted=32768)
    assert found is not None
    assert (found.verdict, found.context) == (Verdict.SMALLER, 16384)


def test_what_would_crawl_is_said_and_not_recommended() -> None:
    two_cores = machine(60, 64, cores=2)
    found = verdicts(two_cores)
    assert found["31b"] == found["12b"] == Verdict.SLOW
    best = recommend(judge_all(REMOTE, two_cores))
    assert best is not None
    assert best.entry.name == "26b"  # large, but reads a seventh of itself for a token


def test_a_gpu_is_used_and_what_does_not_fit_it_is_parted() -> None:
    found = {f.entry.name: f for f in judge_all(REMOTE, machine(60, 64, gpu=8))}
    assert (found["e4b"].place, found["e4b"].words) == (
        "GPU",
        "runs well: all layers fit on the GPU",
    )
    assert found["12b:q5_k_m"].place == "GPU and CPU"
    layers = found["12b:q5_k_m"].placement.layers
    assert found["12b:q5_k_m"].words == f"runs well with {layers} of 49 layers on the GPU"
    assert 30 < layers < 49
    large = recommend(judge_all(REMOTE, machine(60, 64, cores=4, gpu=24)))
    assert large is not None
    assert (large.entry.name, large.place) == ("31b", "GPU")


def test_a_mixture_of_experts_runs_well_with_experts_in_main_memory() -> None:
    small = machine(26, 32, gpu=12)
    found = judge(entry("26b"), small)
    assert found is not None
    kept = found.placement.cpu_experts
    assert found.words == f"runs well with the experts of {kept} of 30 layers in main memory"
    assert 5 < kept < 15
    smaller = judge(entry("26b"), machine(26, 32, gpu=2))
    assert smaller is not None
    split = f"{smaller.placement.layers} of 31 layers on the GPU and all experts in main memory"
    assert smaller.words == f"runs well with {split}"
    best = recommend(judge_all(REMOTE, small))
    assert best is not None
    assert best.entry.name == "26b"  # 31b would run, too, but not at a lively pace


def test_what_a_person_set_for_the_gpu_counts() -> None:
    on = machine(60, 64, gpu=24)
    for options, place in (
        (LoadOptions(), "GPU"),
        (LoadOptions(gpu_memory=6 * GB), "GPU and CPU"),
        (LoadOptions(gpu_layers=20), "GPU and CPU"),
        (LoadOptions(gpu_layers=0), "CPU"),
    ):
        found = judge(entry("12b"), on, options=options)
        assert found is not None
        assert found.place == place
    for options in (
        LoadOptions(gpu_layers=-1),  # more than fits, and no fewer will do
        LoadOptions(gpu_layers=-1, gpu_memory=3 * GB),
    ):
        refused = judge(entry("12b"), machine(60, 64, gpu=4), options=options)
        assert refused is not None
        assert refused.verdict == Verdict.NO


def test_the_pace_of_a_parted_pair_lies_between_those_of_its_parts() -> None:
    paces = [judge(entry("12b"), machine(60, 64, gpu=size)) for size in (0, 4, 6, 24)]
    found = [fit.pace for fit in paces if fit is not None and fit.pace is not None]
    assert len(found) == 4
    assert found == sorted(set(found))
    # All weights once a token, from a card that is taken for a small one.
    assert found[-1] == pytest.approx(200e9 / 6.7e9, rel=0.01)


def test_a_longer_context_is_named_where_it_costs_little() -> None:
    """One that moved half of the layers off the GPU would not fit as well."""
    on = machine(60, 64, gpu=8)
    found, longer = judge(entry("26b"), on), judge(entry("26b"), on, wanted=262_144)
    assert found is not None
    assert longer is not None
    assert 8192 <= found.context < 262_144
    assert longer.context == 262_144
    assert longer.pace is not None
    assert found.pace is not None
    assert longer.pace < 0.9 * found.pace


def test_a_gpu_that_shares_memory_is_counted_once() -> None:
    shared = Device("MTL0", "a chip", 10 * GB, 16 * GB, shares_memory=True)
    apple = Machine(10 * GB, 16 * GB, 8, (shared,))
    found = {f.entry.name: f for f in judge_all(REMOTE, apple)}
    assert found["12b"].verdict == Verdict.WELL
    assert found["26b"].verdict == Verdict.NO


def test_nothing_fits_a_tiny_machine() -> None:
    fits = judge_all(REMOTE, machine(1, 2))
    assert {f.verdict for f in fits} == {Verdict.NO}
    assert recommend(fits) is None


def test_a_full_disk_is_a_reason_unless_the_files_are_here() -> None:
    full = machine(60, 64, disk_free=3 * GB)
    no = judge(entry("12b"), full)
    assert no is not None
    assert (no.verdict, no.reason) == (Verdict.NO, "7.1 GB to download, the disk has 3.0 GB")
    here = judge(entry("12b"), full, here=True)
    assert here is not None
    assert here.verdict == Verdict.WELL


def test_nothing_is_guessed_about_an_unknown_machine_or_model() -> None:
    assert judge(entry("12b"), Machine(None, None, 8)) is None
    assert judge(replace(entry("12b"), shape=None), machine(60)) is None


@pytest.mark.skipif(not (MODELS / "tiny-target.gguf").exists(), reason="no built-in pair yet")
def test_a_loaded_pair_has_the_cache_that_was_predicted() -> None:
    from gemma_mtp.llama import load_pair

    target = MODELS / "tiny-target.gguf"
    found = shape_of(gguf.read_header(target))
    for kind, context in (("f16", 512), ("f16", 3000), ("q8_0", 2048)):
        options = LoadOptions(context=context, kv_type=kind)
        pair = load_pair(PairFiles("tiny", target, MODELS / "tiny-drafter.gguf"), options)
        # llama.cpp states MiB with two digits.
        predicted = memory.kv_bytes(found, context, pair.target.piece_size, kind)
        assert pair.info.target_kv_bytes == pytest.approx(predicted, abs=0.02 * memory.MIB)
        assert pair.info.drafter_kv_bytes == 0
        pair.close()
