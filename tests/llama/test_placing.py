"""A placement becomes what llama.cpp is told of a model, and its log becomes bytes by device."""

from __future__ import annotations

import ctypes

import llama_cpp
import pytest

from gemma_mtp.api import ON_CPU, DeviceShare, Placement
from gemma_mtp.errors import UsageError
from gemma_mtp.llama import placing
from gemma_mtp.llama.devices import cpu_buffer_type
from gemma_mtp.llama.log import Log
from gemma_mtp.llama.placing import ModelPlace, drafter_place, target_place

TWO = Placement(5, 8, (DeviceShare("A", 2), DeviceShare("B", 3)), cpu_experts=2, drafter="B")
HANDLES = {"A": 0xA, "B": 0xB}


class OverrideOf(ctypes.Structure):
    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "handle", HANDLES.__getitem__)
    memory = {"A": "A0[127.0.0.1:50052]", "B": "B"}
    monkeypatch.setattr(placing, "memory_name", memory.__getitem__)


def test_the_target_is_divided_as_the_placement_says(two: None) -> None:
    params = llama_cpp.llama_model_default_params()
    alive = target_place(TWO).apply(params)
    assert params.n_gpu_layers == 5
    assert list((ctypes.c_void_p * 3).from_address(params.devices)) == [0xA, 0xB, None]
    assert params.tensor_split[:2] == [2.0, 3.0]
    one, end = (OverrideOf * 2).from_address(params.tensor_buft_overrides)
    assert one.pattern == rb"^blk\.(0|1)\.ffn_\w+_exps"
    assert one.buffer_type == cpu_buffer_type()
    assert end.pattern is None
    assert alive


def test_the_drafter_is_whole_on_its_device_and_can_read_the_others(two: None) -> None:
    params = llama_cpp.llama_model_default_params()
    alive = drafter_place(TWO).apply(params)
    assert params.n_gpu_layers == -1
    assert list((ctypes.c_void_p * 3).from_address(params.devices)) == [0xB, 0xA, None]
    assert params.tensor_split[:2] == [1.0, 0.0]
    assert alive
    beside = Placement(5, 8, TWO.gpus)
    assert drafter_place(beside) == ModelPlace(0, ("A", "B"))


def test_on_the_cpu_no_device_is_named() -> None:
    params = llama_cpp.llama_model_default_params()
    alive = target_place(ON_CPU).apply(params)
    assert params.n_gpu_layers == 0
    assert (ctypes.c_void_p * 1).from_address(params.devices)[0] is None
    assert not params.tensor_buft_overrides
    assert len(alive) == 1


def test_a_part_of_a_file_is_not_mapped_by_apple_s_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "handle", lambda name: 0xA)

    def mode(placement: Placement) -> int:
        params = llama_cpp.llama_model_default_params()
        target_place(placement).apply(params)
        return int(params.load_mode)

    mac, card = (DeviceShare("MTL0", 8),), (DeviceShare("CUDA0", 5),)
    assert mode(Placement(5, 8, mac)) == llama_cpp.LLAMA_LOAD_MODE_NONE
    assert mode(Placement(8, 8, mac, cpu_experts=2)) == llama_cpp.LLAMA_LOAD_MODE_NONE
    assert mode(Placement(8, 8, mac)) == llama_cpp.LLAMA_LOAD_MODE_AUTO
    assert mode(Placement(5, 8, card)) == llama_cpp.LLAMA_LOAD_MODE_AUTO


def test_a_device_that_is_gone_is_named() -> None:
    with pytest.raises(UsageError, match="no device CUDA7 here"):
        ModelPlace(1, ("CUDA7",)).apply(llama_cpp.llama_model_default_params())


def test_what_the_log_announces_is_counted_by_device(two: None) -> None:
    log = Log()
    for line in (
        b"load_tensors:   CPU_Mapped model buffer size =     8.00 MiB",
        b"load_tensors:   B_Mapped model buffer size =     0.50 MiB",
        b"load_tensors:       A0[127.0.0.1:50052] model buffer size =     2.50 MiB",
        b"llama_kv_cache:       A0[127.0.0.1:50052] KV buffer size =     1.00 MiB",
        b"llama_kv_cache:        B KV buffer size =     0.25 MiB",
        b"sched_reserve:          B compute buffer size =     0.25 MiB",
    ):
        log.write(2, line, None)
    assert log.kv_bytes == 5 << 18
    found = placing.measured(TWO, log.taken())
    assert [gpu.bytes for gpu in found.gpus] == [7 << 19, 1 << 20]
    assert found.beside == 8 << 20
    assert not log.taken()
