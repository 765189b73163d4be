"""Two replies to one message with one seed: is the text the same, and how fast were they.

Pure: turns in, sentences out.
"""

from __future__ import annotations

from itertools import takewhile

from gemma_mtp.api import Turn
from gemma_mtp.text import number


def compared(before: Turn, after: Turn) -> list[str]:
    """What `/retry` says: about the text, the two speeds, and a sentence if they may mislead."""
    same, text = _text(before, after)
    speeds = [_speed("before", before), _speed("now", after)]
    lines = [text, *speeds] if all(speeds) else [text]
    if not same and not before.exact:
        return [
            *lines,
            "The reply before was not in exact mode; another /retry compares two of it.",
        ]
    if len(lines) > 1 and _drafted(before) != _drafted(after):
        return [*lines, "Exact mode slows plain decoding down; /race compares the speeds."]
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


def _speed(when: str, turn: Turn) -> str:
    """A row that fits into 40 columns; "" if the time is not known."""
    if turn.stats is None or turn.stats.decode_seconds <= 0:
        return ""
    mode = ("with drafts" if _drafted(turn) else "plain") + (", exact" if turn.exact else "")
    return f"{when:6}  {mode:18}  {number(turn.stats.tokens_per_second):>5} tok/s"


def _drafted(turn: Turn) -> bool:
    return turn.stats is not None and turn.stats.drafted > 0
