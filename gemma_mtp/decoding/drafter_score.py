"""How often each of two drafters guessed right, and which one that speaks for.

`trial` counts; the engine, and who remembers what came of it, ask. Knows only numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

ENOUGH = 100  # tokens; a drafter for other weights is right in far fewer of them


@dataclass
class Score:
    """Of so many tokens each of the two guessed so many right; kept from one reply to the next."""

    tokens: int = 0
    first: int = 0
    second: int = 0

    @property
    def is_decided(self) -> bool:
        return self.tokens >= ENOUGH

    @property
    def second_is_better(self) -> bool:
        """Of two that are equally good the first one stays, which is loaded."""
        return self.second > self.first

    def said(self, first: str, second: str) -> str:
        """A sentence about which of the two is kept, and why; they are called so."""
        kept = second if self.second_is_better else first
        return (
            f"Of two drafters that fit, {first} guessed {self.first} of {self.tokens} tokens right "
            f"and {second} {self.second}; {kept} is kept."
        )
