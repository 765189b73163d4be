"""What drafts did for a reply, and why, in one plain sentence: `/stats` and `/race` end with it."""

from __future__ import annotations

from gemma_mtp.api import ENOUGH_TO_COMPARE, Stats
from gemma_mtp.terminal.figures import ROUGH, drafts_used
from gemma_mtp.text import percent

SAME = 0.03  # of a speedup: two measurements of the same thing differ by as much

TOY = (
    "This toy lies in the processor's cache, where checking drafts takes nearly as long as writing "
    "them; a real model is read from memory. gemma-mtp bench --shape e2b measures such a pair here."
)


def explained(
    stats: Stats,
    plain_reason: str = "",
    *,
    off: bool = False,
    built_in: bool = False,
    drafter: str = "",
) -> str:
    """Whether drafts were used in a reply and what they brought, or why they were not; "" where
    neither is known. `plain_reason` is that of the pair, which is the toy if it is `built_in`;
    `off`: the chat's own setting is off; `drafter` is what `borrowed` says of its drafter."""
    if not drafts_used(stats):
        said = _not_used(stats, plain_reason, off)
        if drafter and stats.drafts == "unprofitable":
            return f"{said} {drafter} /draft auto leaves drafts out until they pay."
        return f"{said} {TOY}" if built_in and stats.drafts == "unprofitable" else said
    if stats.decoded < ENOUGH_TO_COMPARE:
        return "The reply was too short to tell what drafts brought."
    if stats.speedup_basis == "none":
        return "Too few plain steps were timed to tell what drafts brought."
    if stats.speedup is None:
        return "The timings differ too much to tell what drafts brought."
    said = judged(stats.speedup, stats.speedup_error, built_in=built_in)
    if drafter and stats.speedup < 1 - SAME:
        said += f" {drafter} /draft auto leaves drafts out where they do not pay."
    if stats.compared_with == "exact plain":
        said += " In exact mode plain decoding is slower."
    return said


def borrowed(drafter_of: str, stats: Stats) -> str:
    """A sentence about a drafter that was made for another model, `drafter_of`, and how many of its
    guesses were right here; "" where the model has its own."""
    if not drafter_of:
        return ""
    said = f"The drafter is that of {drafter_of}, not one made for this model"
    if stats.guessed_right is not None:
        said += f": {percent(stats.guessed_right)} of its {stats.guesses} guesses were right"
    return f"{said}."


def judged(factor: float, error: float, *, built_in: bool = False) -> str:
    """What drafts did to the speed, `factor` times plain decoding, which may be off by the share
    `error`."""
    rough = error > ROUGH
    times = f"about {factor:.1f} times" if rough else f"{factor:.2f} times"
    if abs(factor - 1) <= (ROUGH if rough else SAME):
        return "Drafts made no clear difference to the speed."
    if factor > 1:
        return f"Drafts made it {times} as fast as plain decoding."
    slower = f"Drafts slowed it down, to {times} the speed of plain decoding."
    return f"{slower} {TOY}" if built_in else slower


def _not_used(stats: Stats, plain_reason: str, off: bool) -> str:
    if stats.drafts == "trying" and not stats.drafted:
        return "No drafts were used yet: what they cost and bring here is to be measured first."
    if stats.drafts == "trying":
        return "Drafts were only tried out, to measure what they cost and bring here."
    if stats.drafts == "unprofitable":
        share = stats.draft_seconds / stats.decode_seconds if stats.decode_seconds else 0.0
        looking = f" Looking for some took {percent(share)} of the time." if share >= 0.01 else ""
        return f"Drafts were left out: they cost more time here than they bring.{looking}"
    if stats.drafts == "off":
        here = "Drafts are off; /draft auto uses them where they pay."
        return here if off else "The last reply was written without drafts."
    return f"There are no drafts: {plain_reason.rstrip('.')}." if plain_reason else ""
