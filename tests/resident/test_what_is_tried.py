"""What is tried on a machine with GPUs, and what is said of it; no device is needed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.pairs import TINY

from gemma_mtp.api import DeviceShare, LoadOptions, Placement
from gemma_mtp.errors import BadPair, DoesNotFit
from gemma_mtp.models.machine import Device, Machine
from gemma_mtp.models.placement import MARGIN_LEAST
from gemma_mtp.resident.placing import (
    TRIES,
    first_that_fits,
    placements,
    why_on_cpu,
    without_drafter,
)

OPTIONS = LoadOptions(context=1024)
CARD = Device("CUDA0", "A card", 4 * MARGIN_LEAST, 4 * MARGIN_LEAST)


def test_a_small_pair_is_tried_whole_then_with_less_and_in_the_end_on_the_cpu() -> None:
    tried = list(placements(TINY, OPTIONS, [CARD]))
    assert tried[0].is_whole
    assert tried[0].drafter == "CUDA0"
    sizes = [sum(gpu.bytes for gpu in placement.gpus) for placement in tried]
    assert sizes == sorted(set(sizes), reverse=True)
    assert not tried[-1].gpus
    assert len(tried) <= TRIES + 1


def test_layers_that_were_asked_for_are_tried_once() -> None:
    for layers in (0, 3, -1):
        (only,) = placements(TINY, replace(OPTIONS, gpu_layers=layers), [CARD])
        assert only.layers == (only.of if layers < 0 else layers)


def test_where_nothing_fits_on_a_card_a_sentence_says_so() -> None:
    full = replace(CARD, free=40_000_000)
    small = replace(OPTIONS, gpu_memory=10**6)
    beside = "all of it is on the CPU."
    for options, gpus, said in (
        (OPTIONS, [full], f"No layer fits on the GPU, where 40 MB are free: {beside}"),
        (small, [CARD], f"No layer fits into the 1 MB that gpu_memory allows: {beside}"),
        (replace(OPTIONS, gpu_layers=0), [full], ""),
        (OPTIONS, [CARD], ""),
    ):  # fmt: skip
        assert why_on_cpu(next(placements(TINY, options, gpus)), options, gpus) == said
    assert why_on_cpu(CPU, OPTIONS, []) == ""


def test_layers_are_asked_of_a_card_without_room_too() -> None:
    """Whether it has the memory is known only when it is asked."""
    for options in (replace(OPTIONS, gpu_layers=2), replace(OPTIONS, cpu_experts=1)):
        assert next(placements(TINY, options, [replace(CARD, free=0)])).gpus


def test_no_more_than_what_may_be_used_is_tried() -> None:
    whole = next(placements(TINY, OPTIONS, [CARD]))
    limit = whole.gpus[0].bytes * 3 // 4
    part = next(placements(TINY, replace(OPTIONS, gpu_memory=limit), [CARD]))
    assert sum(gpu.bytes for gpu in part.gpus) <= limit
    assert 0 <= part.layers < whole.layers


def test_a_second_drafter_on_trial_has_its_place_and_a_layer_gives_way_for_it() -> None:
    both = replace(TINY, rival=TINY.drafter)
    one, two = (next(placements(files, OPTIONS, [CARD])) for files in (TINY, both))
    assert TINY.drafter is not None
    assert two.gpus[0].bytes - one.gpus[0].bytes > TINY.drafter.stat().st_size
    tight = replace(OPTIONS, gpu_memory=one.gpus[0].bytes)
    assert next(placements(TINY, tight, [CARD])).is_whole
    assert not next(placements(both, tight, [CARD])).is_whole
    gone = replace(TINY, rival=TINY.target.with_name("gone.gguf"))
    assert next(placements(gone, OPTIONS, [CARD])) == one


FIRST, SECOND = (
    Placement(layers, 49, (DeviceShare("A", layers, layers * 10**8, 8 * 10**9),), drafter="A")
    for layers in (40, 34)
)
CPU = Placement(0, 49)


def load_below(most: int, tried: list[Placement], placement: Placement) -> str:
    tried.append(placement)
    if placement.layers > most:
        raise DoesNotFit("cudaMalloc failed: out of memory")
    return f"{placement.layers} layers"


@pytest.mark.parametrize(("most", "tries"), [(40, 1), (34, 2), (0, 3)])
def test_what_has_no_room_is_tried_one_step_smaller_and_that_is_said(most: int, tries: int) -> None:
    tried: list[Placement] = []
    loaded, said = first_that_fits(
        iter([FIRST, SECOND, CPU]), lambda placement: load_below(most, tried, placement)
    )
    assert loaded == f"{most} layers"
    assert tried == [FIRST, SECOND, CPU][:tries]
    assert bool(said) == (tries > 1)
    if tries == 2:
        assert "40 of 49 layers and the drafter on the GPU, 4.0 of 8.0 GB" in said
        assert "out of memory" in said
        assert "34 of 49 layers and the drafter on the GPU, 3.4 of 8.0 GB" in said
    if tries == 3:
        assert said.endswith("Tried then: all layers on the CPU.")


def test_the_last_failure_is_raised_and_so_is_any_other_at_once() -> None:
    with pytest.raises(DoesNotFit) as caught:
        first_that_fits(iter([FIRST]), lambda placement: load_below(0, [], placement))
    assert "--gpu-layers auto" in caught.value.hint

    def refuse(placement: Placement) -> str:
        raise BadPair("damaged")

    with pytest.raises(BadPair):
        first_that_fits(iter([FIRST, SECOND]), refuse)


@pytest.mark.parametrize(
    ("placement", "words"),
    [
        (CPU, "all layers on the CPU"),
        (SECOND, "34 of 49 layers and the drafter on the GPU, 3.4 of 8.0 GB"),
        (replace(SECOND, layers=49), "all 49 layers and the drafter on the GPU, 3.4 of 8.0 GB"),
        (replace(SECOND, drafter=""),
         "34 of 49 layers on the GPU, the drafter on the CPU, 3.4 of 8.0 GB"),
        (replace(SECOND, layers=49, cpu_experts=1),
         "all 49 layers and the drafter on the GPU, the experts of 1 layer on the CPU,"
         " 3.4 of 8.0 GB"),
        (replace(SECOND, gpus=(*SECOND.gpus, *FIRST.gpus)),
         "34 of 49 layers and the drafter on 2 GPUs, 7.4 of 16.0 GB"),
        (
            Placement(8, 8, (DeviceShare("A", 8, 12_000_000, 8 * 10**9),), drafter="A"),
            "all 8 layers and the drafter on the GPU, 12 MB of 8.0 GB",
        ),
        (
            Placement(8, 8, (DeviceShare("A", 8, 51_000_000, 2 * 10**9),), drafter="A"),
            "all 8 layers and the drafter on the GPU, 51 MB of 2.0 GB",
        ),
    ],
)  # fmt: skip
def test_a_placement_in_words(placement: Placement, words: str) -> None:
    assert placement.in_words(has_drafter=True) == words


def test_what_the_drafter_takes_of_a_card_is_known_also_when_the_pair_is_loaded() -> None:
    """Less is free on the card then, which changes nothing."""
    whole = next(placements(TINY, OPTIONS, [CARD]))
    options = replace(OPTIONS, gpu_memory=whole.gpus[0].bytes - 1)
    loaded = next(placements(TINY, options, [CARD]))
    full = Machine(8 << 30, 8 << 30, 4, (replace(CARD, free=0),))
    found = without_drafter(TINY, options, loaded, full)
    assert found is not None
    placement, gain = found
    assert loaded.layers < placement.layers
    assert gain > 1
    assert without_drafter(replace(TINY, drafter=None), options, loaded, full) is None
    assert without_drafter(TINY, OPTIONS, whole, full) is None
