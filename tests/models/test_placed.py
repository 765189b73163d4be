"""Where `show` says that a pair would be put, and how fast a token may be there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemma_mtp.models import pace, placed
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.details import details, facts
from gemma_mtp.models.machine import Device, Machine
from gemma_mtp.models.placement import Wanted, choose
from gemma_mtp.models.shape import Shape
from gemma_mtp.models.store import Store
from gemma_mtp.models.weights import Weights, from_shape
from gemma_mtp.options import Options

GIB = 1 << 30
WANTED = Wanted(8192)


def model(name: str) -> tuple[Shape, Weights]:
    entry = load_catalogue().find(name)
    assert entry is not None
    assert entry.shape is not None
    sizes = entry.target.bytes or 0, entry.drafter.bytes or 0
    return entry.shape, from_shape(entry.shape, *sizes)


def machine(card: float) -> Machine:
    gpus = (Device("CUDA0", "a card", int(card * GIB), int(card * GIB)),)
    return Machine(60 * GIB, 64 * GIB, 8, gpus, memory_speed=50e9)


def told(name: str, card: float) -> list[tuple[str, str]]:
    return list(placed.facts(placed.of(*model(name), WANTED, machine(card))))


def test_a_pair_that_fits_whole_is_put_on_the_gpu() -> None:
    (only,) = told("12b", 16)
    assert only[0] == "placement"
    assert only[1].startswith("all 49 layers and the drafter on the GPU, 7.7 of 17.2 GB")


@pytest.mark.parametrize(
    ("name", "more"), [("12b", "39 layers"), ("26b", "all but the experts of 18 layers")]
)
def test_what_the_drafter_costs_a_parted_pair_is_said(name: str, more: str) -> None:
    first, second = told(name, {"12b": 6, "26b": 7.5}[name])
    assert "and the drafter on the GPU, " in first[1]
    assert second[1].startswith(f"without the drafter, {more} would fit, and plain decoding be 1.0")
    assert second[1].endswith(" times as fast, by estimate")


@pytest.mark.usefixtures("home")
def test_what_a_person_set_is_shown() -> None:
    for options, words in (
        (Options(), "all 8 layers and the drafter on the GPU, "),
        (Options(gpu_layers=5), "5 of 8 layers and the drafter on the GPU, "),
        (Options(gpu_memory=50_000_000), "7 of 8 layers and the drafter on the GPU, "),
        (Options(gpu_layers=0), "all layers on the CPU"),
    ):
        found = details(Store(load_catalogue()), "tiny", lambda: machine(2), options)
        assert found["placed"].startswith(words)
    longer = details(Store(load_catalogue()), "tiny", lambda: machine(2), Options(context=2048))
    assert longer["memory"]["context"] == 2048


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("card", "where"), [(2, True), (0, False)])
def test_what_reading_pictures_takes_is_shown_and_where_it_goes(card: int, where: bool) -> None:
    found = details(Store(load_catalogue()), "tiny", lambda: machine(card), Options())
    found["files"].append({**found["files"][0], "role": "encoder", "bytes": 985_654_080})
    (said,) = [words for _, words in facts(found) if "once a picture is read" in words]
    assert said.startswith("986 MB more")
    assert ("on the GPU if that has room" in said) == where


def test_nothing_is_gained_by_leaving_out_what_is_not_there() -> None:
    shape, weights = model("12b")
    on = machine(6)
    plain = replace(weights, drafter=0)
    placement = choose(shape, plain, on.gpus, WANTED)
    assert pace.without_drafter(shape, plain, placement, WANTED, on) is None


def test_each_weight_is_read_once_where_it_lies() -> None:
    shape, weights = model("26b")
    used = shape.experts_used / shape.experts
    every = sum(weights.layers) + weights.output + used * sum(weights.experts)
    for card in (1, 4, 8, 12, 24):
        placement = choose(shape, weights, machine(card).gpus, WANTED)
        gpu, cpu = pace.read(shape, weights, placement)
        assert gpu + cpu == pytest.approx(every)
        assert bool(cpu > 1) != placement.is_whole
        assert bool(gpu) == bool(placement.gpus)


def test_more_on_the_gpu_is_faster() -> None:
    shape, weights = model("12b")
    found = [
        pace.seconds(shape, weights, choose(shape, weights, on.gpus, WANTED), on)
        for on in map(machine, (1, 3, 4, 6, 8))
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > 3 * found[-1]
