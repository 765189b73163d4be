"""How many of three drafts are accepted above temperature 0, for several ways of drafting.

    .venv/bin/python benchmarks/acceptance.py [--tokens 2000]

On the target's own text, at every position of it: top-token drafts (llama.cpp's way), shared noise
at fixed draft temperatures and at the learned one, and rejection sampling, which accepts with
probability sum min(p, q). The learned temperature learns from rounds of three drafts, as in a
reply. Measured are the built-in pair and its drafter weakened in several ways; top-k 64, top-p
0.95.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from walk import PROMPTS, Stop, drafts_along, walk
from weakened import Tempered, weakened_pair

from gemma_mtp.api import LoadOptions, Sampling
from gemma_mtp.decoding.drafters import DraftModel
from gemma_mtp.decoding.proposer import DraftTemperature, Proposer
from gemma_mtp.decoding.rows import Row
from gemma_mtp.decoding.sampler import Sampler, filtered
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load

DRAFTS = 3
TEMPERATURES = (0.7, 1.0)
REPLY = 240  # tokens at the most
# Noise on the weights, and a factor on the logits.
DRAFTERS = {
    "built-in": (0.0, 1.0),
    "weaker": (0.25, 1.0),
    "weak": (0.35, 1.0),
    "too flat": (0.0, 0.6),
    "too sharp": (0.0, 2.0),
    "weak, flat": (0.35, 0.6),
}
TOP_TOKEN, LEARNED, REJECTION = "top token", "learned", "min(p, q)"
FIXED = {TOP_TOKEN: 0.0, "x 0.5": 0.5, "x 0.7": 0.7, "x 1.0": 1.0}


class Fixed(DraftTemperature):
    """A draft temperature that does not learn."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self._factor = factor

    @property
    def factor(self) -> float:
        return self._factor


class Tally:
    """Chances of acceptance by position, each given that the drafts before it were accepted."""

    def __init__(self) -> None:
        self._accepted = np.zeros(DRAFTS)
        self._reached = np.zeros(DRAFTS)

    def add(self, chances: list[float]) -> None:
        """`chances[i]` that draft i is accepted: 0 or 1 where that is known."""
        reached = 1.0
        for i, chance in enumerate(chances):
            self._reached[i] += reached
            reached *= chance
            self._accepted[i] += reached

    @property
    def by_position(self) -> NDArray[np.float64]:
        return self._accepted / np.maximum(self._reached, 1)

    @property
    def accepted(self) -> float:
        """Of three drafts, how many are accepted."""
        return float(np.cumprod(self.by_position).sum())


class Schemes:
    """Drafts by every scheme at every stop; `learned` is the temperature that learns."""

    def __init__(self) -> None:
        self.learned = DraftTemperature()
        self.tallies = {name: Tally() for name in (*FIXED, LEARNED, REJECTION)}

    def reply(self, stops: Iterable[Stop], drafter: DraftModel, sampler: Sampler) -> int:
        """All stops of one reply; a round of three begins where the one before it ended.

        Returns how many positions were judged.
        """
        proposers = {name: Proposer(sampler, Fixed(f)) for name, f in FIXED.items()}
        proposers[LEARNED] = Proposer(sampler, self.learned)
        learner = Proposer(sampler, self.learned)
        number = next_round = 0
        for number, stop in enumerate(stops):
            rows = drafts_along(drafter, stop, DRAFTS)
            if len(rows) < DRAFTS:
                break
            for name, proposer in proposers.items():
                self.tallies[name].add(_draft(proposer, rows, stop))
                proposer.judge([])
            pairs = zip(stop.rows, rows, strict=False)
            self.tallies[REJECTION].add([overlap(p, q, sampler.sampling) for p, q in pairs])
            if number == next_round:
                accepted = int(np.cumprod(_draft(learner, rows, stop)).sum())
                learner.judge(stop.text[: accepted + 1])
                next_round += accepted + 1
        return number


def _draft(proposer: Proposer, rows: list[Row], stop: Stop) -> list[float]:
    """1 for each draft that is what the target wrote, else 0."""
    places = zip(rows, stop.text, strict=False)
    drafts = (
        (proposer.propose(row, stop.position + 1 + i)[0], token)
        for i, (row, token) in enumerate(places)
    )
    return [float(draft == token) for draft, token in drafts]


def overlap(target: Row, drafter: Row, sampling: Sampling) -> float:
    """Sum of min(p, q): how often rejection sampling accepts a sample of q."""
    p, q = distribution(target, sampling), distribution(drafter, sampling)
    return sum(min(share, p.get(token, 0.0)) for token, share in q.items())


def distribution(row: Row, sampling: Sampling) -> dict[int, float]:
    """Probabilities of the candidates that the filters leave."""
    ids, scores = filtered(row, sampling)
    weights = np.exp(scores - scores[0])
    return dict(zip(ids.tolist(), (weights / weights.sum()).tolist(), strict=True))


def measure(engine: Engine, sharpness: float, temperature: float, tokens: int) -> Schemes:
    """All schemes over replies to all prompts, with other seeds until there are enough tokens."""
    assert engine.pair.drafter is not None
    drafter = Tempered(engine.pair.drafter, sharpness)
    sampling = Sampling(temperature=temperature)
    schemes, seen = Schemes(), 0
    for seed, prompt in product(range(tokens), PROMPTS):
        if seen >= tokens:
            break
        stops = walk(engine, prompt, sampling, seed, REPLY)
        seen += schemes.reply(stops, drafter, Sampler(sampling, seed))
    return schemes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=2000)
    args = parser.parse_args()
    names = [*FIXED, LEARNED, REJECTION]
    print(
        f"accepted of {DRAFTS} {'':14}" + " ".join(f"{n:>10}" for n in names) + "  ours/best fixed"
    )
    lines = []
    with TemporaryDirectory() as scratch:
        for drafter, (sigma, sharpness) in DRAFTERS.items():
            engine = load(weakened_pair(Path(scratch), sigma), LoadOptions(context=1024, threads=1))
            for temperature in TEMPERATURES:
                schemes = measure(engine, sharpness, temperature, args.tokens)
                label = f"{drafter}, T = {temperature:g}"
                tallies = schemes.tallies
                ratio = tallies[LEARNED].accepted / max(tallies[n].accepted for n in FIXED)
                print(
                    f"{label:26}" + " ".join(f"{tallies[n].accepted:10.3f}" for n in names),
                    f"{ratio:10.3f}  (factor now {schemes.learned.factor:g})",
                )
                lines += [f"{label:26} {n:10} {shares(tallies[n])}" for n in names]
            engine.close()
    print("\nacceptance of the first, second and third draft, given the ones before")
    print("\n".join(lines))


def shares(tally: Tally) -> str:
    return "  ".join(f"{share:.3f}" for share in tally.by_position)


if __name__ == "__main__":
    main()
