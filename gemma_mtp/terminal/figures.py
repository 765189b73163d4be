"""The figures of a reply in words: the line below it, and the line while it grows.

Knows what is important where room is short; knows no terminal.
"""

from __future__ import annotations

from gemma_mtp.api import DraftUse, End, FinishReason, Stats
from gemma_mtp.text import counted, number, percent

Parts = list[tuple[int, str]]
"""Texts with their importance; the least important go first where they do not all fit."""

ROUGH = 0.05  # of a speedup; what may be further off is given to one place only

_UNTRIED = "plain: no drafts used yet"
MEANINGS = (
    ("1.42x plain", "so many times as fast as plain decoding; below 1, drafts cost time"),
    ("about 1.4x", "the same, but the plain steps it is compared with differ by more than 5 %"),
    ("measured", "plain steps were timed near this length of context"),
    ("estimated", "plain steps were timed further away from it"),
    ("in exact mode", "against plain decoding in exact mode, which is slower than it is otherwise"),
    ("33 % of drafts accepted", "of the tokens that were drafted, the model took so many"),
    ("2.6 tokens a round", "tokens that one check by the model brings; without drafts it is 1"),
    ("3 drafts a round", "tokens that were drafted for that"),
    ("trying drafts", "what drafts cost and bring here is being measured"),
    (_UNTRIED, "what they cost and bring here is to be measured first"),
    ("plain: drafts do not pay", "they cost more time here than they bring, and were left out"),
    ("plain: drafts are off", "as --draft off, /draft off or /retry plain says"),
    ("plain: no drafter", "the model has none that can be used"),
    ("copied", "drafts that were found in the text so far, and not made by the drafter"),
    ("ctx 40/8192", "tokens in the context, and how many it holds"),
    ("thought cut at 500 tokens", "there its budget was used up, and the answer began"),
)
"""What the figures mean: `/help stats` and docs/reference.md say it in these words."""

_REASONS: dict[FinishReason, str] = {
    "stop": "",
    "length": "token limit",
    "context": "context full",
    "cancelled": "stopped",
}
_NOT_USED: dict[DraftUse, str] = {
    "trying": "trying drafts",
    "unprofitable": "plain: drafts do not pay",
    "off": "plain: drafts are off",
    "no-drafter": "plain: no drafter",
    "unknown": "plain",
}


def drafts_used(stats: Stats) -> bool:
    """Whether drafts had a part in the reply that is worth figures."""
    return stats.drafts == "used" or (stats.drafts == "unknown" and stats.drafted > 0)


def factor(stats: Stats) -> str:
    """The speedup as exactly as it is known, where it is known at all."""
    if stats.speedup is None:
        return ""
    rough = stats.speedup_error > ROUGH
    return f"about {stats.speedup:.1f}x" if rough else f"{stats.speedup:.2f}x"


def average(count: float, noun: str) -> str:
    """2.5 drafts, 1 draft."""
    short = f"{count:.1f}".removesuffix(".0")
    return f"{short} {noun if short == '1' else noun + 's'}"


def status_parts(stats: Stats) -> Parts:
    """What the line below a growing reply says, each part with its importance."""
    parts = [(9, f"{number(stats.tokens_per_second)} tok/s")] if stats.tokens_per_second else []
    if stats.speedup is not None and drafts_used(stats):
        parts.append((8, f"{stats.speedup:.1f}x plain"))
    return [*parts, *_drafts(stats), *_context(stats)]


def summary_parts(stats: Stats, reason: FinishReason) -> Parts:
    """What is said after a reply."""
    parts = [(7, f"{number(stats.tokens_per_second)} tok/s")] if stats.tokens_per_second else []
    if stats.speedup is not None and drafts_used(stats):
        exact = " in exact mode" if stats.compared_with == "exact plain" else ""
        parts.append((8, f"{factor(stats)} plain{exact} ({stats.speedup_basis})"))
    parts += _drafts(stats)
    if stats.mean_accepted_length is not None and drafts_used(stats):
        parts.append((4, f"{average(stats.mean_accepted_length, 'token')} a round"))
    parts += _context(stats)
    if _REASONS[reason]:
        parts.append((9, _REASONS[reason]))
    return parts


def reply_parts(end: End) -> Parts:
    """What is said below a reply."""
    parts = summary_parts(end.stats, end.reason)
    if end.thought_cut:
        parts.append((9, f"thought cut at {counted(end.thought_tokens, 'token')}"))
    return parts


def request_parts(stats: Stats, reason: FinishReason) -> Parts:
    """What a server says about a reply that it has written."""
    cached = f" ({stats.cached_tokens} cached)" if stats.cached_tokens else ""
    tokens = f"{stats.prompt_tokens}{cached} + {counted(stats.completion_tokens, 'token')}"
    parts = summary_parts(stats, reason)
    return [(9, tokens), *(part for part in parts if part[0] > 5 and part[1] != _UNTRIED)]


def _drafts(stats: Stats) -> Parts:
    """Whether drafts were used: how good they were and how many, or why not."""
    if not stats.rounds:
        rate = stats.acceptance_rate  # all that other servers tell
        return [] if rate is None else [(6, f"{percent(rate)} of drafts accepted")]
    if not drafts_used(stats) or stats.acceptance_rate is None:
        untried = stats.drafts == "trying" and not stats.drafted
        return [(6, _UNTRIED if untried else _NOT_USED.get(stats.drafts, "plain"))]
    accepted = f"{percent(stats.acceptance_rate)} of drafts accepted"
    return [(6, accepted), (3, f"{average(stats.draft_length, 'draft')} a round")]


def _context(stats: Stats) -> Parts:
    """How full it is; a server may say nothing of it, or only how much there is in it."""
    if stats.context_size:
        return [(5, f"ctx {stats.context_used}/{stats.context_size}")]
    return [(5, f"ctx {stats.context_used}")] if stats.context_used else []


def no_answer(end: End, calling: bool = False) -> str:
    """A sentence about a reply without a word of an answer, and why; "" if there is one, or if it
    was stopped on purpose. `calling`: a call of a tool had begun."""
    if end.message.content or end.message.calls or end.reason == "cancelled":
        return ""
    if end.reason == "stop":
        why = "the model ended its reply with its thought" if end.thought else "the reply was empty"
    else:
        limit = "the context was full" if end.reason == "context" else "the token limit came"
        thinking = end.thought and not calling
        while_ = "in the midst of a call" if calling else "before its first word"
        while_ = "while the model was still thinking" if thinking else while_
        why = f"{limit} {while_}"
    return f"There is no answer: {why}."
