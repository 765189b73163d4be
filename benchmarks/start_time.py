"""How long `gemma-mtp --help` takes, against a bare Typer application and a bare Python.

Each round starts all of them once, in turn, so that other work on the machine hits all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

BARE = """
import typer
app = typer.Typer(rich_markup_mode=None, add_completion=False)
@app.command()
def one(name: str = "x") -> None: ...
@app.command()
def two(name: str = "x") -> None: ...
app()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="starts of each program")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(BARE, encoding="utf-8")
        programs = {
            "python": [sys.executable, "-c", "pass"],
            "typer": [sys.executable, str(bare), "--help"],
            "gemma-mtp": [sys.executable, "-m", "gemma_mtp", "--help"],
            "gemma-mtp run": [sys.executable, "-m", "gemma_mtp", "run", "--help"],
        }
        for words in programs.values():  # once for nothing: the files come into memory
            seconds(words)
        times: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(rounds):
            for name, words in programs.items():
                times[name].append(seconds(words))
    for name, taken in times.items():
        print(f"{name:14} {1000 * median(taken):6.0f} ms")
    pairs = zip(times["gemma-mtp"], times["typer"], strict=True)
    ratio = median(ours / typer for ours, typer in pairs)
    middle = {name: round(median(taken), 4) for name, taken in times.items()}
    print(json.dumps({"seconds": middle, "rounds": rounds, "ratio": round(ratio, 3)}))


def seconds(words: list[str]) -> float:
    """From the start of a program to its end."""
    environment = {**os.environ}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed programs are compiled
    started = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
