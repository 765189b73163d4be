"""What `verify` lets a model write on: a short prompt, one long enough that attention goes over
several hundred tokens, where some kernels take another path, and a question whose answer ends by
itself.

The long one is as long as this pair makes it: a reply to it crosses the end of the ring in which
sliding-window layers keep their keys, where exact mode drafts no further. Knows the engine by its
public face.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemma_mtp.api import Message, Request

if TYPE_CHECKING:
    from gemma_mtp.engine.engine import Engine

LONG_ENOUGH = 400  # tokens; a text of this length counts as long
BEFORE = 24  # tokens of a reply before the end of the ring: enough for several rounds
AFTER = 24  # tokens of it behind that end

_LOG = """Monday. Wind from the west, rain until noon. The lamp was cleaned and the clock was set
by the radio. Two fishing boats went out before light and came home with little.
Tuesday. Calm. The boat with the post brought flour, paraffin, a letter for the cook and a parcel
that nobody had asked for. In it were forty small mirrors and no word of who had sent them.
Wednesday. Fog all day. The horn was sounded every two minutes from six in the morning. A ship
answered once, far away in the south, and was not heard again.
Thursday. The fog went at ten. On the rocks below the stairs lay a red door with a brass handle,
quite whole, and beside it a chair. They were carried up and stand in the kitchen now.
Friday. Clear and cold. The keeper put the mirrors along the wall of the lamp room, and at night
the light was seen from the hills, as the baker told us later by telephone.
Saturday. A woman came on foot at low tide and asked for her door. She would not sit down and she
would not say where the house was. She took the handle with her and left the rest.
"""
LONG = "\n".join([_LOG] * 4)  # for the probe, which only evaluates it


@dataclass(frozen=True)
class Text:
    """`ends`: the reply may end by itself; else it goes on to its full length."""

    name: str
    prompt: str
    ends: bool = False


STORY = Text("story", "Tell me a very long story about a fox.")
QUESTION = Text("question", "What is 2+2?", ends=True)


def texts(engine: Engine, tokens: int) -> tuple[Text, ...]:
    """The prompts for replies of `tokens` tokens by this pair in this context."""
    return STORY, _long(engine, tokens), QUESTION


def _long(engine: Engine, tokens: int) -> Text:
    """Called "ring" where every full reply crosses the ring's end, else "log"."""
    size = engine.info.context_size
    end = _ring_end(engine.pair.target.ring_size, size)
    if end is None:  # at least half of the context is left to the reply
        return Text("log", _log(engine, min(LONG_ENOUGH, size - min(tokens, size // 2) - AFTER)))
    prompt = _log(engine, end - min(BEFORE, tokens // 2))
    crosses = _length(engine, prompt) + tokens > end + 1
    return Text("ring" if crosses else "log", prompt)


def _ring_end(ring: int, context: int) -> int | None:
    """The first end of the ring that is not too near the start; None where the context is smaller
    than the ring."""
    ends = range(ring, context - AFTER, ring)
    return next((end for end in ends if end >= LONG_ENOUGH), ends[-1] if ends else None)


def _log(engine: Engine, longest: int) -> str:
    """A prompt of at most `longest` tokens, with as many words of the log as fit."""
    words = re.findall(r"\S+\s*", _LOG) * (longest // 100 + 1)

    def prompt(count: int) -> str:
        log = "".join(words[:count]).strip()
        return f"This is the log of a lighthouse.\n\n{log}\n\nGo on with the next three weeks."

    counts = range(len(words) + 1)
    fitting = bisect_right(counts, longest, key=lambda count: _length(engine, prompt(count)))
    return prompt(max(fitting - 1, 0))


def _length(engine: Engine, prompt: str) -> int:
    return engine.count(Request((Message.text("user", prompt),)))
