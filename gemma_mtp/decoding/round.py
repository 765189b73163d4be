"""The round: draft, verify, accept, roll back. A draft of length 0 is plain decoding.

Knows neither llama.cpp nor texts: a target and a drafter are whatever fits the two protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter, process_time
from typing import Protocol

from gemma_mtp.decoding.draft_length import DraftPolicy
from gemma_mtp.decoding.lookup import Lookup, common_prefix
from gemma_mtp.decoding.proposer import DraftTemperature, Proposer
from gemma_mtp.decoding.sampler import Row, Sampler, uniform
from gemma_mtp.errors import GemmaMtpError

Judge = Callable[[int, int, int], int]
"""Given the target's sample, the draft and their position, the token to commit: the sample, but
for benchmarks."""


class Target(Protocol):
    """Evaluates tokens and remembers them by position."""

    def decode(self, tokens: Sequence[int], position: int, outputs: int) -> Row: ...
    def hidden(self, row: int) -> Row: ...
    def keep(self, length: int) -> None: ...


class Drafter(Protocol):
    """Proposes tokens from the target's hidden state and cache."""

    def begin(self, hidden: Row, position: int) -> None: ...
    def step(self, token: int) -> Row: ...


def agree(sample: int, draft: int, position: int) -> int:
    """The target has the only say."""
    return sample


def synthetic(chance: float, seed: int) -> Judge:
    """Accept each draft with this chance whatever the tokens are, to measure costs.

    Whether a position can be foreseen is the same for every draft length, so that luck does not
    decide between them.
    """

    def judge(sample: int, draft: int, position: int) -> int:
        if uniform(seed, position) < chance:
            return draft
        return sample if sample != draft else abs(sample - 1)

    return judge


@dataclass(frozen=True)
class Round:
    """What one round committed: `accepted` drafts, then the bonus token, unless the text ended.

    Of `drafted` tokens the first `kept` were verified; the first `matched` were what the target
    chose, as far as that was seen: the bonus token judges a draft that was not verified, too.
    `found` says of tokens found in the text how far it agrees before each; they are judged in the
    same way. With `copied`, they were verified, and nothing was drafted.
    `verify_processor_seconds` is the time of all processors together that verifying was given.
    """

    tokens: list[int]
    drafted: int
    kept: int
    accepted: int
    matched: int
    copied: bool
    found: list[float]
    found_matched: int
    width: int
    confidences: list[float]
    draft_seconds: float
    verify_seconds: float
    verify_processor_seconds: float
    sampling_seconds: float

    @property
    def source(self) -> str:
        """Where the verified drafts came from."""
        return "lookup" if self.copied else "mtp"

    @property
    def judged(self) -> int:
        """Drafts that could be compared with what the target chose."""
        return len(self.tokens)

    def cut(self, count: int) -> Round:
        """As if the text had ended after `count` of its tokens: what stood behind was never a
        part of it, neither as a token nor as a draft."""
        if count >= len(self.tokens):
            return self
        return replace(self, tokens=self.tokens[:count], kept=count, accepted=count)

    @property
    def seconds(self) -> float:
        return self.draft_seconds + self.verify_seconds + self.sampling_seconds


