"""When not to ask whether to draft: where asking alone would slow decoding down.

What a decision costs on the processor is nothing beside a plain step of a real model, but not
beside one of a small model. While decisions come out plain, some rounds are left plain without one,
as many as keep decisions to a small share of the time. The controller has one. Knows only numbers.
"""

from __future__ import annotations

from gemma_mtp.decoding.outcome import Round

SHARE = 0.01  # of the time of plain steps, for deciding
WHOLE = 2  # times what is seen before the evaluation; as much passes in learning from the round
MEMORY = 0.9  # weight of the decisions before in what one takes
LONGEST = 16  # rounds


class Rest:
    """Counts the rounds that are not decided on."""

    def __init__(self) -> None:
        self.seconds = 0.0  # that a decision takes
        self._length = self._left = 0

    def is_on(self) -> bool:
        return self._left > 0

    def end(self) -> None:
        """Decide on the next round."""
        self._left = 0

    def is_over_after(self, done: Round, plain_step: float) -> bool:
        """Whether `done` was decided on; if it came out plain, rest longer than last time."""
        if self._left > 0:
            self._left -= 1
            return False
        if done.drafted or done.kept:
            self._length = 0
        else:
            weight = MEMORY if self.seconds else 0.0
            self.seconds = weight * self.seconds + (1 - weight) * WHOLE * done.draft_seconds
            most = min(self.seconds / (SHARE * plain_step), LONGEST)
            self._length = self._left = min(2 * self._length + 1, int(most))
        return True
