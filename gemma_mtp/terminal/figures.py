"""The figures of a reply in words: the line below it, the line while it grows, and `/stats`.

Knows what is important where room is short; knows no terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import zip_longest

from gemma_mtp.api import End, FinishReason, PairInfo, Stats
from gemma_mtp.text import byte_size, counted, number, percent

Parts = list[tuple[int, str]]
"""Texts with their importance; the least important go first where they do not all fit."""

ROUGH = 0.05  # of a speedup; what may be further off is given to one place only

_REASONS: dict[FinishReason, str] = {
    "stop": "",
    "length": "token limit",
    "context": "context full",
    "cancelled": "stopped",
}


def length_used(stats: Stats) -> str:
    """The draft length, to one place where it was not the same in all rounds."""
    return f"k={stats.draft_length:.1f}".removesuffix(".0")


def drafting(stats: Stats) -> str:
    """The draft length; where nothing was drafted at all there is none."""
    return length_used(stats) if stats.drafted else "plain"


def factor(stats: Stats) -> str:
    """The speedup as exactly as it is known, where it is known at all."""
    if stats.speedup is None:
        return ""
    rough = stats.speedup_error > ROUGH
    return f"about {stats.speedup:.1f}x" if rough else f"{stats.speedup:.2f}x"


def status_parts(stats: Stats) -> Parts:
    """What the line below a growing reply says, each part with its importance."""
    parts = [(9, f"{number(stats.tokens_per_second)} tok/s")] if stats.decode_seconds else []
    if stats.speedup is not None:
        parts.append((8, f"{stats.speedup:.1f}x"))
    if stats.acceptance_rate is not None:
        parts.append((6, f"accepted {percent(stats.acceptance_rate)}"))
    parts.append((4, drafting(stats)))
    return [*parts, (5, _context(stats))]


def summary_parts(stats: Stats, reason: FinishReason) -> Parts:
    """What is said after a reply."""
    parts = [(7, f"{number(stats.tokens_per_second)} tok/s")] if stats.decode_seconds else []
    if stats.speedup is not None:
        plain = "exact plain" if stats.compared_with == "exact plain" else "plain"
        parts.append((8, f"{factor(stats)} {plain} ({stats.speedup_basis})"))
    if stats.acceptance_rate is not None:
        parts.append((6, f"accepted {percent(stats.acceptance_rate)}"))
    if stats.drafted and stats.mean_accepted_length is not None:
        parts.append((4, f"{stats.mean_accepted_length:.1f}/round"))
    if stats.rounds:
        parts.append((3, drafting(stats)))
    parts.append((5, _context(stats)))
    if _REASONS[reason]:
        parts.append((9, _REASONS[reason]))
    return parts


def _context(stats: Stats) -> str:
    return f"ctx {stats.context_used}/{stats.context_size}"


LABEL, COLUMN = 10, 14  # columns of `/stats`; two of the latter fit into 40
MOST_BARS = 5  # rows of the histogram, so that all fits into 24


def report(last: Stats | None, total: Stats, replies: int, info: PairInfo, width: int) -> list[str]:
    """The lines of `/stats`: the last reply and, after several, the session next to it."""
    if last is None:
        return ["nothing was said yet", *_pair(info)]
    heads = ["last reply"]
    shown = [last]
    if replies > 1:
        heads.append(counted(replies, "reply", "replies"))
        shown.append(replace(total, ttft_seconds=total.ttft_seconds / replies))
    lines = [_row("", heads)]
    for label, cell in _FIGURES.items():
        cells = [cell(stats) for stats in shown]
        if any(cells):
            lines.append(_row(label, cells))
    return [*lines, *_histogram([stats.accepted_histogram for stats in shown], width), *_pair(info)]


def _row(label: str, cells: list[str]) -> str:
    return (f"{label:{LABEL}}" + " ".join(f"{cell:{COLUMN}}" for cell in cells)).rstrip()


def _share(part: Callable[[Stats], float]) -> Callable[[Stats], str]:
    """A part of the time that rounds took, as a share of all of it."""
    return lambda stats: percent(part(stats) / stats.decode_seconds) if _timed(stats) else ""


def _timed(stats: Stats) -> bool:
    return stats.decode_seconds > 0


def _speedup(stats: Stats) -> str:
    return "" if stats.speedup is None else f"{factor(stats)} {stats.speedup_basis}"


def _accepted(stats: Stats) -> str:
    return "" if stats.acceptance_rate is None else percent(stats.acceptance_rate)


def _rounds(stats: Stats) -> str:
    """The number of rounds, and how many tokens each committed on average."""
    length = stats.mean_accepted_length
    return "" if length is None else f"{stats.rounds} of {length:.1f}"


def _threads(stats: Stats) -> str:
    """The numbers of threads that evaluated rounds: several where other programs were busy as
    well."""
    if not stats.threads:
        return ""
    counts = [count for count, rounds in enumerate(stats.threads) if rounds]
    low, high = min(counts), max(counts)
    mostly = max(counts, key=stats.threads.__getitem__)
    return str(high) if low == high else f"mostly {mostly} ({low}-{high})"


_FIGURES: dict[str, Callable[[Stats], str]] = {
    "read": lambda stats: counted(stats.prompt_tokens, "token"),
    " cached": lambda stats: counted(stats.cached_tokens, "token"),
    "written": lambda stats: counted(stats.completion_tokens, "token"),
    "first": lambda stats: f"after {stats.ttft_seconds:.2f} s",
    "speed": lambda stats: f"{number(stats.tokens_per_second)} tok/s" if _timed(stats) else "",
    "speedup": _speedup,
    "drafted": lambda stats: f"{stats.drafted}, {length_used(stats)}" if stats.drafted else "",
    " accepted": _accepted,
    " copied": lambda stats: counted(stats.copied, "token") if stats.copied else "",
    "rounds": _rounds,
    "time": lambda stats: f"{stats.decode_seconds:.2f} s" if _timed(stats) else "",
    " draft": _share(lambda stats: stats.draft_seconds),
    " verify": _share(lambda stats: stats.verify_seconds),
    " sampling": _share(lambda stats: stats.sampling_seconds),
    "threads": _threads,
}


def _histogram(histograms: list[tuple[int, ...]], width: int) -> list[str]:
    """In how many rounds so many drafts were accepted, with bars for the last column."""
    binned = [_binned(rounds) for rounds in histograms]
    if not any(map(any, binned)):
        return []
    lines = [_row("accepted", ["in rounds"])]
    room = min(width - 1 - LABEL - (COLUMN + 1) * len(binned), 40)
    longest = max(binned[-1])
    for bin_, counts in enumerate(zip_longest(*binned, fillvalue=0)):
        more = "+" if bin_ == MOST_BARS - 1 and len(histograms[-1]) > MOST_BARS else ""
        bar = _bar(counts[-1] / longest, room) if room >= 4 and longest else ""
        lines.append(_row(f" {bin_}{more}", [*map(str, counts), bar]))
    return lines


def _binned(rounds: tuple[int, ...]) -> list[int]:
    """Long drafts are one row together."""
    long = rounds[MOST_BARS - 1 :]
    return [*rounds[: MOST_BARS - 1], *([sum(long)] if long else [])]


def _bar(share: float, room: int) -> str:
    return "█" * round(room * share) or ("▏" if share else "")


def _pair(info: PairInfo) -> list[str]:
    kv = f"KV cache {byte_size(info.target_kv_bytes)}, drafter {byte_size(info.drafter_kv_bytes)}"
    most = "up to " if info.adaptive_threads else ""
    lines = [f"{info.name}, {most}{counted(info.threads, 'thread')}", kv]
    if info.plain_reason:
        lines.append(f"plain decoding: {info.plain_reason}")
    return lines


def no_answer(end: End) -> str:
    """A sentence about a reply without a word of an answer, and why; "" if there is one, or if it
    was stopped on purpose."""
    if end.message.content or end.reason == "cancelled":
        return ""
    if end.reason == "stop":
        why = "the model ended its reply with its thought" if end.thought else "the reply was empty"
    else:
        limit = "the context was full" if end.reason == "context" else "the token limit came"
        while_ = "while the model was still thinking" if end.thought else "before its first word"
        why = f"{limit} {while_}"
    return f"There is no answer: {why}."
