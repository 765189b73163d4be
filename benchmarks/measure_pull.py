"""How fast a pull is, what it costs in memory, and what being killed costs, against a local hub.

    python benchmarks/measure_pull.py speed    # against `hf download` and curl, interleaved
    python benchmarks/measure_pull.py memory   # a sparse file of 4 GB
    python benchmarks/measure_pull.py kills    # killed at random moments, at three speeds

Each ends with one JSON line. The hub (tests/support/hub_server.py) runs in a process of its own and
sends files with sendfile, so that what is measured is the receiving side.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import gguf_writer as writer  # noqa: E402
from support.hub_server import REPO, REVISION  # noqa: E402
from support.killed_pulls import CLIENT, killed_often  # noqa: E402

BIG, SMALL = "target.gguf", "mtp-target.gguf"


@contextmanager
def served(folder: Path) -> Iterator[dict[str, object]]:
    """A hub with the files of a folder; yields its address, sizes and hashes."""
    command = [sys.executable, str(ROOT / "tests" / "support" / "hub_server.py"), str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())
        server.communicate("")


def environment(hub: dict[str, object], home: Path) -> dict[str, str]:
    """Nothing of this machine's own caches, tokens and proxies."""
    return {**os.environ, "HF_ENDPOINT": str(hub["url"]), "HF_HOME": str(home / "hf"),
            "HOME": str(home), "GEMMA_MTP_HOME": str(home), "PYTHONPATH": str(ROOT),
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1", "NO_PROXY": "127.0.0.1"}  # fmt: skip


def pull_command(hub: dict[str, object], home: Path) -> list[str]:
    files = hub["files"]
    assert isinstance(files, dict)
    asked = {"repo": REPO, "revision": REVISION, "folder": str(home / "x"),
             "files": [(name, files[name]) for name in (BIG, SMALL)]}  # fmt: skip
    return [sys.executable, "-c", CLIENT, json.dumps(asked)]


def speed(size: int, rounds: int) -> dict[str, object]:
    """Seconds of wall time for the same file, each way in turn."""
    seconds: dict[str, list[float]] = {"gemma-mtp": [], "hf": [], "curl": [], "curl+sha256sum": []}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_random(place / "served" / BIG, size)
        (place / "served" / SMALL).write_bytes(writer.contents(*writer.drafter()))
        with served(place / "served") as hub:
            url = f"{hub['url']}/{REPO}/resolve/{REVISION}/{BIG}"
            curl = ["curl", "-sSL", "--noproxy", "*", "-o", str(place / "home" / "c"), url]
            hf = [str(Path(sys.executable).with_name("hf")), "download", REPO, BIG, "--revision",
                  REVISION, "--local-dir", str(place / "home" / "l"), "--quiet"]  # fmt: skip
            for _ in range(rounds):
                env = environment(hub, place / "home")
                for name in seconds:
                    home = place / "home"
                    shutil.rmtree(home, ignore_errors=True)
                    home.mkdir()
                    os.sync()
                    command = {"gemma-mtp": pull_command(hub, home), "hf": hf}.get(name, curl)
                    start = time.perf_counter()
                    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
                    if name == "curl+sha256sum":
                        subprocess.run(["sha256sum", str(home / "c")], check=True,
                                       stdout=subprocess.DEVNULL)  # fmt: skip
                    seconds[name].append(time.perf_counter() - start)
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    rates = {name: round(size / value / 1e6) for name, value in middle.items()}
    ratios = {f"gemma-mtp / {name}": round(value / middle["gemma-mtp"], 2)
              for name, value in middle.items() if name != "gemma-mtp"}  # fmt: skip
    return {"bytes": size, "rounds": rounds, "MB/s": rates, "speed": ratios,
            "seconds": {k: [round(v, 2) for v in vs] for k, vs in seconds.items()}}  # fmt: skip


def memory(size: int) -> dict[str, object]:
    """Resident memory during a pull of a sparse file, from the kernel's own figures."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "served").mkdir()
        with open(place / "served" / BIG, "wb") as file:
            file.write(writer.contents(*writer.target()))
            file.truncate(size)
        (place / "served" / SMALL).write_bytes(writer.contents(*writer.drafter()))
        with served(place / "served") as hub:
            home = place / "home"
            home.mkdir()
            command, env = pull_command(hub, home), environment(hub, home)
            process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
            samples = list(resident(process))
    middle = samples[len(samples) // 5 :]
    return {"bytes": size, "status": process.returncode, "samples": len(samples),
            "peak_MB": round(max(samples) / 1e3), "early_MB": round(middle[0] / 1e3),
            "late_MB": round(middle[-1] / 1e3)}  # fmt: skip


def resident(process: subprocess.Popen[bytes]) -> Iterator[int]:
    """Kilobytes, ten times a second until it ends."""
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        for line in status.splitlines():
            if line.startswith("RssAnon:"):
                yield int(line.split()[1])
        time.sleep(0.1)
    process.wait()


def kills(size: int) -> dict[str, object]:
    """The share of bytes fetched twice when a pull is killed 30 times."""
    shares = {}
    for rate in (2e6, 8e6, 20e6):
        with tempfile.TemporaryDirectory() as folder:
            share = killed_often(Path(folder), size, 30, rate, seed=int(rate))
        shares[f"{4 * rate / 1e6:.0f} MB/s"] = f"{share:.2%}"
    return {"bytes": size, "kills": 30, "fetched_twice": shares}


def write_random(path: Path, size: int) -> None:
    """The header of a target, without which a pull ends in an error, and random bytes."""
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        file.write(writer.contents(*writer.target()))
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed", "memory", "kills"])
    parser.add_argument("--megabytes", type=int, help="size of the target")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    size = (asked.megabytes or {"speed": 2048, "memory": 4096, "kills": 256}[asked.what]) << 20
    if asked.what == "speed":
        print(json.dumps(speed(size, asked.rounds)))
    else:
        print(json.dumps((memory if asked.what == "memory" else kills)(size)))


if __name__ == "__main__":
    main()
