"""A pair with two drafters, of which one is to be kept: the score so far, and what comes of it.

The engine has one where `PairFiles.rival` is set and both could be loaded. Knows neither models nor
files; `decoding.trial` has the two guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gemma_mtp.api import PairFiles, PairInfo
from gemma_mtp.decoding.costs import CostBook
from gemma_mtp.decoding.trial import Score


class Memory(Protocol):
    """Keeps measured costs from one run of the program to the next."""

    def recall(self, info: PairInfo) -> CostBook: ...
    def keep(self, info: PairInfo, book: CostBook) -> None: ...


@dataclass
class TwoDrafters:
    """`keep` remembers a score that is decided, `memory` has the costs of the pair with the second
    drafter."""

    files: PairFiles
    keep: Callable[[Score], None] = lambda score: None
    memory: Memory | None = None
    score: Score = field(default_factory=Score)


def decided(files: PairFiles, score: Score) -> str:
    """A sentence about which of the two drafters is kept, and why."""
    first, second = names(files)
    kept = second if score.second_is_better else first
    return (
        f"Of two drafters that fit, {first} guessed {score.first} of {score.tokens} tokens right "
        f"and {second} {score.second}; {kept} is kept."
    )


def names(files: PairFiles) -> tuple[str, str]:
    """What to call the drafter and its rival: whose it is, its name, or where it lies."""
    assert files.drafter is not None
    assert files.rival is not None
    both = [
        f"that of {of}" if of else path.name
        for path, of in ((files.drafter, files.drafter_of), (files.rival, files.rival_of))
    ]
    if both[0] == both[1]:
        both = [str(files.drafter), str(files.rival)]
    return both[0], both[1]
