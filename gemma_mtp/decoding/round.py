"""The round: draft, verify, accept, roll back. A draft of length 0 is plain decoding.

The engine runs rounds over one reply. Nothing here knows llama.cpp or texts: a target and its
drafters are whatever fits the protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from time import perf_counter, process_time
from typing import Protocol

from gemma_mtp.decoding.draft_policy import DraftPolicy
from gemma_mtp.decoding.drafters import Drafter
from gemma_mtp.decoding.outcome import Proposal, Round
from gemma_mtp.decoding.rows import Row, Rows
from gemma_mtp.decoding.sampler import Sampler, uniform
from gemma_mtp.decoding.transcript import Position, Transcript, common_prefix
from gemma_mtp.errors import GemmaMtpError

Judge = Callable[[int, int, Position], int]
"""Given the target's sample, the draft and their position, the token to commit: the sample, but
for benchmarks."""


class Target(Protocol):
    """Evaluates tokens and remembers them by position. `short`: a shortlist of each row will do."""

    def decode(
        self, tokens: Sequence[int], position: Position, outputs: int, short: bool
    ) -> Rows: ...
    def hidden(self, row: int) -> Row: ...
    def keep(self, length: Position) -> None: ...


def agree(sample: int, draft: int, position: Position) -> int:
    """The target has the only say."""
    return sample


def synthetic(chance: float, seed: int) -> Judge:
    """Accept each draft with this chance whatever the tokens are, to measure costs.

    Whether a position can be foreseen is the same for every draft length, so that luck does not
    decide between them.
    """

    def judge(sample: int, draft: int, position: Position) -> int:
        if uniform(seed, position) < chance:
            return draft
        return sample if sample != draft else abs(sample - 1)

    return judge


class Speculator:
    """Runs rounds over one reply.

    The last token of `transcript`, *pending*, is sampled but not yet evaluated. The target holds
    exactly the positions before it, before and after each round, whatever was drafted. A drafter
    that fails is not asked again; `failure` says why, and decoding goes on without it.
    """

    def __init__(
        self,
        target: Target,
        drafters: Sequence[Drafter],
        sampler: Sampler,
        transcript: Transcript,
        hidden: Row | None,
        end_of_generation: Collection[int],
        min_width: int = 1,
        judge: Judge = agree,
    ) -> None:
        """`hidden`: the target's hidden state of the last evaluated token, if a drafter needs it.

        `min_width` 2 pads plain rounds: rows evaluated one at a time differ in the last bits from
        rows evaluated together, and exact mode must not see that.
        """
        self.target, self.sampler, self.transcript = target, sampler, transcript
        self.drafters = list(drafters)
        self.failure: GemmaMtpError | None = None
        self.hidden = None if hidden is None else hidden.copy()
        self.end = end_of_generation
        self.min_width = min_width
        self.judge = judge
        self.watched = False  # whether `hidden` is asked for in each round, decided on or not
        self._decided = True  # whether the coming round is, and not simply plain

    def round(self, policy: DraftPolicy, limit: int) -> Round:
        """Draft up to `limit` tokens, verify them in one evaluation, commit what is agreed."""
        started = perf_counter()
        position, pending = self.transcript.end - 1, self.transcript.ids[-1]
        proposals, draft, kept, width = self._draft(policy, limit, position)
        drafted_at, given = perf_counter(), process_time()

        padding = [pending] * (width - 1 - kept)
        batch = [pending, *draft.tokens[:kept], *padding]
        rows = self.target.decode(batch, position, width, self.sampler.takes_shortlists)
        verified_at, given = perf_counter(), process_time() - given

        tokens = self._accept(rows, draft.tokens, kept)
        self.transcript.cached = position + len(tokens)
        self.target.keep(self.transcript.cached)
        for proposal in proposals:
            proposal.matched = common_prefix(tokens, proposal.tokens)
        done = Round(
            tokens,
            proposals,
            source=draft.source if kept else "",
            kept=kept,
            accepted=min(draft.matched, kept),
            width=width,
            draft_seconds=drafted_at - started,
            verify_seconds=verified_at - drafted_at,
            verify_processor_seconds=given,
            sampling_seconds=perf_counter() - verified_at,
        )
        for drafter in self.drafters if self._decided else ():
            drafter.judge(tokens)
        policy.record(done)
        self._decided = policy.decides()
        if self.hidden is not None and (self._decided or self.watched):
            self.hidden[:] = self.target.hidden(len(tokens) - 1)
        return done

    def _draft(
        self, policy: DraftPolicy, limit: int, position: Position
    ) -> tuple[list[Proposal], Proposal, int, int]:
        """All proposals, the one of which tokens are verified, how many of them, and the width."""
        if not self._decided:
            return [], Proposal("", [], []), 0, self.min_width
        longest = policy.begin(self.drafters, limit, self.min_width, position)
        proposals = [self._ask(drafter, limit) for drafter in self.drafters if drafter.free]
        choice = policy.take(proposals)
        if choice is not None:
            draft = next(p for p in proposals if p.source == choice.source)
            return proposals, draft, choice.kept, choice.width
        draft = self._step_by_step(policy, longest)
        if draft.tokens:
            proposals.append(draft)
        return proposals, draft, *policy.verify(draft.confidences)

    def _ask(self, drafter: Drafter, limit: int) -> Proposal:
        """Whatever this drafter offers for nothing."""
        found = list(drafter.propose(self.transcript, self.hidden, limit))
        return Proposal(drafter.name, [t for t, _ in found], [c for _, c in found], free=True)

    def _step_by_step(self, policy: DraftPolicy, longest: int) -> Proposal:
        """As many tokens as the policy wants of the drafter that costs time, if there is one."""
        tokens: list[int] = []
        confidences: list[float] = []
        drafter = next((d for d in self.drafters if not d.free), None)
        if longest < 1 or drafter is None:
            return Proposal("", tokens, confidences)
        try:
            for token, confidence in drafter.propose(self.transcript, self.hidden, longest):
                tokens.append(token)
                confidences.append(confidence)
                if token in self.end or len(tokens) == longest or not policy.go_on(confidences):
                    break
        except GemmaMtpError as error:
            self.drafters.remove(drafter)
            self.failure = error
        return Proposal(drafter.name, tokens, confidences)

    def _accept(self, rows: Rows, drafts: Sequence[int], kept: int) -> list[int]:
        """Sample row after row while the samples are what was drafted; commit them as they come."""
        transcript, tokens = self.transcript, list[int]()
        for i in range(kept + 1):
            position = transcript.end
            token = self.sampler.sample(rows[i], position, transcript.ids)
            if i < len(drafts):
                token = self.judge(token, drafts[i], position)
            tokens.append(token)
            transcript.append(token)
            if token in self.end or i == kept or token != drafts[i]:
                break
        return tokens

    def time_plain_step(self) -> float:
        """Seconds of a plain step here and now, as wide as plain rounds are; changes neither the
        text nor the cache.

        Of two, since after a change of width llama.cpp first rebuilds its graph.
        """
        position = self.transcript.end - 1
        tokens = self.transcript.ids[-1:] * self.min_width
        for _ in range(2):
            started = perf_counter()
            short = self.sampler.takes_shortlists
            rows = self.target.decode(tokens, position, len(tokens), short)
            self.sampler.sample(rows[0], position + 1, self.transcript.ids)
            seconds = perf_counter() - started
            self.target.keep(position)
        return seconds
