"""What ideas for faster rounds could bring, measured before anybody builds them.

    .venv/bin/python benchmarks/measure_ideas.py [TARGET.gguf DRAFTER.gguf] [--threads 2]

threads     A draft step with fewer threads than verifying uses, in turn with it.
overlap     Drafting while the target verifies leaves one thread fewer to the target. It cannot
            take less time than verifying four tokens with that thread missing; compared with
            verifying and drafting one after the other with all of them.
candidates  A width of four holds three drafts in a row, or two and a second candidate for the
            first: tokens per round of each, on the built-in pair's own texts, also with its drafter
            weakened. Only the drafter's second choice with the same noise is counted.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import llama_cpp
import numpy as np
from acceptance import DRAFTERS
from walk import PROMPTS, drafts_along, walk
from weakened import Tempered, weakened_pair

from gemma_mtp.api import LoadOptions, PairFiles, Sampling
from gemma_mtp.decoding.sampler import Sampler, filtered, gumbel
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.models.store import BUILTIN_FOLDER

WIDTH, DRAFTS = 4, 3
REPEATS = 15
TOKENS = 600


def set_threads(context: object, threads: int) -> None:
    llama_cpp.llama_set_n_threads(context, threads, threads)


def times(engine: Engine, verifying: int, drafting: int) -> tuple[float, float]:
    """Seconds of verifying four tokens, and of one of three draft steps behind it."""
    target, drafter = engine.pair.target, engine.pair.drafter
    assert drafter is not None
    set_threads(target.context, verifying)
    set_threads(drafter.context, drafting)
    position, token = len(engine.cache.tokens), engine.cache.tokens[-1]
    verify, draft = [], []
    for _ in range(REPEATS):
        started = perf_counter()
        target.decode([token] * WIDTH, position, WIDTH)
        target.keep(position)
        verified = perf_counter()
        drafter.begin(np.zeros(target.embedding_width, np.float32), position)
        for _ in range(DRAFTS):
            drafter.step(token)
        verify.append(verified - started)
        draft.append((perf_counter() - verified) / DRAFTS)
    return median(verify), median(draft)


def threads_and_overlap(files: PairFiles, threads: int) -> None:
    engine = load(files, LoadOptions(threads=threads, context=2048))
    engine.measure_costs(repeats=1)
    fewer = max(threads - 1, 1)
    found: dict[tuple[int, int], list[tuple[float, float]]] = {}
    pairs = [(threads, threads), (threads, fewer), (fewer, fewer)]
    for repeat in range(4):
        for pair in pairs if repeat % 2 == 0 else pairs[::-1]:
            found.setdefault(pair, []).append(times(engine, *pair))
    verify, draft = ({pair: median(t[i] for t in found[pair]) for pair in pairs} for i in (0, 1))
    one_by_one = verify[pairs[0]] + DRAFTS * draft[pairs[0]]
    mixed = verify[pairs[1]] + DRAFTS * draft[pairs[1]]
    print(
        f"{files.name}, {threads} threads, k = {DRAFTS}, ratios to verifying and drafting in turn"
    )
    print(f"  threads     {fewer} for drafting: a round takes {mixed / one_by_one:.3f}")
    print(f"  overlap     verifying with {fewer} alone takes {verify[pairs[2]] / one_by_one:.3f}")
    engine.close()


def candidates(scratch: Path) -> None:
    print("  candidates  tokens a round: three drafts in a row, two and a second candidate")
    for name, temperature in product(("built-in", "weaker", "weak"), (0.7, 1.0)):
        sigma, sharpness = DRAFTERS[name]
        engine = load(weakened_pair(scratch, sigma), LoadOptions(context=1024, threads=1))
        assert engine.pair.drafter is not None
        drafter = Tempered(engine.pair.drafter, sharpness)
        sampling = Sampling(temperature)
        row_of_three = second = seen = 0
        for seed, prompt in enumerate(PROMPTS):
            for stop in walk(engine, prompt, sampling, seed, 200):
                rows = drafts_along(drafter, stop, DRAFTS)
                if len(rows) < DRAFTS or seen >= TOKENS:
                    break
                seen += 1
                ranked = [
                    _ranked(Sampler(sampling, seed), row, stop.position + 1 + i)
                    for i, row in enumerate(rows)
                ]
                right = [best[:1] == stop.text[i : i + 1] for i, best in enumerate(ranked)]
                run = int(np.cumprod(right).sum())
                row_of_three += 1 + run
                other = not right[0] and ranked[0][1:2] == stop.text[:1]
                second += 1 + min(run, DRAFTS - 1) + other
        of_each = f"{row_of_three / seen:.2f}, {second / seen:.2f}"
        print(f"    {name}, temperature {temperature:g}: {of_each}")
        engine.close()


def _ranked(sampler: Sampler, row: object, position: int) -> list[int]:
    """The drafter's two best with the target's noise."""
    ids, scores = filtered(row, sampler.sampling)  # type: ignore[arg-type]
    order = np.argsort(-(scores + gumbel(sampler.seed, position, ids)))
    return [int(i) for i in ids[order[:2]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="GGUF")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    built_in = [BUILTIN_FOLDER / "tiny-target.gguf", BUILTIN_FOLDER / "tiny-drafter.gguf"]
    target, drafter = args.files or built_in
    threads_and_overlap(PairFiles(target.stem, target, drafter), args.threads)
    with TemporaryDirectory() as scratch:
        candidates(Path(scratch))


if __name__ == "__main__":
    main()
