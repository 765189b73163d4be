"""What follows from the runs: medians over repeats, and ratios of runs made side by side.

Ratios are taken within each repeat, where both settings wrote the same text at nearly the same
time, and their median is reported. Knows only numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from gemma_mtp.api import Stats
from gemma_mtp.measure.bench.runs import Run
from gemma_mtp.measure.draft_lengths import draft_setting

GAIN = 1.03  # speedup from which drafting pays; less is within what two measurements differ by
BUSY = 0.10  # from this range of a round's time, relative to its median, a machine counts as busy


@dataclass(frozen=True)
class Summary:
    """One draft length over all its runs.

    `speedup` is relative to plain decoding. `share_of_limit` is what part that is of the speedup
    that drafting and verifying would bring if they took no time.
    """

    draft: str
    rates: tuple[float, ...]  # tok/s by repeat
    total: Stats
    ttft_seconds: float
    speedup: float | None

    @property
    def tokens_per_second(self) -> float:
        return median(self.rates)

    @property
    def spread(self) -> float | None:
        """Range over median; None after a single run."""
        if len(self.rates) < 2:
            return None
        return (max(self.rates) - min(self.rates)) / self.tokens_per_second

    @property
    def share_of_limit(self) -> float | None:
        length = self.total.mean_accepted_length
        return None if self.speedup is None or not length else self.speedup / length


class Results:
    """Everything that can be said of the runs made so far, in the order the settings were given."""

    def __init__(self, drafts: Sequence[str], runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        self._by_draft = {
            draft: {run.repeat: run for run in runs if run.draft == draft} for draft in drafts
        }
        self.drafts = [draft for draft in drafts if self._by_draft[draft]]
        self.plain = next((d for d in self.drafts if draft_setting(d) == 0), None)
        self.summaries = [self._summary(draft) for draft in self.drafts]

    def __getitem__(self, draft: str) -> Summary:
        return next(s for s in self.summaries if s.draft == draft)

    def faster(self, draft: str, other: str) -> float | None:
        """By what factor `draft` is faster than `other`: the median over the repeats both have."""
        ratios = self.ratios(draft, other)
        return median(ratios) if ratios else None

    def ratios(self, draft: str, other: str) -> list[float]:
        """By what factor `draft` is faster than `other`, in each repeat that both have."""
        ours, theirs = self._by_draft[draft], self._by_draft[other]
        rates = [
            (run.stats.tokens_per_second, theirs[repeat].stats.tokens_per_second)
            for repeat, run in ours.items()
            if repeat in theirs
        ]
        return [rate / other_rate for rate, other_rate in rates if other_rate]

    @property
    def fixed(self) -> list[str]:
        """The settings that are a number or off."""
        return [d for d in self.drafts if draft_setting(d) != "auto"]

    @property
    def auto(self) -> str | None:
        return next((d for d in self.drafts if draft_setting(d) == "auto"), None)

    @property
    def best_fixed(self) -> str | None:
        """The fastest fixed setting, off included."""
        return self._fastest(self.fixed)

    @property
    def best_drafting(self) -> str | None:
        """The fastest setting that drafts."""
        return self._fastest([d for d in self.drafts if draft_setting(d) != 0])

    @property
    def speedup(self) -> float | None:
        """The fastest setting that drafts, against plain decoding; below 1 it is a loss."""
        best = self.best_drafting
        return None if best is None else self[best].speedup

    @property
    def gains(self) -> bool:
        """Whether the fastest setting that drafts is faster than plain decoding, and did draft."""
        best = self.best_drafting
        if best is None or self.speedup is None:
            return False
        return self.speedup >= GAIN and self[best].total.drafted > 0

    @property
    def doubtful(self) -> bool:
        """Whether the fastest setting that drafts was faster in some repeats only."""
        best = self.best_drafting
        if best is None or self.plain is None:
            return True
        ratios = self.ratios(best, self.plain)
        return min(ratios) < GAIN <= max(ratios)

    @property
    def auto_vs_best(self) -> float | None:
        """`auto` against the best fixed setting."""
        if self.auto is None or self.best_fixed is None:
            return None
        return self.faster(self.auto, self.best_fixed)

    @property
    def noise(self) -> float | None:
        """By how much rounds of one fixed length differed in time, whatever the text was."""
        ranges = []
        for draft in self.fixed:
            seconds = [round_seconds(run.stats) for run in self._by_draft[draft].values()]
            if len(seconds) > 1:
                ranges.append((max(seconds) - min(seconds)) / median(seconds))
        return median(ranges) if ranges else None

    @property
    def busy(self) -> bool:
        """The machine had other things to do, or changed its clock."""
        return self.noise is not None and self.noise > BUSY

    def _fastest(self, drafts: list[str]) -> str | None:
        if not drafts:
            return None
        reference = self.plain or drafts[0]
        return max(drafts, key=lambda draft: self.faster(draft, reference) or 0.0)

    def _summary(self, draft: str) -> Summary:
        runs = list(self._by_draft[draft].values())
        return Summary(
            draft,
            tuple(run.stats.tokens_per_second for run in runs),
            sum((run.stats for run in runs[1:]), runs[0].stats),
            median(run.stats.ttft_seconds for run in runs),
            self.faster(draft, self.plain) if self.plain is not None else None,
        )


def round_seconds(stats: Stats) -> float:
    """Time of one round."""
    return stats.decode_seconds / stats.rounds if stats.rounds else 0.0
