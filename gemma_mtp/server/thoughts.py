"""What clients say of thinking, in the words of each API, as settings of ours.

Used by the bodies of all dialects. `settings.EFFORTS` says how many tokens an effort is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gemma_mtp.server.errors import Unsupported
from gemma_mtp.settings import EFFORTS


@dataclass(frozen=True)
class Thoughts:
    """Settings under our names, and what the client calls them; none where it does not say."""

    values: tuple[tuple[str, Any], ...] = ()
    called: tuple[tuple[str, str], ...] = ()


def thoughts(*said: tuple[str, Any]) -> Thoughts:
    """What fields mean that a client may have sent, each with its name, the most exact ones first.

    A bool says whether to think, a number is a budget in tokens (below 0: no limit), a text an
    effort. Off means off, whatever else is said; of budgets and efforts the first counts. Raises
    Unsupported for an effort that nobody knows.
    """
    given = [(field, value) for field, value in said if value is not None]
    if any(value is False for _, value in given):
        return Thoughts((("think", False),))
    for field, value in given:
        if value is True:
            continue
        budget = value if isinstance(value, int) else _of_effort(value, field)
        budget = None if budget is not None and budget < 0 else budget
        values = ("think", budget != 0), ("think_budget", budget)
        return Thoughts(values, (("think_budget", field),))
    return Thoughts((("think", True),)) if given else Thoughts()


def _of_effort(word: Any, field: str) -> int | None:
    if not isinstance(word, str) or word not in EFFORTS:
        raise Unsupported(field, f"must be one of {', '.join(EFFORTS)}, not {word}")
    return EFFORTS[word]
