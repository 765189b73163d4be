"""Counters of a reply, and what follows from them. Kept by the engine, shown by clients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal

FinishReason = Literal["stop", "length", "context", "cancelled"]
"""stop: end of generation or a stop string; length: max_tokens; context: no cell left."""

# Two speeds are compared from so many tokens on, and while what was timed does not differ by more
# than this share. The first rounds after a prompt rebuild llama.cpp's graph, and a reply of a few
# words is little else.
ENOUGH_TO_COMPARE, TOO_NOISY = 64, 0.25
ENOUGH_GUESSES = 20  # of a drafter, from which on a share of them says something

SpeedupBasis = Literal["measured", "estimated", "none"]
"""measured: plain steps were timed during the reply itself; estimated: earlier in the session."""


PlainKind = Literal["plain", "exact plain", "either"]
"""What a speedup is compared with. plain: steps of width 1; exact plain: plain rounds of exact
mode, which are padded to width 2; either: replies of both kinds, each with its own."""

DraftUse = Literal["used", "trying", "unprofitable", "off", "no-drafter", "unknown"]
"""What became of drafts in a reply. trying: little more than tried out, to learn what they cost and
bring; unprofitable: left out, since they cost more time than they bring; off: not wanted;
no-drafter: there is none, or it failed; unknown: the reply is of an older version."""


@dataclass(frozen=True)
class Drafted:
    """How many drafts of one source were verified, and how many of them accepted."""

    source: str
    drafted: int = 0
    accepted: int = 0


@dataclass(frozen=True)
class Stats:
    """Counters of one reply at one moment; `+` adds replies up to a session. Times in seconds.

    A round drafts, verifies and commits `accepted + 1` tokens (the bonus token counts). The very
    first token of a reply comes from the prompt's last row and belongs to no round.
    `drafted` and `accepted` are totals over all `sources` of drafts. Of the tokens that the pair's
    drafter proposed, verified or not, `guesses` could be compared with what the model chose, and
    `right` were the same.
    `accepted_histogram[n]` is the number of rounds with a draft in which n drafts were accepted.
    `threads[n]` is the number of rounds that n threads evaluated.
    `plain_seconds` is what plain decoding would have taken for the tokens decoded in
    `compared_seconds`, from timed plain steps; both are 0 while nothing was timed.
    `plain_deviation` is how many seconds it may be off, going by how those steps differ.
    `drafts` says whether drafts were used, and why not; of several replies, used if in any.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    rounds: int = 0
    decoded: int = 0
    drafted: int = 0
    accepted: int = 0
    guesses: int = 0
    right: int = 0
    sources: tuple[Drafted, ...] = ()
    accepted_histogram: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
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
    compared_with: PlainKind = "plain"
    drafts: DraftUse = "unknown"
    context_used: int = 0
    context_size: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Tokens decoded in rounds over the time of those rounds (no prefill)."""
        return self.decoded / self.decode_seconds if self.decode_seconds > 0 else 0.0

    @property
    def copied(self) -> int:
        """Accepted drafts that were found in the text itself and cost no drafting."""
        return sum(count.accepted for count in self.sources if count.source == "lookup")

    @property
    def evaluated_tokens(self) -> int:
        """Prompt tokens that were not in the cache."""
        return self.prompt_tokens - self.cached_tokens

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted over drafted tokens; None when nothing was drafted."""
        return self.accepted / self.drafted if self.drafted else None

    @property
    def guessed_right(self) -> float | None:
        """The share of the drafter's guesses that were right; None for too few of them."""
        return self.right / self.guesses if self.guesses >= ENOUGH_GUESSES else None

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
        """Against plain decoding on this machine; None without drafts, for a reply that is too
        short, and where too few plain steps were timed or differ too much.

        Never more than a round brings, since it takes a plain step at the least.
        """
        length = self.mean_accepted_length
        if self.speedup_basis == "none" or self.compared_seconds <= 0 or length is None:
            return None
        if not self.drafted or not comparable(self.decoded, self.speedup_error):
            return None
        return min(self.plain_seconds / self.compared_seconds, length)

    @property
    def speedup_error(self) -> float:
        """How far `speedup` may be off, as a share of it."""
        return self.plain_deviation / self.plain_seconds if self.plain_seconds else 0.0

    def __add__(self, later: Stats) -> Stats:
        """Totals of two replies; the context is that of the later one. Comparisons with plain
        decoding count where they were enough for a speedup of the reply's own."""
        summed = {name: getattr(self, name) + getattr(later, name) for name in _SUMMED}
        counted = [stats for stats in (self, later) if stats.speedup is not None]
        compared = {name: sum(getattr(stats, name) for stats in counted) for name in _COMPARED}
        bases = {stats.speedup_basis for stats in counted}
        kinds = {stats.compared_with for stats in counted}
        return replace(
            later,
            **summed,
            **compared,
            sources=add_drafted(self.sources, later.sources),
            accepted_histogram=_added(self.accepted_histogram, later.accepted_histogram),
            threads=_added(self.threads, later.threads),
            speedup_basis=bases.pop() if len(bases) == 1 else "estimated" if bases else "none",
            compared_with=kinds.pop() if len(kinds) == 1 else "either" if kinds else "plain",
            drafts="used" if "used" in (self.drafts, later.drafts) else later.drafts,
        )

    def as_json(self) -> dict[str, Any]:
        """The `stats` object of `run --json`; rates that do not exist are null."""
        return {
            "drafts": self.drafts,
            "tokens_per_second": _rounded(self.tokens_per_second),
            "rounds": self.rounds,
            "drafted": self.drafted,
            "accepted": self.accepted,
            "copied": self.copied,
            "sources": {
                count.source: {"drafted": count.drafted, "accepted": count.accepted}
                for count in self.sources
            },
            "acceptance_rate": _rounded(self.acceptance_rate),
            "draft_length": _rounded(self.draft_length),
            "mean_accepted_length": _rounded(self.mean_accepted_length),
            "accepted_histogram": list(self.accepted_histogram),
            "threads": {str(count): n for count, n in enumerate(self.threads) if n},
            "speedup": _rounded(self.speedup),
            "speedup_error": None if self.speedup is None else _rounded(self.speedup_error),
            "speedup_basis": "none" if self.speedup is None else self.speedup_basis,
            "compared_with": self.compared_with,
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
    "guesses",
    "right",
    "prefill_seconds",
    "ttft_seconds",
    "decode_seconds",
    "draft_seconds",
    "verify_seconds",
    "sampling_seconds",
)
_COMPARED = ("plain_seconds", "plain_deviation", "compared_seconds")


def comparable(tokens: int, error: float) -> bool:
    """Whether a speed over so many tokens, which may be off by the share `error`, says anything
    when it is set against another one."""
    return tokens >= ENOUGH_TO_COMPARE and error <= TOO_NOISY


def add_drafted(before: Iterable[Drafted], more: Iterable[Drafted]) -> tuple[Drafted, ...]:
    """The counts of each source together, in the order in which the sources first came up."""
    total: dict[str, Drafted] = {}
    for count in (*before, *more):
        known = total.get(count.source, Drafted(count.source))
        total[count.source] = Drafted(
            count.source, known.drafted + count.drafted, known.accepted + count.accepted
        )
    return tuple(total.values())


def _added(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    return tuple(x + y for x, y in zip_longest(a, b, fillvalue=0))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
