"""Whether a message is far too long, found out without tokenizing all of it.

llama.cpp takes seconds and some eighty times the memory for a few megabytes of text, and cannot be
interrupted meanwhile. Pure; a tokenizer is a function handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gemma_mtp.api import Message
from gemma_mtp.errors import DoesNotFit

CHARACTERS_PER_TOKEN = 8  # characters a token; few texts have as many
PIECE_CHARACTERS = 1 << 16  # characters tokenized at once


def refuse_far_too_long(
    messages: Sequence[Message], count: Callable[[str], int], size: int
) -> None:
    """Raise DoesNotFit for a message that alone has more than twice the `size` of the context in
    tokens, as `count` counts them. What is short, or only a little too long, is for others."""
    for message in messages:
        if (
            len(message.content) > max(CHARACTERS_PER_TOKEN * size, PIECE_CHARACTERS)
            and not message.tokens
        ):
            _measure(message.content, count, size)


def _measure(text: str, count: Callable[[str], int], size: int) -> None:
    tokens = 0
    for start in range(0, len(text), PIECE_CHARACTERS):
        tokens += count(text[start : start + PIECE_CHARACTERS])
        if tokens > 2 * size:
            whole = tokens * len(text) // min(start + PIECE_CHARACTERS, len(text))
            raise DoesNotFit(
                f"The prompt has about {whole} tokens, and the context holds {size}.",
                tokens=whole,
                size=size,
            )
