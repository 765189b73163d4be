"""Numbers that come to an end: how many digits in a row JSON may have.

Schemas seldom say it, and a model that has begun to repeat a digit may go on without end. The
matcher of a grammar for JSON asks. Knows bytes of JSON, no grammar.
"""

from __future__ import annotations

MOST = 20  # in a row: all numbers of 64 bits have so few, and more than a float tells apart
MOST_OF_EXPONENT = 3  # a float's has no more
QUOTE, ESCAPE = b'"', b"\\"


class Digits:
    """A place in JSON: in a text or not, and how many digits may follow. Goes back as it came."""

    def __init__(self) -> None:
        self._before: list[tuple[bool, bool, int]] = []
        self._in_text, self._escaped, self._left = False, False, MOST

    @property
    def enough(self) -> bool:
        """Whether the number that stands here has as many digits as it may have."""
        return self._left <= 0

    def consume(self, piece: bytes) -> None:
        self._before.append((self._in_text, self._escaped, self._left))
        for byte in piece:
            if self._in_text:
                self._in_text = self._escaped or byte != QUOTE[0]
                self._escaped = byte == ESCAPE[0] and not self._escaped
            elif byte in b"0123456789":
                self._left -= 1
            elif byte not in b"+-":  # which leave it to what stands before them
                self._in_text = byte == QUOTE[0]
                self._left = MOST_OF_EXPONENT if byte in b"eE" else MOST

    def rollback(self, count: int) -> None:
        """Go back by so many pieces."""
        self._in_text, self._escaped, self._left = self._before[-count]
        del self._before[-count:]
