"""What to leave out when a conversation no longer fits the context: whole turns, the oldest first.

Pure; counting tokens is a function handed in. Knows neither engine nor terminal. Used by
`chat.context_overflow`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from gemma_mtp.text import one_line

# What is left out costs an evaluation of all the rest; some room makes that rare.
ROOM = 1 / 4
WARN_AT = 0.8


def turns_to_drop(tokens: Callable[[int], int], turns: int, size: int) -> int | None:
    """How many of the `turns` must go so that the prompt leaves room for a reply.

    `tokens(n)` is the length of the prompt without the n oldest; the last turn always stays. None:
    it does not fit, whatever is left out.
    """
    choices = range(1, turns)
    for goal in (size - int(size * ROOM), size - _least_room(size)):
        at = bisect_left(choices, True, key=lambda n: tokens(n) <= goal)
        if at < len(choices):
            return choices[at]
    return None


def _least_room(size: int) -> int:
    """Tokens of a reply below which leaving turns out would be pointless."""
    return max(size // 16, 8)


def quoted(said: Sequence[str], limit: int = 3) -> str:
    """Turns by what the user said in them, in a line."""
    shown = [f'"{one_line(text, 32)}"' for text in said[:limit]]
    more = len(said) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def is_filling(used: int, size: int) -> bool:
    """Time for a word of warning."""
    return size > 0 and used >= size * WARN_AT
