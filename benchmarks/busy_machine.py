"""Decoding beside other busy programs: the automatic number of threads against fixed ones.

    .venv/bin/python benchmarks/busy_machine.py DRAFTER.gguf TARGET.gguf [--busy 0 1 2]
        [--tokens 64] [--repeat 3] [--draft 3] [--acceptance 0.75] [--server LLAMA_SERVER]

For a pair of a real model's shape with random weights (benchmarks/real_shapes.py). Busy programs
are shells that do nothing but count; they start before the reply ("before") or when a third of it
is written ("during"). The numbers of threads take turns, A B C, C B A; each starts from an empty
cache with a loaded pair of its own, and the automatic number goes on from one reply to the next.
Tokens per second are those of the whole reply without prefill; the ratio is the automatic number
against the best fixed one, medians of repeats. Where the programs start before the reply, prefill
is compared in the same way. With --server, llama-server (see compare_llama_server.py) writes the
same beside the same programs, with its default number of threads.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compare_llama_server import Server, alternating

from gemma_mtp.api import (
    End,
    LoadOptions,
    Message,
    PairFiles,
    Prefill,
    Request,
    Sampling,
    TextDelta,
)
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.llama.threads import usable_threads

TEXT = "The sea is wide, and the small boat goes from one island to the next. "
SETTLE = 0.5  # seconds between the start of busy programs and what they disturb


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """So many programs that never wait run meanwhile."""
    running = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(programs)]
    try:
        yield
    finally:
        for program in running:
            program.kill()
            program.wait()


def request(args: argparse.Namespace, seed: int) -> Request:
    return Request(
        (Message.text("user", TEXT * args.prompt_repeats),),
        Sampling(temperature=0),
        seed=seed,
        exact=False,
        draft=args.draft if args.draft == "auto" else int(args.draft),
        max_tokens=args.tokens,
        ignore_end=True,
        synthetic_acceptance=args.acceptance,
    )


def rates(
    engine: Engine, args: argparse.Namespace, programs: int, during: bool, seed: int
) -> tuple[float, float]:
    """Tokens per second written and read of one reply; the busy programs start before it or within
    it."""
    engine.cache.rewind(0)
    with busy(0 if during else programs):
        time.sleep(SETTLE)
        events = engine.reply(request(args, seed))
        started, written = 0.0, 0
        for event in events:
            if isinstance(event, Prefill):
                started = time.perf_counter()
            written += isinstance(event, TextDelta)
            if during and written > args.tokens // 3:
                with busy(programs):
                    *_, end = events
                    seconds = time.perf_counter() - started
                break
            if isinstance(event, End):
                end, seconds = event, time.perf_counter() - started
    assert isinstance(end, End)
    stats = end.stats
    if engine.info.adaptive_threads:
        print(f"      auto: rounds by threads {stats.threads}")
    return (stats.completion_tokens - 1) / seconds, stats.prompt_tokens / stats.prefill_seconds


def server_rate(
    server: Server, prompt: list[int], args: argparse.Namespace, programs: int
) -> float:
    with busy(programs):
        time.sleep(SETTLE)
        return server.run(prompt, args.tokens, 1).tokens_per_second


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drafter", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--draft", default="3")
    parser.add_argument("--acceptance", type=float, default=0.75)
    parser.add_argument("--prompt-repeats", type=int, default=8, help="sentences in the prompt")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--server", type=Path, help="a llama-server, for comparison")
    return parser.parse_args()


def main() -> None:
    args = parse()
    files = PairFiles("busy", args.target, args.drafter)
    numbers: dict[str, int | None] = {"auto": None}
    numbers |= {str(count): count for count in range(1, usable_threads() + 1)}
    engines = {
        name: load(files, LoadOptions(context=args.context, threads=count))
        for name, count in numbers.items()
    }
    for engine in engines.values():
        rates(engine, args, 0, False, 0)
    for programs in args.busy:
        for during in (False, True) if programs else (False,):
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in engines}
            for name in alternating(list(engines), args.repeat):
                seed = len(found[name]) + 1
                found[name].append(rates(engines[name], args, programs, during, seed))
            when = "during" if during else "before"
            print(f"{programs} busy {when}: decoding {against_best(found, 0)}", flush=True)
            if not during:
                print(f"{programs} busy {when}: prefill {against_best(found, 1)}", flush=True)
    if args.server:
        against_server(args, engines["auto"])


def against_best(found: dict[str, list[tuple[float, float]]], which: int) -> str:
    """Medians of written (0) or read (1) tokens per second, and auto against the best fixed."""
    medians = {name: statistics.median(one[which] for one in runs) for name, runs in found.items()}
    best = max(value for name, value in medians.items() if name != "auto")
    words = ", ".join(f"{name} {value:.2f}" for name, value in medians.items())
    return f"{words} tok/s; auto / best fixed {medians['auto'] / best:.2f}"


def against_server(args: argparse.Namespace, engine: Engine) -> None:
    """Both beside the same busy programs, in turn."""
    settings: dict[str, Any] = vars(args) | {"threads": usable_threads(), "tuned": False}
    settings |= {"server_args": "", "own_libraries": False}
    with Server(argparse.Namespace(**settings), int(args.draft)) as server:
        prompt = engine.prompt(request(args, 1))
        server_rate(server, prompt, args, 0)
        for programs in args.busy:
            ratios = []
            for number in range(args.repeat):
                ours, _ = rates(engine, args, programs, False, number + 1)
                theirs = server_rate(server, prompt, args, programs)
                ratios.append(ours / theirs)
                print(f"{programs} busy: gemma-mtp {ours:.2f}, llama-server {theirs:.2f} tok/s")
            print(
                f"{programs} busy: {statistics.median(ratios):.2f} times llama-server", flush=True
            )


if __name__ == "__main__":
    main()
