"""What candidates chosen by llama.cpp save on the host, and what they cost where the CPU chooses.

    python benchmarks/shortlists.py FOLDER/vocab-target.gguf FOLDER/mtp-vocab-target.gguf

The files are those of real_vocabulary.py. First the time of a token and of a draft, from a whole
row of 262,144 logits and from a shortlist of 128, in microseconds: random rows, warm caches, the
least of many. Then what llama.cpp itself takes with and without choosing them, in milliseconds: a
row, four rows, a draft step. On a card that is another figure; there it is measured when a pair is
loaded for the first time.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from timeit import repeat

sys.path.insert(0, str(Path(__file__).parent.parent))

import llama_cpp
import numpy as np

from gemma_mtp.api import SHORTLIST, LoadOptions, PairFiles, Sampling
from gemma_mtp.decoding.proposer import DraftTemperature, Proposer
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.llama import LoadedPair, load_pair
from gemma_mtp.llama.batch import Row
from gemma_mtp.llama.shortlist import Shortlist, gone, in_order

VOCABULARY, SOFTCAP = 262_144, 30.0
RUNS, REPEATS, EVALUATIONS = 100, 15, 60
TOKENS = list(range(1000, 1064))


def least(run: Callable[[], object], runs: int, repeats: int) -> float:
    """Seconds of a run, where other programs disturbed it least."""
    return min(repeat(run, number=runs, repeat=repeats)) / runs


def host() -> None:
    """Print what choosing takes in our own code."""
    random = np.random.default_rng(0)
    row = (3 * random.normal(size=VOCABULARY)).astype(np.float32)
    ids = random.permutation(np.argsort(-row)[:SHORTLIST]).astype(np.int32)
    for temperature in (0.0, 1.0):
        sampler = Sampler(Sampling(temperature), 1, SOFTCAP)
        choosing("whole", temperature, sampler, lambda: row)
        choosing(
            "short", temperature, sampler, lambda: in_order(ids[None], row[ids][None], gone)[0]
        )


def choosing(
    form: str, temperature: float, sampler: Sampler, row: Callable[[], Row | Shortlist]
) -> None:
    """Print what a token and a draft take."""
    proposer = Proposer(sampler, DraftTemperature())

    def propose() -> None:
        proposer.propose(row(), 5)
        proposer.judge([])

    token = least(lambda: sampler.sample(row(), 5), RUNS, REPEATS)
    draft = least(propose, RUNS, REPEATS)
    print(f"T={temperature:.0f} {form}: token {token * 1e6:.0f}, draft {draft * 1e6:.0f} us")


def evaluations(pair: LoadedPair, short: bool) -> None:
    """Print what llama.cpp takes."""
    pair.use(replace(pair.device, shortlist=short))
    target, drafter = pair.target, pair.drafter
    assert drafter is not None
    target.decode(TOKENS, 0, 1)

    def rows(width: int) -> None:
        target.decode(TOKENS[:width], len(TOKENS), width, short)
        llama_cpp.llama_synchronize(target.context)
        target.keep(len(TOKENS))

    drafter.begin(np.zeros(target.embedding_width, np.float32), len(TOKENS))
    one, four, step = (
        1e3 * least(run, 1, EVALUATIONS)
        for run in (lambda: rows(1), lambda: rows(4), lambda: drafter.step(5, short))
    )
    form = "short" if short else "whole"
    print(f"{form}: a row {one:.2f}, four rows {four:.2f}, a draft step {step:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("target", type=Path)
    parser.add_argument("drafter", type=Path)
    asked = parser.parse_args()
    host()
    pair = load_pair(
        PairFiles("pair", asked.target, asked.drafter), LoadOptions(threads=1, context=1024)
    )
    for short in (False, True):
        evaluations(pair, short)
    pair.close()


if __name__ == "__main__":
    main()
