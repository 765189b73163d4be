"""Pulls in processes of their own that are killed at random moments and started again.

The process is really killed (SIGKILL), while several connections fetch and one thread hashes. Used
by the tests and by benchmarks/measure_pull.py.
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

from support import gguf_writer as writer
from support.hub_server import Hub
from support.pulls import entry_at

from gemma_mtp.models.pull import ollama_registry

ROOT = Path(__file__).parents[2]
CLIENT = """
import json, sys
from pathlib import Path
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.pull.pair import pull
asked = json.loads(sys.argv[1])
if asked["repo"].startswith("kaggle:"):
    from kagglesdk import kaggle_env
    kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.LOCAL] = asked["url"]
target, drafter = (RemoteFile(name, "Q4_0", sha, size) for name, (size, sha) in asked["files"])
entry = Entry("x", "x", asked["repo"], asked["revision"], target, drafter, ("x",))
pull(entry, Path(asked["folder"]), lambda event: print("on", flush=True))
"""


def env(hub: Hub, home: Path) -> dict[str, str]:
    """This hub, and nothing of the machine's own caches, tokens and proxies."""
    return {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "HOME": str(home),
            "GEMMA_MTP_HOME": str(home), "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1",
            "HF_HUB_DISABLE_TELEMETRY": "1", "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            ollama_registry.VARIABLE: hub.url}  # fmt: skip


class Pull:
    """A pull in a process of its own."""

    def __init__(self, hub: Hub, home: Path, place: str = "the hub") -> None:
        entry = entry_at(place)
        is_kaggle = place == "Kaggle"  # which states no sha256
        files = [(n, (s.size, "" if is_kaggle else s.sha256)) for n, s in hub.files.items()]
        asked = {"repo": entry.repo, "revision": entry.revision, "files": files,
                 "folder": str(home / "x"), "url": hub.url}  # fmt: skip
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


def killed_often(
    home: Path, size: int, kills: int, rate: float, seed: int, place: str = "the hub"
) -> float:
    """Kill at random moments, then let it finish; returns the share of bytes fetched twice."""
    draw = random.Random(seed)
    headers = [writer.contents(*parts()) for parts in (writer.target, writer.drafter)]
    target = headers[0] + b"".join(draw.randbytes(1 << 20) for _ in range(size >> 20))
    contents = {"target.gguf": target, "mtp-target.gguf": headers[1] + draw.randbytes(100_000)}
    hub = Hub(dict(contents))
    hub.versions = [[*contents]]
    hub.faults.rate = rate
    whole = size / (4 * rate)  # seconds, with four connections
    killed = 0
    try:
        while killed < kills:
            killed += Pull(hub, home, place).kill_after(draw.uniform(0, 1.5 * whole / kills))
            folder = home / "x"
            assert not (folder / "pair.json").exists() or killed == kills
        assert Pull(hub, home, place).finish() == 0
    finally:
        hub.close()
    for name, data in contents.items():
        assert (folder / name).read_bytes() == data
    assert (folder / "pair.json").exists()
    total = sum(len(data) for data in contents.values())
    return (sum(hub.sent.values()) - total) / total
