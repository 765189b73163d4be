"""The statistics of a reply, round by round; a reply keeps them and shows each state of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gemma_mtp.api import Drafted, Stats, add_drafted
from gemma_mtp.decoding.outcome import Round
from gemma_mtp.decoding.plain_steps import Step

# Tokens before a speedup is shown. The first rounds after a prompt rebuild llama.cpp's graph; a
# reply of a few words is little else.
ENOUGH_TO_COMPARE = 64


def with_round(before: Stats, done: Round, seconds: float, threads: int, plain: Step) -> Stats:
    """With a round that so many threads evaluated, and all around it that took `seconds`, where a
    plain step takes what `plain` says. Each field is set once: this is done in every round."""
    decoded = before.decoded + len(done.tokens)
    decode_seconds = before.decode_seconds + seconds
    changes: dict[str, Any] = {
        "rounds": before.rounds + 1,
        "decoded": decoded,
        "completion_tokens": before.completion_tokens + len(done.tokens),
        "context_used": before.context_used + len(done.tokens),
        "threads": _counted(before.threads, threads),
        "draft_seconds": before.draft_seconds + done.draft_seconds,
        "verify_seconds": before.verify_seconds + done.verify_seconds,
        "sampling_seconds": before.sampling_seconds + done.sampling_seconds,
        "decode_seconds": decode_seconds,
    }
    if done.kept:
        drafted = Drafted(done.source, done.kept, done.accepted)
        changes["drafted"] = before.drafted + done.kept
        changes["accepted"] = before.accepted + done.accepted
        changes["sources"] = add_drafted(before.sources, [drafted])
        changes["accepted_histogram"] = _counted(before.accepted_histogram, done.accepted)
    if plain.basis != "none":
        tokens = len(done.tokens)
        if before.compared_seconds == 0:
            # The rounds before the first timed step count as well: the last ones alone, with the
            # timing itself among them, would say something else.
            tokens, seconds = decoded, decode_seconds
        changes["plain_seconds"] = before.plain_seconds + plain.seconds * tokens
        changes["plain_deviation"] = before.plain_deviation + plain.deviation * tokens
        changes["compared_seconds"] = before.compared_seconds + seconds
    if (before.drafted or done.kept) and decoded >= ENOUGH_TO_COMPARE:
        changes["speedup_basis"] = plain.basis
    return replace(before, **changes)


def _counted(histogram: tuple[int, ...], value: int) -> tuple[int, ...]:
    """The histogram with one more of `value`."""
    longer = [*histogram, *[0] * (value + 1 - len(histogram))]
    longer[value] += 1
    return tuple(longer)
