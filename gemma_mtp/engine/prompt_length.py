"""Whether a prompt is far too long, found out without tokenizing or decoding all of it.

llama.cpp takes seconds and some eighty times the memory for a few megabytes of text, and cannot be
interrupted meanwhile. Pure; a tokenizer is a function handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gemma_mtp.api import Request, ToolResult
from gemma_mtp.api.recordings import length_of
from gemma_mtp.errors import DoesNotFit

CHARACTERS_PER_TOKEN = 8  # characters a token; few texts have as many
PIECE_CHARACTERS = 1 << 16  # characters tokenized at once
POSITIONS_PER_SECOND = 25  # that a recording takes


def texts_of(request: Request) -> Iterator[str]:
    """All that was said in the messages of a request, and the tools, a text each.

    What was generated is left out: it fitted once.
    """
    for message in request.messages:
        if not message.tokens:
            yield message.content
            yield from (part.text for part in message.parts if isinstance(part, ToolResult))
            yield from (call.arguments for call in message.calls)
    for tool in request.tools:
        yield tool.description + tool.parameters


def refuse_far_too_long(texts: Iterable[str], count: Callable[[str], int], size: int) -> None:
    """Raise DoesNotFit for a text that alone has more than twice the `size` of the context in
    tokens, as `count` counts them. What is short, or only a little too long, is for others."""
    for text in texts:
        if len(text) > max(CHARACTERS_PER_TOKEN * size, PIECE_CHARACTERS):
            _measure(text, count, size)


def _measure(text: str, count: Callable[[str], int], size: int) -> None:
    tokens = 0
    for start in range(0, len(text), PIECE_CHARACTERS):
        tokens += count(text[start : start + PIECE_CHARACTERS])
        if tokens > 2 * size:
            raise _too_long(tokens * len(text) // min(start + PIECE_CHARACTERS, len(text)), size)


def refuse_hours(request: Request, size: int) -> None:
    """Raise DoesNotFit where the recordings alone take more than twice the `size` of the context:
    each second has to be decoded before anybody knows exactly."""
    data = (part.data for message in request.messages for part in message.audio)
    positions = int(POSITIONS_PER_SECOND * sum(length_of(each) or 0.0 for each in data))
    if positions > 2 * size:
        raise _too_long(positions, size)


def _too_long(tokens: int, size: int) -> DoesNotFit:
    said = f"The prompt has about {tokens} tokens, and the context holds {size}."
    return DoesNotFit(said, tokens=tokens, size=size)
