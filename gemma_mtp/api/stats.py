"""Counters of a reply, and what follows from them. Kept by the engine, shown by clients."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import zip_longest
from typing import Any, Literal

FinishReason = Literal["stop", "length", "context", "cancelled"]
"""stop: end of generation or a stop string; length: max_tokens; context: no cell left."""

# A comparison with plain steps that differ by a larger share says nothing.
TOO_NOISY = 0.25

SpeedupBasis = Literal["measured", "estimated", "none"]
"""measured: plain steps were timed during the reply itself; estimated: earlier in the session."""


@dataclass
class Stats:
    """Counters of one reply; `+` adds replies up to a session. Times in seconds.

    A round drafts, verifies and commits `accepted + 1` tokens (the bonus token counts). The very
    first token of a reply comes from the prompt's last row and belongs to no round.
    Of the accepted drafts, `copied` were found in the text and not made by the drafter.
    `accepted_histogram[n]` is the number of rounds with a draft in which n drafts were accepted.
    `threads[n]` is the number of rounds that n threads evaluated.
    `plain_seconds` is what plain decoding would have taken for the tokens decoded in
    `compared_seconds`, from timed plain steps; both are 0 while nothing was timed.
    `plain_deviation` is how many seconds it may be off, going by how those steps differ.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    rounds: int = 0
    decoded: int = 0
    drafted: int = 0
    accepted: int = 0
    copied: int = 0
    accepted_histogram: list[int] = field(default_factory=list)
    threads: dict[int, int] = field(default_factory=dict)
    prefill_seconds: float = 0.0
    ttft_seconds: float = 0.0
    decode_seconds: float = 0.0
    draft_seconds: float = 0.0
    verify_seconds: float = 0.0
    sampling_seconds: float = 0.0
    plain_seconds: float = 0.0
    plain_deviation: float = 0.0
    compared_seconds: float = 0.0
    speedup_basis: SpeedupBasis = "none"
    context_used: int = 0
    context_size: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Tokens decoded in rounds over the time of those rounds (no prefill)."""
        return self.decoded / self.decode_seconds if self.decode_seconds > 0 else 0.0

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted over drafted tokens; None when nothing was drafted."""
        return self.accepted / self.drafted if self.drafted else None

    @property
    def mean_accepted_length(self) -> float | None:
        """Tokens committed per round, bonus token included; None before the first round."""
        return self.decoded / self.rounds if self.rounds else None

    @property
    def draft_length(self) -> float:
        """Drafts verified per round, on average."""
        return self.drafted / self.rounds if self.rounds else 0.0

    @property
    def speedup(self) -> float | None:
        """Against plain decoding on this machine; None where too few plain steps were timed, or
        differ too much.

        Never more than a round brings, since it takes a plain step at the least.
        """
        length = self.mean_accepted_length
        if self.speedup_basis == "none" or self.compared_seconds <= 0 or length is None:
            return None
        if self.speedup_error > TOO_NOISY:
            return None
        return min(self.plain_seconds / self.compared_seconds, length)

    @property
    def speedup_error(self) -> float:
        """How far `speedup` may be off, as a share of it."""
        return self.plain_deviation / self.plain_seconds if self.plain_seconds else 0.0

    def __add__(self, later: Stats) -> Stats:
        """Totals of two replies; the context is that of the later one. Comparisons with plain
        decoding count where they were enough for a speedup of the reply's own."""
        total = Stats(**{f.name: getattr(later, f.name) for f in fields(Stats)})
        for name in _SUMMED:
            setattr(total, name, getattr(self, name) + getattr(later, name))
        for name in _COMPARED:
            counted = (s for s in (self, later) if s.speedup_basis != "none")
            setattr(total, name, sum(getattr(stats, name) for stats in counted))
        total.accepted_histogram = [
            a + b
            for a, b in zip_longest(self.accepted_histogram, later.accepted_histogram, fillvalue=0)
        ]
        total.threads = {
            count: self.threads.get(count, 0) + later.threads.get(count, 0)
            for count in sorted({*self.threads, *later.threads})
        }
        bases = {self.speedup_basis, later.speedup_basis} - {"none"}
        total.speedup_basis = (
            "none" if not bases else "estimated" if len(bases) > 1 else bases.pop()
        )
        return total

    def as_json(self) -> dict[str, Any]:
        """The `stats` object of `run --json`; rates that do not exist are null."""
        return {
            "tokens_per_second": _rounded(self.tokens_per_second),
            "rounds": self.rounds,
            "drafted": self.drafted,
            "accepted": self.accepted,
            "copied": self.copied,
            "acceptance_rate": _rounded(self.acceptance_rate),
            "draft_length": _rounded(self.draft_length),
            "mean_accepted_length": _rounded(self.mean_accepted_length),
            "accepted_histogram": self.accepted_histogram,
            "threads": {str(count): rounds for count, rounds in sorted(self.threads.items())},
            "speedup": _rounded(self.speedup),
            "speedup_error": None if self.speedup is None else _rounded(self.speedup_error),
            "speedup_basis": self.speedup_basis,
            "ttft_seconds": _rounded(self.ttft_seconds),
            "prefill_seconds": _rounded(self.prefill_seconds),
            "decode_seconds": _rounded(self.decode_seconds),
            "draft_seconds": _rounded(self.draft_seconds),
            "verify_seconds": _rounded(self.verify_seconds),
            "sampling_seconds": _rounded(self.sampling_seconds),
            "cached_tokens": self.cached_tokens,
            "context_used": self.context_used,
            "context_size": self.context_size,
        }


_SUMMED = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "rounds",
    "decoded",
    "drafted",
    "accepted",
    "copied",
    "prefill_seconds",
    "ttft_seconds",
    "decode_seconds",
    "draft_seconds",
    "verify_seconds",
    "sampling_seconds",
)
_COMPARED = ("plain_seconds", "plain_deviation", "compared_seconds")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