class Speculator:
    """Runs rounds over one reply.

    `history` are all tokens so far; the last one, *pending*, is sampled but not yet evaluated. The
    target holds exactly the others before and after each round, whatever was drafted. A drafter
    that fails is not asked again; `failure` says why, and decoding goes on plainly.
    """

    def __init__(
        self,
        target: Target,
        drafter: Drafter | None,
        sampler: Sampler,
        history: list[int],
        hidden: Row | None,
        end_of_generation: Collection[int],
        min_width: int = 1,
        judge: Judge = agree,
        proposer: Proposer | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        """`hidden`: the target's hidden state of the last evaluated token, if there is a drafter.
        `lookup` reads `history`.

        `min_width` 2 pads plain rounds: rows evaluated one at a time differ in the last bits from
        rows evaluated together, and exact mode must not see that.
        """
        self.target, self.drafter, self.sampler = target, drafter, sampler
        self.failure: GemmaMtpError | None = None
        self.proposer = proposer or Proposer(sampler, DraftTemperature())
        self.history = history
        self.hidden = None if hidden is None else hidden.copy()
        self.end = end_of_generation
        self.min_width = min_width
        self.judge = judge
        self.lookup = lookup

    def round(self, policy: DraftPolicy, limit: int) -> Round:
        """Draft up to `limit` tokens, verify them in one evaluation, commit what is agreed."""
        started = perf_counter()
        position = len(self.history) - 1
        pending = self.history[-1]
        limit = limit if self.drafter else 0
        longest = policy.begin(limit, self.min_width, position)
        found, agreement = self.lookup.find(limit) if self.lookup else ([], [])
        kept, width = policy.take(agreement)
        copied = kept > 0
        if copied:
            drafts, confidences = found, list[float]()
        else:
            drafts, confidences = self._draft(policy, longest, pending, position)
            kept, width = policy.verify(confidences)
        drafted_at, given = perf_counter(), process_time()

        padding = [pending] * (width - 1 - kept)
        rows = self.target.decode([pending, *drafts[:kept], *padding], position, width)
        verified_at, given = perf_counter(), process_time() - given

        tokens = self._accept(rows, drafts, kept)
        if self.hidden is not None:
            self.hidden[:] = self.target.hidden(len(tokens) - 1)
        self.target.keep(position + len(tokens))
        matched = common_prefix(tokens, drafts)
        done = Round(
            tokens,
            drafted=0 if copied else len(drafts),
            kept=kept,
            accepted=min(matched, kept),
            matched=0 if copied else matched,
            copied=copied,
            found=agreement,
            found_matched=common_prefix(tokens, found),
            width=width,
            confidences=confidences,
            draft_seconds=drafted_at - started,
            verify_seconds=verified_at - drafted_at,
            verify_processor_seconds=given,
            sampling_seconds=perf_counter() - verified_at,
        )
        self.proposer.judge(tokens)
        policy.record(done)
        return done

    def _draft(
        self, policy: DraftPolicy, longest: int, token: int, position: int
    ) -> tuple[list[int], list[float]]:
        """Tokens and the drafter's confidence in each, as many as the policy wants."""
        drafts: list[int] = []
        confidences: list[float] = []
        if longest < 1 or self.drafter is None:
            return drafts, confidences
        try:
            for draft, confidence in self._proposals(self.drafter, token, position):
                drafts.append(draft)
                confidences.append(confidence)
                if draft in self.end or len(drafts) == longest or not policy.go_on(confidences):
                    break
        except GemmaMtpError as error:
            self.drafter, self.failure = None, error
        return drafts, confidences

    def _proposals(
        self, drafter: Drafter, token: int, position: int
    ) -> Iterator[tuple[int, float]]:
        """Draft after draft with the drafter's confidence in it, without end."""
        assert self.hidden is not None
        drafter.begin(self.hidden, position)
        recent = self.history[-self.sampler.sampling.repeat_last_n :]
        while True:
            row = drafter.step(token)
            position += 1
            token, confidence = self.proposer.propose(row, position, recent)
            recent.append(token)
            yield token, confidence

    def _accept(self, rows: Row, drafts: list[int], kept: int) -> list[int]:
        """Sample row after row while the samples are what was drafted; commit them as they come."""
        tokens: list[int] = []
        for i in range(kept + 1):
            token = self.sampler.sample(rows[i], len(self.history), self.history)
            if i < len(drafts):
                token = self.judge(token, drafts[i], len(self.history))
            tokens.append(token)
            self.history.append(token)
            if token in self.end or i == kept or token != drafts[i]:
                break
        return tokens

    def time_plain_step(self) -> float:
        """Seconds of a plain step here and now, as wide as plain rounds are; changes neither the
        text nor the cache.

        Of two, since after a change of width llama.cpp first rebuilds its graph.
        """
        position = len(self.history) - 1
        tokens = [self.history[-1]] * self.min_width
        for _ in range(2):
            started = perf_counter()
            rows = self.target.decode(tokens, position, len(tokens))
            self.sampler.sample(rows[0], position + 1, self.history)
            seconds = perf_counter() - started
            self.target.keep(position)
        return seconds
