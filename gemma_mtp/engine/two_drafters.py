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
from gemma_mtp.decoding.drafter_score import Score


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

    @property
    def said(self) -> str:
        """A sentence about which one is kept, once that is decided."""
        return self.score.said(*self.files.drafter_names)
