"""Two replies to one message with one seed: is the text the same, and how do the times compare.

Pure: turns in, sentences out.
"""

from __future__ import annotations

from itertools import takewhile

from gemma_mtp.chat.turns import Turn
from gemma_mtp.events import Stats
from gemma_mtp.figures import number


def compared(before: Turn, after: Turn) -> list[str]:
    """What `/retry` says."""
    lines = [_text(before, after)]
    if before.stats and after.stats:
        lines += _times(before.stats, after.stats)
    return lines


def _text(before: Turn, after: Turn) -> str:
    old = before.reply.content if before.reply else ""
    new = after.reply.content if after.reply else ""
    if old == new:
        return "The text is the same as before."
    same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))))
    broken_off = before.reason != "stop" or after.reason != "stop"
    if broken_off and same == min(len(old), len(new)):
        return "The text is the same as before, as far as the shorter one goes."
    return f"The text differs after {same} characters.{_exactness(before)}"


def _exactness(before: Turn) -> str:
    if before.exact:
        return ""
    return (
        " The reply before was not written in exact mode, where near-ties may fall differently;"
        " now /retry compares two exact ones."
    )


def _times(before: Stats, after: Stats) -> list[str]:
    if min(before.decode_seconds, after.decode_seconds) <= 0:
        return []
    lines = [f"  before  {_speed(before)}", f"  now     {_speed(after)}"]
    if bool(before.drafted) != bool(after.drafted):
        plain, drafted = (before, after) if after.drafted else (after, before)
        ratio = drafted.tokens_per_second / plain.tokens_per_second
        lines.append(
            f"With drafts it went at {ratio:.2f} times the speed of plain decoding in exact mode,"
            " which is slower than usual; /race has the fair comparison."
        )
    return lines


def _speed(stats: Stats) -> str:
    mode = "with drafts" if stats.drafted else "plain"
    return f"{mode:11}  {number(stats.tokens_per_second):>5} tok/s  {stats.decode_seconds:.2f} s"
