"""Record what a drafter would propose at every position of the target's own text.

    .venv/bin/python benchmarks/record_traces.py [--tokens 1000] [--folder tests/traces]

For the built-in pair, and with its drafter weakened by noise on its weights, at temperature 0, 0.7
and 1.0, drafted as in a reply: one gzipped JSON file each, for the tests and for
`compare_controllers.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from controllers.traces import STEPS, Trace
from walk import PROMPTS, Stop, walk
from weakened import weakened_pair

from gemma_mtp.api import LoadOptions, Sampling
from gemma_mtp.decoding.drafters import DraftModel
from gemma_mtp.decoding.proposer import DraftTemperature, Proposer
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load

DRAFTERS = {"built-in": 0.0, "weaker": 0.25, "weak": 0.35}  # noise on the weights
TEMPERATURES = (0.0, 0.7, 1.0)
REPLY = 240  # tokens at the most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1000)
    parser.add_argument("--folder", type=Path, default=Path("tests/traces"))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        for name, sigma in DRAFTERS.items():
            engine = load(weakened_pair(Path(scratch), sigma), LoadOptions(context=1024, threads=1))
            for temperature in TEMPERATURES:
                trace = record(engine, f"{name} T={temperature:g}", temperature, args.tokens)
                path = args.folder / f"{name}-{temperature:g}.json.gz"
                trace.save(path)
                shares = ", ".join(f"{share:.2f}" for share in by_position(trace))
                print(f"{path.name:24} {len(trace)} positions, accepted by position: {shares}")
            engine.close()


def record(engine: Engine, name: str, temperature: float, tokens: int) -> Trace:
    """Replies to all prompts, again with other seeds, until there are so many tokens."""
    trace = Trace(name, [], [])
    sampling = Sampling(temperature=temperature)
    drafter = engine.pair.drafter
    assert drafter is not None
    learned = DraftTemperature()
    seed = 0
    while len(trace) < tokens:
        for prompt in PROMPTS:
            proposer = Proposer(Sampler(sampling, seed), learned)
            for stop in walk(engine, prompt, sampling, seed, REPLY):
                matched, confidences = propose(engine, drafter, stop, proposer)
                trace.matched.append(matched)
                trace.confidences.append(confidences)
        seed += 1
    return Trace(name, trace.matched[:tokens], trace.confidences[:tokens])


def propose(
    engine: Engine, drafter: DraftModel, stop: Stop, proposer: Proposer
) -> tuple[int, list[float]]:
    """A whole draft as a round would make it, up to the end of the text."""
    drafter.begin(stop.hidden, stop.position)
    token, drafts, confidences = stop.pending, [], []
    for i in range(min(STEPS, len(stop.text))):
        token, confidence = proposer.propose(drafter.step(token), stop.position + 1 + i)
        drafts.append(token)
        confidences.append(confidence)
        if token in engine.pair.target.vocabulary.end_of_generation:
            break
    right = np.cumprod([a == b for a, b in zip(drafts, stop.text, strict=False)])
    matched = int(right.sum())
    proposer.judge(stop.text[: matched + 1])
    return matched, confidences


def by_position(trace: Trace) -> list[float]:
    """Chance of each draft, given those before it."""
    shares = []
    for i in range(STEPS):
        judged = [
            m > i
            for m, c in zip(trace.matched, trace.confidences, strict=True)
            if m >= i and len(c) > i
        ]
        shares.append(float(np.mean(judged)) if judged else 0.0)
    return shares


if __name__ == "__main__":
    main()
