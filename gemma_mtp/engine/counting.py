"""The statistics of a reply, round by round; a reply keeps them and shows each state of them."""

from __future__ import annotations

from dataclasses import replace

from gemma_mtp.api import Drafted, Stats, add_drafted
from gemma_mtp.decoding.outcome import Round
from gemma_mtp.decoding.plain_steps import Step

# Tokens before a speedup is shown. The first rounds after a prompt rebuild llama.cpp's graph; a
# reply of a few words is little else.
ENOUGH_TO_COMPARE = 64


def with_round(before: Stats, done: Round, seconds: float, threads: int) -> Stats:
    """With a round that so many threads evaluated, and all around it that took `seconds`."""
    histogram = before.accepted_histogram
    drafted = [Drafted(done.source, done.kept, done.accepted)] if done.kept else []
    return replace(
        before,
        rounds=before.rounds + 1,
        decoded=before.decoded + len(done.tokens),
        drafted=before.drafted + done.kept,
        accepted=before.accepted + done.accepted,
        sources=add_drafted(before.sources, drafted) if drafted else before.sources,
        accepted_histogram=_counted(histogram, done.accepted) if done.kept else histogram,
        threads=_counted(before.threads, threads),
        draft_seconds=before.draft_seconds + done.draft_seconds,
        verify_seconds=before.verify_seconds + done.verify_seconds,
        sampling_seconds=before.sampling_seconds + done.sampling_seconds,
        decode_seconds=before.decode_seconds + seconds,
    )


def compared(stats: Stats, tokens: int, seconds: float, step: Step) -> Stats:
    """With what the last round, `tokens` in `seconds`, would have taken in plain steps."""
    if step.basis != "none":
        if stats.compared_seconds == 0:
            # The rounds before the first timed step count as well: the last ones alone, with the
            # timing itself among them, would say something else.
            tokens, seconds = stats.decoded, stats.decode_seconds
        stats = replace(
            stats,
            plain_seconds=stats.plain_seconds + step.seconds * tokens,
            plain_deviation=stats.plain_deviation + step.deviation * tokens,
            compared_seconds=stats.compared_seconds + seconds,
        )
    if stats.drafted and stats.decoded >= ENOUGH_TO_COMPARE:
        stats = replace(stats, speedup_basis=step.basis)
    return stats


def _counted(histogram: tuple[int, ...], value: int) -> tuple[int, ...]:
    """The histogram with one more of `value`."""
    longer = [*histogram, *[0] * (value + 1 - len(histogram))]
    longer[value] += 1
    return tuple(longer)
