"""The figures of a reply in words: the line below it, the line while it grows, and `/stats`.

Knows what is important where room is short; knows no terminal.
"""

from __future__ import annotations

from gemma_mtp.events import FinishReason, Stats
from gemma_mtp.options import PairInfo

Parts = list[tuple[int, str]]
"""Texts with their importance; the least important go first where they do not all fit."""

_REASONS: dict[FinishReason, str] = {
    "stop": "",
    "length": "token limit",
    "context": "context full",
    "cancelled": "stopped",
}


def number(value: float) -> str:
    """Three figures are enough for a rate."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def percent(value: float) -> str:
    """A share in whole per cent."""
    return f"{value * 100:.0f} %"


def status_parts(stats: Stats) -> Parts:
    """What the line below a growing reply says, each part with its importance."""
    parts = [(9, f"{number(stats.tokens_per_second)} tok/s")] if stats.decode_seconds else []
    if stats.speedup is not None:
        parts.append((8, f"{stats.speedup:.1f}x"))
    if stats.acceptance_rate is not None:
        parts.append((6, f"accepted {percent(stats.acceptance_rate)}"))
    parts.append((4, f"k={stats.draft_length}"))
    return [*parts, (5, _context(stats))]


def summary_parts(stats: Stats, reason: FinishReason) -> Parts:
    """What is said after a reply."""
    parts = [(7, f"{number(stats.tokens_per_second)} tok/s")] if stats.decode_seconds else []
    if stats.speedup is not None:
        parts.append((8, f"{stats.speedup:.2f}x plain ({stats.speedup_basis})"))
    if stats.acceptance_rate is not None:
        parts.append((6, f"accepted {percent(stats.acceptance_rate)}"))
    if stats.drafted and stats.mean_accepted_length is not None:
        parts.append((4, f"{stats.mean_accepted_length:.1f}/round"))
    if stats.rounds:
        parts.append((3, f"k={stats.draft_length}"))
    parts.append((5, _context(stats)))
    if _REASONS[reason]:
        parts.append((9, _REASONS[reason]))
    return parts


def _context(stats: Stats) -> str:
    return f"ctx {stats.context_used}/{stats.context_size}"


def report(last: Stats | None, total: Stats, replies: int, info: PairInfo, width: int) -> list[str]:
    """The lines of `/stats`."""
    lines = ["last reply"] if last else ["nothing was said yet"]
    if last:
        lines += _figures(last) + _histogram(last.accepted_histogram, width)
    if replies > 1:
        lines += [f"session, {replies} replies", *_figures(total)]
        lines += _histogram(total.accepted_histogram, width)
    kv = f"target {_bytes(info.target_kv_bytes)}, drafter {_bytes(info.drafter_kv_bytes)}"
    lines += [f"pair {info.name}", f"  KV cache   {kv}", f"  threads    {info.threads}"]
    if info.plain_reason:
        lines.append(f"  plain      {info.plain_reason}")
    return lines


def _figures(stats: Stats) -> list[str]:
    rate, length = stats.acceptance_rate, stats.mean_accepted_length
    lines = [
        f"  tokens     {stats.completion_tokens} written, {stats.prompt_tokens} read "
        f"({stats.cached_tokens} from the cache)"
    ]
    if stats.decode_seconds:
        lines.append(f"  speed      {number(stats.tokens_per_second)} tok/s")
    if stats.speedup is not None:
        lines.append(f"  speedup    {stats.speedup:.2f}x plain ({stats.speedup_basis})")
    if rate is not None:
        lines.append(f"  accepted   {percent(rate)} ({stats.accepted} of {stats.drafted} drafted)")
    if length is not None:
        each = f"{length:.1f} tokens each, k={stats.draft_length} last"
        lines.append(f"  rounds     {stats.rounds}, {each}")
    lines.append(f"  first      {stats.ttft_seconds:.2f} s to the first token")
    return lines + _time_split(stats)


def _time_split(stats: Stats) -> list[str]:
    """Where the time of the rounds went."""
    if stats.decode_seconds <= 0:
        return []
    known = {
        "draft": stats.draft_seconds,
        "verify": stats.verify_seconds,
        "sampling": stats.sampling_seconds,
    }
    known["other"] = max(stats.decode_seconds - sum(known.values()), 0.0)
    shares = (f"{name} {percent(time / stats.decode_seconds)}" for name, time in known.items())
    return [f"  time       {stats.decode_seconds:.2f} s: {', '.join(shares)}"]


def _histogram(rounds: list[int], width: int) -> list[str]:
    """One bar for each number of accepted drafts."""
    if not any(rounds):
        return []
    room = max(min(width - 24, 40), 4)
    lines = ["  drafts accepted, rounds"]
    for accepted, count in enumerate(rounds):
        bar = "█" * round(room * count / max(rounds)) or ("▏" if count else "")
        lines.append(f"  {accepted:3} {count:6}  {bar}".rstrip())
    return lines


def _bytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count else "0"
