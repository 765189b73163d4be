"""What the engine that stays loaded brings: a command warm against cold, and its own cost.

    python benchmarks/resident_engine.py [MODEL] [--rounds 10] [--tokens 200] [--loop 100]

1. The time of `run --max-tokens 1` with the pair loaded for it and with the pair that stayed, and
   of `--help`; each round takes all three in turn.
2. Tokens per second through the engine over those of a pair in this process, in turn, without
   drafts and with three, and what the way through the engine adds to a round.
3. `--loop` prompts one after another, warm and, a tenth of them, cold.
4. Memory of the engine, of this process with the same pair, and of a command that uses the engine.

real_vocabulary.py makes a MODEL that takes as long to load as its vocabulary takes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

from gemma_mtp.api import End, LoadOptions, Message, PairFiles, Replies, Request
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.machine import resident_bytes
from gemma_mtp.models.store import Store
from gemma_mtp.paths import own_models
from gemma_mtp.resident.client import ResidentPair
from gemma_mtp.resident.identity import engine_folder
from gemma_mtp.resident.line import ask
from gemma_mtp.resident.pairs import load

KEEP = "GEMMA_MTP_KEEP_ALIVE"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="tiny")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--loop", type=int, default=100, choices=range(1, 10**6), metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ["GEMMA_MTP_HOME"] = home
        files = Store(load_catalogue(own_models())).resolve(args.model)
        try:
            found = {
                **commands(args.model, args.rounds),
                **loop(args.model, args.loop),
                **speed(files, args.rounds, args.tokens),
            }
        finally:
            ask(engine_folder(), "stop")
    print(json.dumps(found, indent=2))


def command(*words: str, keep: str = "5m") -> float:
    """Seconds that a command takes."""
    environment = {**os.environ, KEEP: keep}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # installed programs are compiled
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "gemma_mtp", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - started


def command_bytes(*words: str) -> int:
    """Memory of a command at its largest."""
    code = "import resource, sys; from gemma_mtp.cli.app import main; main(sys.argv[1:]); "
    code += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, KEEP: "5m", "PYTHONPATH": str(Path(__file__).parent.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return int(done.stderr.split()[-1]) << 10


def commands(model: str, rounds: int) -> dict[str, float]:
    one = ("run", model, "Hi", "--max-tokens", "1")
    kinds = {"help": ("--help",), "cold": (*one, "--keep-alive", "off"), "warm": one}
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name in ("help", "cold"):
            taken[name].append(command(*kinds[name], keep="0"))
        command(*one)  # starts it
        taken["warm"].append(command(*one))
        ask(engine_folder(), "stop")
        while ask(engine_folder(), "status") is not None:
            time.sleep(0.01)
    middle = {f"seconds_{name}": round(median(each), 3) for name, each in taken.items()}
    ratios = {
        "warm_over_help": median(w / h for w, h in zip(taken["warm"], taken["help"], strict=True)),
        "cold_over_warm": median(c / w for c, w in zip(taken["cold"], taken["warm"], strict=True)),
    }
    return middle | {name: round(ratio, 2) for name, ratio in ratios.items()}


def loop(model: str, count: int) -> dict[str, float]:
    """Seconds of a prompt in a loop of them."""
    words = ("run", model, "Hi", "--max-tokens", "10", "--seed", "1")
    command(*words)
    warm = [command(*words) for _ in range(count)]
    largest = command_bytes(*words)
    ask(engine_folder(), "stop")
    while ask(engine_folder(), "status") is not None:
        time.sleep(0.01)
    cold = [command(*words, keep="0") for _ in range(max(count // 10, 1))]
    return {
        "loop_seconds_each_warm": round(sum(warm) / len(warm), 3),
        "loop_seconds_each_cold": round(sum(cold) / len(cold), 3),
        "command_bytes": largest,
    }


def speed(files: PairFiles, rounds: int, tokens: int) -> dict[str, float]:
    options = LoadOptions(threads=None)
    here = load(files, options, lambda fraction: True)
    there = ResidentPair(engine_folder(), files, options, 60.0)
    there.load(lambda fraction: True)
    found = {}
    for draft in (0, 3):
        ratios, costs = [], []
        for pair in (here, there):  # what is read from the disk first is not compared
            rate(pair, draft, tokens)
        for n in range(rounds):
            both = (here, there) if n % 2 else (there, here)
            taken = {id(pair): rate(pair, draft, tokens) for pair in both}
            ratios.append(taken[id(here)] / taken[id(there)])
            costs.append(taken[id(there)] - taken[id(here)])
        found[f"speed_ratio_draft_{draft}"] = round(median(ratios), 3)
        found[f"microseconds_of_a_round_draft_{draft}"] = round(1e6 * median(costs), 1)
    found["engine_bytes"] = ask(engine_folder(), "status")["memory_bytes"]
    found["bytes_here"] = resident_bytes() or 0
    here.close()
    there.close()
    return found


def rate(pair: Replies, draft: int, tokens: int) -> float:
    """Seconds of a round, from the prompt to the last token as its client sees it."""
    request = Request(
        (Message.text("user", "Tell me a story about a dog."),),
        seed=1,
        exact=False,
        draft=draft,
        max_tokens=tokens,
        ignore_end=True,
    )
    started = time.perf_counter()
    *_, end = pair.reply(request, threading.Event())
    assert isinstance(end, End)
    return (time.perf_counter() - started) / max(end.stats.rounds, 1)


if __name__ == "__main__":
    main()
