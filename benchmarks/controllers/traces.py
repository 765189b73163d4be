"""What a drafter would have proposed at every position of a text, recorded or invented.

A policy that drafts k tokens at position p and verifies them gets min(k, matched[p]) accepted and
goes on at the position behind them, so any policy can be replayed on one trace. Knows no policy.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import numpy as np

from gemma_mtp.decoding.lookup import Lookup
from gemma_mtp.decoding.transcript import common_prefix, of_tokens

WORDS = re.compile(r" ?\w{1,8}|\n+ *|[^\w\s]| +")  # about as long as Gemma's tokens
STEPS = 7  # drafts asked for at every position
Confidences = list[list[float]]


@dataclass
class Trace:
    """Per position of the text: how many drafts in a row are what the target wrote, and the
    drafter's confidence in each of its drafts. A draft ends with the text, so lists differ in
    length. The same for what is found in the text; empty where nothing was looked up."""

    name: str
    matched: list[int]
    confidences: Confidences
    found_matched: list[int] = field(default_factory=list)
    found: Confidences = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.matched)

    def part(self, start: int, end: int) -> Trace:
        """The positions from `start` to `end`, of which drafts go no further than that,
        the bonus token included."""
        rooms = range(end - start - 1, -1, -1)
        columns = (self.matched, self.confidences, self.found_matched, self.found)
        matched, confidences, found_matched, found = (column[start:end] for column in columns)
        return Trace(
            self.name,
            [min(m, room) for m, room in zip(matched, rooms, strict=False)],
            [c[:room] for c, room in zip(confidences, rooms, strict=False)],
            [min(m, room) for m, room in zip(found_matched, rooms, strict=False)],
            [c[:room] for c, room in zip(found, rooms, strict=False)],
        )

    def save(self, path: Path) -> None:
        """As gzipped JSON, confidences in thousandths."""
        data = {
            "name": self.name,
            "matched": self.matched,
            "confidences": [[int(1000 * c) for c in each] for each in self.confidences],
        }
        text = json.dumps(data, separators=(",", ":"))
        path.write_bytes(gzip.compress(text.encode(), mtime=0))

    @classmethod
    def load(cls, path: Path) -> Trace:
        data = json.loads(gzip.decompress(path.read_bytes()))
        data["confidences"] = [[c / 1000 for c in each] for each in data["confidences"]]
        return cls(**data)


# Chance that a draft is right, by kind of text, and how long a passage of one kind is on average.
CODE, PROSE, HARD = 0.9, 0.6, 0.3
PASSAGE = 120
INFORMED, UNINFORMED, MISLEADING = "informed", "uninformed", "misleading"


def invented(
    kinds: tuple[float, ...],
    confidence: str = INFORMED,
    tokens: int = 2000,
    seed: int = 0,
    spread: float = 3.0,
    fading: float = 0.97,
) -> Trace:
    """A text of passages of these `kinds`, in random order (a Markov chain).

    Every token has its own difficulty, drawn around that of its passage (`spread`: the smaller,
    the further), and is right or wrong for all drafts that reach it, the later ones with a little
    less luck (`fading` per step). Confidence is the difficulty, noise, or its opposite.
    """
    random = np.random.default_rng(seed)
    places = np.cumsum(random.random(tokens + STEPS) < 1 / PASSAGE)
    order = random.integers(len(kinds), size=int(places[-1]) + 1)
    means = np.array(kinds)[order[places]]
    chances = random.beta(spread * means, spread * (1 - means))
    luck = random.random(tokens + STEPS)
    matched, confidences = [], []
    for p in range(tokens):
        ahead = chances[p : p + STEPS] * fading ** np.arange(STEPS)
        right = luck[p : p + STEPS] < ahead
        matched.append(int(np.cumprod(right).sum()))
        shown = {INFORMED: ahead, UNINFORMED: random.random(STEPS), MISLEADING: 1 - ahead}
        confidences.append([float(c) for c in shown[confidence]])
    kind = "+".join(f"{k:g}" for k in kinds)
    return Trace(f"{kind} {confidence}", matched, confidences)


def invented_traces() -> list[Trace]:
    """Steady texts from hard to easy, mixed ones, and confidence of every worth."""
    steady = [invented((a,), c) for a in (0.2, 0.5, 0.75, 0.9) for c in (INFORMED, UNINFORMED)]
    mixed = [invented((CODE, PROSE, HARD), c) for c in (INFORMED, UNINFORMED, MISLEADING)]
    return [*steady, *mixed, invented((0.75,), MISLEADING)]


def edited(text: str, seed: int = 0) -> str:
    """A source text with a name changed, lines left out and others put in."""
    random = Random(seed)
    lines: list[str] = []
    for line in text.replace("self.", "this.").splitlines():
        if random.random() < 0.1:
            lines.append(f"    new_{len(lines)} = {random.random()}")
        if random.random() > 0.03:
            lines.append(line)
    return "\n".join(lines)


def with_lookup(trace: Trace, prompt: str, text: str) -> Trace:
    """As long as the trace lasts, with what is found in `prompt` and in `text` so far."""
    ids: dict[str, int] = {}
    before, after = (
        [ids.setdefault(w, len(ids)) for w in WORDS.findall(t)] for t in (prompt, text)
    )
    tokens, transcript = after[: len(trace)], of_tokens(before)
    lookup = Lookup()
    matched, agreements = [], []
    for at, token in enumerate(tokens):
        found = list(lookup.propose(transcript, None, STEPS))
        matched.append(common_prefix([t for t, _ in found], tokens[at:]))
        agreements.append([agreement for _, agreement in found])
        transcript.append(token)
    n = len(tokens)
    return replace(
        trace,
        matched=trace.matched[:n],
        confidences=trace.confidences[:n],
        found_matched=matched,
        found=agreements,
    )


def recorded_traces(folder: Path) -> list[Trace]:
    """Those that `record_traces.py` wrote."""
    return [Trace.load(path) for path in sorted(folder.glob("*.json.gz"))]
