"""The arithmetic of benchmarks/compare_llama_server.py and benchmarks/measure_memory.py."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import measure_memory
import pytest
from compare_llama_server import (
    Run,
    alternating,
    expected_length,
    ratios,
    refuse_amx,
    server_rounds,
    summary,
)


def run(seconds: float, rounds: int = 10, tokens: int = 25, side: str = "gemma-mtp") -> Run:
    return Run(side, 3, tokens, rounds, seconds)


def test_expected_length_is_the_sum_of_the_chances() -> None:
    assert expected_length(3, 0.5) == 1.875
    assert expected_length(0, 0.5) == 1
    assert expected_length(3, 1.0) == 4


def test_every_second_pair_is_reversed() -> None:
    assert "".join(alternating("ab", 3)) == "abbaab"


def test_a_lucky_draw_of_acceptances_does_not_count_as_speed() -> None:
    lucky, plain = run(1.0, tokens=35), run(1.0, tokens=20)
    assert ratios([lucky], [plain]) == [1.0]
    assert (
        summary([lucky], 0.75)["at_expected_length"] == summary([plain], 0.75)["at_expected_length"]
    )


def test_ratio_above_one_means_that_our_rounds_are_faster() -> None:
    found = ratios([run(1.0), run(2.0)], [run(1.5), run(2.0)])
    assert found == pytest.approx([1.5, 1.0])


def test_one_stalled_run_moves_neither_median_nor_spread() -> None:
    row = summary([run(1.0)] * 6 + [run(60.0)], 0.5)
    assert row["round_ms"] == pytest.approx(100)
    assert row["spread_percent"] == 0
    assert row["at_expected_length"] == pytest.approx(18.75)


def test_rounds_of_llama_server_leave_out_the_prompts_token() -> None:
    assert server_rounds({"predicted_n": 9, "draft_n_accepted": 5, "draft_n": 9}) == 3
    assert server_rounds({"predicted_n": 9}) == 8


LOG = """
load_tensors:   CPU_Mapped model buffer size =    41.50 MiB
load_tensors:   CPU_REPACK model buffer size =    40.00 MiB
llama_kv_cache:        CPU KV buffer size =     9.00 MiB
llama_kv_cache:        CPU KV buffer size =    48.00 MiB
"""


def test_buffers_are_added_by_kind_and_mapped_weights_kept_apart() -> None:
    mib = measure_memory.MIB
    found = {"mapped": 41.5 * mib, "model": 40.0 * mib, "KV": 57.0 * mib}
    assert measure_memory.buffers(LOG) == found


def test_what_the_drafter_adds_is_explained_to_the_last_byte() -> None:
    alone = {"needed": 100, "private": 90, "buffers": {"model": 50.0, "KV": 7.0}}
    pair = {"needed": 190, "private": 175, "buffers": {"model": 90.0, "KV": 7.0, "compute": 2.0}}
    parts = dict(measure_memory.added(alone, pair))
    assert parts["weights, repacked"] == 40
    assert parts["all else, private"] == 175 - 90 - 42
    assert sum(parts.values()) == 190 - 100


@pytest.mark.skipif(sys.platform != "linux", reason="AMX is asked for on Linux only")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64's system calls")
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_amx_is_refused_and_other_system_calls_go_through(tmp_path: Path) -> None:
    ask = (
        "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True);"
        "print(libc.syscall(158, 0x1023, 18), ctypes.get_errno(), libc.syscall(39) == os.getpid())"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask],
        env={"LD_PRELOAD": str(refuse_amx(tmp_path))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["-1", "1", "True"]
