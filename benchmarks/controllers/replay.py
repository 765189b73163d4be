"""Replay a trace under a policy on a machine with known costs.

The policy sees times with noise and stalls, as a clock would show them; what a run is charged are
the costs themselves, so that luck with the noise does not count. Knows the round's order of calls,
as `round.Speculator` makes them, but neither models nor clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controllers.curves import Curve
from controllers.traces import STEPS, Trace
from gemma_mtp.decoding.draft_policy import DraftPolicy, FixedDraft
from gemma_mtp.decoding.drafters import MtpDrafter
from gemma_mtp.decoding.lookup import Lookup
from gemma_mtp.decoding.outcome import Proposal, Round

FIRST_POSITION = 100  # of the pending token when the reply begins
SEEN = 0.55  # of what deciding takes passes before the evaluation, the rest is learning from it


SOURCES = (MtpDrafter, Lookup)


def played(
    drafted: int,
    kept: int,
    matched: int,
    width: int,
    judged: int,
    confidences: Sequence[float],
    draft_seconds: float,
    verify_seconds: float,
    found: Sequence[float] = (),
    found_matched: int = 0,
) -> Round:
    """A round as a policy is told of it. The tokens themselves do not matter."""
    proposals = [Proposal(Lookup.name, [0] * len(found), found, found_matched, free=True)]
    if drafted:
        proposals.append(Proposal(MtpDrafter.name, [0] * drafted, confidences, matched))
    return Round(
        *([0] * judged, proposals, "", kept, judged - 1, width),
        *(draft_seconds, verify_seconds, 0.0, 0.0),
    )


@dataclass
class Machine:
    """A cost curve, and how its clock misleads: relative noise, and stalls of five times."""

    curve: Curve
    noise: float = 0.05
    stalls: float = 0.005
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(self.seed)

    def shown(self, cost: float) -> float:
        """Noise makes a time longer, never shorter than what the work takes."""
        factor = 1 + self.noise * abs(self._random.standard_normal())
        return cost * factor * (5 if self._random.random() < self.stalls else 1)


@dataclass
class Run:
    """Tokens written and plain steps charged; `rounds` in order."""

    tokens: int
    cost: float
    rounds: list[Round]

    @property
    def rate(self) -> float:
        """Tokens per plain step: the speedup."""
        return self.tokens / self.cost


def replay(policy: DraftPolicy, trace: Trace, machine: Machine, min_width: int = 1) -> Run:
    """The whole trace once."""
    return _reply(policy, trace, machine, min_width)


def replies(
    policy: DraftPolicy, trace: Trace, machine: Machine, length: int, min_width: int = 1
) -> list[Run]:
    """The trace as a session of replies of `length` tokens, which all go on from what was learned
    before."""
    runs = []
    for start in range(0, len(trace), length):
        policy.new_reply()
        runs.append(_reply(policy, trace.part(start, start + length), machine, min_width))
    return runs


def _reply(policy: DraftPolicy, trace: Trace, machine: Machine, min_width: int) -> Run:
    run = Run(0, 0.0, [])
    last_width = 0
    while run.tokens < len(trace):
        done, cost = _round(policy, trace, machine, run.tokens, last_width, min_width)
        policy.record(done)
        run.rounds.append(done)
        run.tokens += done.judged
        run.cost += cost
        last_width = done.width
    return run


def _round(
    policy: DraftPolicy, trace: Trace, machine: Machine, at: int, last_width: int, min_width: int
) -> tuple[Round, float]:
    drafts, curve = trace.confidences[at], machine.curve
    found = trace.found[at] if trace.found else []
    found_right = trace.found_matched[at] if trace.found else 0
    drafted, kept, width, choice = 0, 0, min_width, None
    decided = policy.decides()
    if decided:
        longest = policy.begin(SOURCES, STEPS, min_width, FIRST_POSITION + at)
        choice = policy.take([Proposal(Lookup.name, [0] * len(found), found, free=True)])
        drafted = 0 if choice else min(longest, 1, len(drafts))
        while 0 < drafted < min(longest, len(drafts)) and policy.go_on(drafts[:drafted]):
            drafted += 1
        kept, width = choice[1:] if choice else policy.verify(drafts[:drafted])
    deciding = curve.deciding if decided and not isinstance(policy, FixedDraft) else 0.0
    verify = curve.cost(width) + (curve.rebuild if width != last_width else 0.0)
    drafting = drafted * curve.draft_step + deciding * SEEN
    # The bonus token judges one draft more than were verified.
    tokens = min(kept, found_right if choice else trace.matched[at]) + 1
    done = played(
        drafted,
        kept,
        min(trace.matched[at], tokens, drafted),
        width,
        tokens,
        drafts[:drafted],
        machine.shown(drafting) if drafting else 0.0,
        machine.shown(verify),
        found if decided else [],
        min(found_right, tokens),
    )
    return done, drafting + verify + deciding * (1 - SEEN)


def fixed_rate(trace: Trace, curve: Curve, length: int) -> float:
    """Tokens per plain step of always the same draft length."""
    tokens, cost = 0, 0.0
    while tokens < len(trace):
        drafts = min(length, len(trace.confidences[tokens]))
        cost += drafts * curve.draft_step + curve.cost(length + 1)
        tokens += min(drafts, trace.matched[tokens]) + 1
    return tokens / cost


def best_fixed(trace: Trace, curve: Curve) -> tuple[int, float]:
    """The best fixed draft length of this trace, 0 included, and its rate."""
    rates = [fixed_rate(trace, curve, k) for k in range(STEPS + 1)]
    best = max(range(STEPS + 1), key=rates.__getitem__)
    return best, rates[best]


def oracle_rate(trace: Trace, curve: Curve) -> float:
    """Tokens per plain step of the cheapest way through the text, known beforehand: drafts that
    are all right, the cheapest width that holds them, and changes of width for nothing."""
    cheapest = [min(curve.verify[m:]) for m in range(STEPS + 1)]
    cost = [0.0] * (len(trace) + STEPS + 1)
    for p in reversed(range(len(trace))):
        cost[p] = min(
            m * curve.draft_step + cheapest[m] + cost[p + m + 1]
            for m in range(trace.matched[p] + 1)
        )
    return len(trace) / cost[0]
