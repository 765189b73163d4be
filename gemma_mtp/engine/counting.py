"""The statistics of a reply, round by round; a reply keeps them and shows each state of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gemma_mtp.api import Drafted, DraftSetting, DraftUse, Stats, add_drafted
from gemma_mtp.decoding.outcome import Round
from gemma_mtp.decoding.plain_steps import Step

# Of a reply. From this share of rounds on that timed a width, drafts were only tried out; from this
# share of tokens on that were drafted, they were used.
MOSTLY_TRYING, USED = 0.25, 0.1


def with_round(
    before: Stats, done: Round, seconds: float, threads: int, plain: Step, drafts: DraftUse
) -> Stats:
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
        "drafts": drafts,
    }
    for proposal in done.proposals:
        if not proposal.free:
            right = min(proposal.matched, done.judged)
            judged = min(right + 1, len(proposal.tokens), done.judged)
            changes |= {"guesses": before.guesses + judged, "right": before.right + right}
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
        changes["speedup_basis"] = plain.basis
    return replace(before, **changes)


def draft_use(stats: Stats, setting: DraftSetting, has_drafter: bool, tried: int) -> DraftUse:
    """What became of drafts in a reply with this setting, in which `tried` rounds were there to
    find out what drafts cost."""
    if setting == 0:
        return "off"
    if setting != "auto":
        return "used" if has_drafter or stats.drafted else "no-drafter"
    if has_drafter and tried >= MOSTLY_TRYING * stats.rounds:
        return "trying"
    if stats.accepted >= max(USED * stats.decoded, 1):
        return "used"
    return "unprofitable" if has_drafter else "no-drafter"


def _counted(histogram: tuple[int, ...], value: int) -> tuple[int, ...]:
    """The histogram with one more of `value`."""
    longer = [*histogram, *[0] * (value + 1 - len(histogram))]
    longer[value] += 1
    return tuple(longer)
