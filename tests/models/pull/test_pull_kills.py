"""A pull that is killed at random moments and started again ends verified, at little cost.

The process is really killed (SIGKILL), while several connections fetch and one thread hashes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import gguf_writer as writer
from support.hub_server import REPO, REVISION, Hub
from support.pulls import real_pair

ROOT = Path(__file__).parents[3]
CLIENT = """
import json, sys
from pathlib import Path
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.pull.pair import pull
asked = json.loads(sys.argv[1])
target, drafter = (RemoteFile(name, "Q4_0", sha, size) for name, (size, sha) in asked["files"])
entry = Entry("x", "x", asked["repo"], asked["revision"], target, drafter, ("x",))
pull(entry, Path(asked["folder"]), lambda event: print("on", flush=True))
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")


def env(hub: Hub, home: Path) -> dict[str, str]:
    """This hub, and nothing of the machine's own caches, tokens and proxies."""
    return {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "HOME": str(home),
            "GEMMA_MTP_HOME": str(home), "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1",
            "HF_HUB_DISABLE_TELEMETRY": "1"}  # fmt: skip


class Pull:
    """A pull in a process of its own."""

    def __init__(self, hub: Hub, home: Path) -> None:
        files = [(name, (s.size, s.sha256)) for name, s in hub.files.items()]
        asked = {"repo": REPO, "revision": REVISION, "files": files, "folder": str(home / "x")}
        command = [sys.executable, "-c", CLIENT, json.dumps(asked)]
        self.process = subprocess.Popen(command, env=env(hub, home), stdout=subprocess.PIPE)

    def kill_after(self, seconds: float) -> bool:
        """Kill it once it has run for a while after its first event; False: it was done before."""
        assert self.process.stdout is not None
        self.process.stdout.readline()
        time.sleep(seconds)
        done = self.process.poll() is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        return not done

    def finish(self) -> int:
        self.process.communicate(timeout=300)
        return self.process.returncode


def killed_often(home: Path, size: int, kills: int, rate: float, seed: int) -> float:
    """Kill at random moments, then let it finish; returns the share of bytes fetched twice."""
    draw = random.Random(seed)
    headers = [writer.contents(*parts()) for parts in (writer.target, writer.drafter)]
    target = headers[0] + b"".join(draw.randbytes(1 << 20) for _ in range(size >> 20))
    contents = {"target.gguf": target, "mtp-target.gguf": headers[1] + draw.randbytes(100_000)}
    hub = Hub(dict(contents))
    hub.faults.rate = rate
    whole = size / (4 * rate)  # seconds, with four connections
    killed = 0
    try:
        while killed < kills:
            killed += Pull(hub, home).kill_after(draw.uniform(0, 1.5 * whole / kills))
            folder = home / "x"
            assert not (folder / "pair.json").exists() or killed == kills
        assert Pull(hub, home).finish() == 0
    finally:
        hub.close()
    for name, data in contents.items():
        assert (folder / name).read_bytes() == data
    assert (folder / "pair.json").exists()
    total = sum(len(data) for data in contents.values())
    return (sum(hub.sent.values()) - total) / total


def test_a_few_kills(tmp_path: Path) -> None:
    assert killed_often(tmp_path, 24 << 20, 3, 4e6, seed=1) < 0.2


def test_who_waits_for_a_pull_takes_over_when_it_is_killed(tmp_path: Path) -> None:
    data = writer.contents(*writer.target()) + random.Random(3).randbytes(4 << 20)
    hub = Hub({"target.gguf": data, "mtp-target.gguf": writer.contents(*writer.drafter())})
    hub.faults.rate = 3e6
    first = Pull(hub, tmp_path)
    assert first.process.stdout is not None
    first.process.stdout.readline()
    second = Pull(hub, tmp_path)
    try:
        assert second.process.stdout is not None
        second.process.stdout.readline()  # the note that another pull is running
        assert first.kill_after(0)
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
        deadline = time.monotonic() + 20
        while not hub.sent["mtp-m.gguf"] and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        _, notes = process.communicate(timeout=20)
    finally:
        hub.close()
    assert time.monotonic() - start < 3
    assert process.returncode == 130
    assert notes.endswith(
        "gemma-mtp: Stopped.\n  What has arrived is kept; the same command goes on.\n"
    )


@pytest.mark.slow
def test_thirty_kills(tmp_path: Path) -> None:
    share = killed_often(tmp_path, 400 << 20, 32, 8e6, seed=2)
    print(f"fetched twice after 32 kills: {share:.2%}")
    assert share < 0.05
