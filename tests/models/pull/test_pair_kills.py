"""A pull that is killed at random moments and started again ends verified, at little cost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import gguf_writer as writer
from support.hub_server import REPO, Hub
from support.killed_pulls import Pull, env, killed_often
from support.pulls import real_pair
from support.waiting import wait_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")


@pytest.mark.parametrize("place", ["the hub", "Ollama's registry", "Kaggle"])
def test_a_few_kills(tmp_path: Path, place: str) -> None:
    if place == "Kaggle":
        pytest.importorskip("kagglesdk")
    size = 24 << 20 if place == "the hub" else 8 << 20
    assert killed_often(tmp_path, size, 3, 4e6, 1, place) < 0.2


def test_who_waits_for_a_pull_takes_over_when_it_is_killed(tmp_path: Path) -> None:
    data = writer.contents(*writer.target()) + random.Random(3).randbytes(4 << 20)
    hub = Hub({"target.gguf": data, "mtp-target.gguf": writer.contents(*writer.drafter())})
    hub.faults.rate = 1e5
    first = Pull(hub, tmp_path)
    assert first.process.stdout is not None
    first.process.stdout.readline()
    second = Pull(hub, tmp_path)
    try:
        assert second.process.stdout is not None
        second.process.stdout.readline()  # the note that another pull is running
        assert first.kill_after(0)
        hub.faults.rate = 0
        assert second.finish() == 0
    finally:
        hub.close()
    assert (tmp_path / "x" / "target.gguf").read_bytes() == data
    assert sum(hub.sent.values()) < 1.3 * len(data)


def test_ctrl_c_ends_a_pull_at_once_even_when_nothing_comes(tmp_path: Path) -> None:
    real = real_pair(tmp_path / "real")
    hub = Hub({"m-Q4_0.gguf": real["target"], "mtp-m.gguf": real["drafter"]})
    hub.faults.stalls = 99
    process = subprocess.Popen(
        [sys.executable, "-m", "gemma_mtp", "pull", f"hf:{REPO}"],
        env=env(hub, tmp_path),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: hub.sent["m-Q4_0.gguf"] > 0)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        _, notes = process.communicate(timeout=60)
    finally:
        hub.close()
    assert time.monotonic() - start < 8  # it would wait for ten seconds for the hub
    assert process.returncode == 130
    assert notes.endswith(
        "gemma-mtp: Stopped.\n  What has arrived is kept; the same command goes on.\n"
    )


@pytest.mark.slow
def test_thirty_kills(tmp_path: Path) -> None:
    share = killed_often(tmp_path, 400 << 20, 32, 8e6, seed=2)
    print(f"fetched twice after 32 kills: {share:.2%}")
    assert share < 0.05
