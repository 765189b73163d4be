"""The pieces of a prompt as token ids.

`prompts` calls it. Knows no tokenizer: that is a function handed in. What a person or a model wrote
never becomes a control token, and each prompt starts with exactly one <bos>.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from gemma_mtp.api import Media
from gemma_mtp.engine.tool_prompt import INSIDE_MARKER, Piece

Tokenize = Callable[[str, bool], list[int]]
"""(text, special) -> ids, never adding <bos> or <eos>; `special`: control tokens are parsed."""

PART = 1 << 12  # characters with control tokens that are tokenized at once

_MARK_LIKE = re.compile(r"<[^\s<>]{1,40}>")


def encode_prompt(pieces: Sequence[Piece], tokenize: Tokenize, bos_id: int) -> list[int | Media]:
    """Token ids of a prompt, with exactly one `bos_id` in front (none if it is negative), and the
    pictures and recordings among them.

    What was generated as tokens that are known keeps them, so that a cache filled meanwhile fits.
    All other content is tokenized as plain text and cannot end its turn or open another.
    """
    ids: list[int | Media] = [bos_id] if bos_id >= 0 else []
    for piece in pieces:
        if piece.medium is not None:
            ids.append(piece.medium)
            continue
        if piece.message is None:
            found = _ids_with_control(piece.text, tokenize)
        elif piece.ids:
            found = list(piece.ids)
        else:
            found = _plain_ids(piece.text, tokenize)
        start = 0
        while start < len(found) and found[start] == bos_id:
            start += 1
        ids += found[start:]
    return ids


def _ids_with_control(text: str, tokenize: Tokenize) -> list[int]:
    """The text in parts that each begin with a control token, at which tokens end in any case."""
    if len(text) <= PART:
        return tokenize(text, True)
    ids: list[int] = []
    start = 0
    for mark in _MARK_LIKE.finditer(text, PART):
        found = mark.start() - start >= PART and tokenize(mark[0], True)
        if found and len(found) == 1 and found != tokenize(mark[0], False):
            ids += tokenize(text[start : mark.start()], True)
            start = mark.start()
    return ids + tokenize(text[start:], True)


def _plain_ids(text: str, tokenize: Tokenize) -> list[int]:
    """`special` off is not enough: llama.cpp still finds user-defined tokens such as <|channel>."""
    return [i for part in INSIDE_MARKER.split(text) if part for i in tokenize(part, False)]
