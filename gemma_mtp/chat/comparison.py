"""Two replies to one message with one seed: is the text the same, and how fast were they.

Pure: turns in, sentences out.
"""

from __future__ import annotations

from itertools import takewhile

from gemma_mtp.api import Stats, Turn, comparable
from gemma_mtp.terminal.figures import drafts_used
from gemma_mtp.text import number


def compared(before: Turn, after: Turn) -> list[str]:
    """What `/retry` says: about the text, the two speeds, and what to do for more."""
    same, text = _text(before, after)
    lines = [text, *_speeds(before, after)]
    if not same and not before.exact:
        lines.append("The reply before was not in exact mode; another /retry compares two of it.")
    if (len(lines) > 2 or not before.exact) and _drafted(before) != _drafted(after):
        lines.append("Exact mode slows plain decoding down; /race compares the speeds.")
    return lines


def _text(before: Turn, after: Turn) -> tuple[bool, str]:
    old, new = before.answer, after.answer
    if old == new:
        return True, "The text is the same as before."
    same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))))
    broken_off = before.reason != "stop" or after.reason != "stop"
    if broken_off and same == min(len(old), len(new)):
        return True, "The text is the same as before, as far as the shorter one goes."
    return False, f"The text differs after {same} characters."


def _speeds(before: Turn, after: Turn) -> list[str]:
    """Both in rows that fit into 40 columns; nothing where a time is not known, or where one reply
    alone is in exact mode, which slows it down."""
    if before.exact != after.exact:
        return []
    known = [turn.stats for turn in (before, after) if turn.stats and turn.stats.decode_seconds > 0]
    if len(known) < 2:
        return []
    if not all(comparable(stats.decoded, 0.0) for stats in known):
        return ["Too short to compare the speeds."]
    return [_speed("before", known[0]), _speed("now", known[1])]


def _speed(when: str, stats: Stats) -> str:
    trying = "trying drafts" if stats.drafts == "trying" and stats.drafted else "plain"
    mode = "with drafts" if drafts_used(stats) else trying
    return f"{when:6}  {mode:13}  {number(stats.tokens_per_second):>5} tok/s"


def _drafted(turn: Turn) -> bool:
    return turn.stats is not None and drafts_used(turn.stats)
