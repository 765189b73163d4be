"""What a round takes outside llama.cpp: sampling, Python, copies, and choosing the draft length.

    .venv/bin/python benchmarks/measure_rounds.py [TARGET.gguf DRAFTER.gguf] [--threads 2]

Writes the same text plainly, with k = 3 and with the automatic choice, A B C, C B A, at temperature
1 (and 0), with synthetic acceptance. Prints what a round takes, how much of it passes inside
llama.cpp, and the rest as a share of a plain step's time; also how many bytes Python holds after a
round that it did not hold before. Without files the built-in pair is measured, whose steps are so
short that the rest weighs much.
"""

from __future__ import annotations

import argparse
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import llama_cpp
from llama_cpp import llama_cpp_ext

from gemma_mtp.api import (
    DraftSetting,
    End,
    LoadOptions,
    Message,
    PairFiles,
    Prefill,
    Request,
    Sampling,
)
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.models.store import BUILTIN_FOLDER

DRAFTS: tuple[DraftSetting, ...] = (0, 3, "auto")
ACCEPTANCE = 0.75
REPEATS = 4
CALLS = (
    (llama_cpp, "llama_decode"),
    (llama_cpp, "llama_get_logits"),  # waits for a GPU
    (llama_cpp_ext, "llama_get_embeddings_nextn_ith"),
)


class Inside:
    """Seconds spent in llama.cpp's own functions."""

    def __init__(self) -> None:
        self.seconds = 0.0
        for module, name in CALLS:
            setattr(module, name, self._timed(getattr(module, name)))

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            started = perf_counter()
            result = call(*args)
            self.seconds += perf_counter() - started
            return result

        return timed


def run(
    engine: Engine, inside: Inside, draft: DraftSetting, temperature: float, tokens: int
) -> tuple[float, float]:
    """Seconds of a round, and how many of them were ours."""
    engine.cache.rewind(0)
    request = Request(
        (Message.text("user", "Tell me a long story about a fox."),),
        Sampling(temperature),
        seed=1,
        exact=False,
        draft=draft,
        max_tokens=tokens,
        ignore_end=True,
        synthetic_acceptance=ACCEPTANCE,
    )
    for event in engine.reply(request):
        if isinstance(event, Prefill):
            inside.seconds = 0.0
    assert isinstance(event, End)
    total, rounds = event.stats.decode_seconds, event.stats.rounds
    return total / rounds, (total - inside.seconds) / rounds


def growth(engine: Engine, tokens: int) -> tuple[float, float]:
    """Bytes a round leaves behind, and the most it holds meanwhile."""
    tracemalloc.start()
    request = Request((Message.text("user", "Hi."),), seed=1, max_tokens=tokens, ignore_end=True)
    events = engine.reply(request)
    for _ in zip(events, range(tokens // 2), strict=False):
        pass
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    rounds = 0
    for event in events:
        rounds += not isinstance(event, End)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / max(rounds, 1), peak - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="GGUF")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    built_in = [BUILTIN_FOLDER / "tiny-target.gguf", BUILTIN_FOLDER / "tiny-drafter.gguf"]
    target, drafter = args.files or built_in
    engine = load(
        PairFiles(target.stem, target, drafter), LoadOptions(threads=args.threads, context=2048)
    )
    engine.plain_steps(1).is_due = lambda rounds, position: False  # type: ignore[method-assign]
    inside = Inside()
    run(engine, inside, "auto", 1.0, args.tokens)  # learns what widths cost
    for temperature in (1.0, 0.0):
        times: dict[DraftSetting, list[tuple[float, float]]] = {draft: [] for draft in DRAFTS}
        for repeat in range(REPEATS):
            for draft in DRAFTS if repeat % 2 == 0 else DRAFTS[::-1]:
                times[draft].append(run(engine, inside, draft, temperature, args.tokens))
        plain = median(total for total, _ in times[0])
        print(f"temperature {temperature:g}, a plain step takes {plain * 1e3:.2f} ms")
        for draft, found in times.items():
            total, ours = (median(part) for part in zip(*found, strict=True))
            print(
                f"  {draft!s:5} a round {total * 1e3:7.2f} ms, outside llama.cpp "
                f"{ours * 1e3:5.2f} ms: {ours / plain:.1%} of a plain step"
            )
    left, peak = growth(engine, args.tokens)
    print(f"a round leaves {left:.0f} bytes behind; at the most {peak / 1024:.0f} KiB are in use")
    engine.close()


if __name__ == "__main__":
    main()
