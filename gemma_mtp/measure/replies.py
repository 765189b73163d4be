"""One whole reply from an empty cache: what `bench` and `verify` measure and compare."""

from __future__ import annotations

from threading import Event as Flag
from typing import TYPE_CHECKING

from gemma_mtp.api import End, Request
from gemma_mtp.errors import BadPair, GemmaMtpError

if TYPE_CHECKING:
    from gemma_mtp.engine.engine import Engine


def reply_from_empty_cache(engine: Engine, request: Request, cancel: Flag) -> End:
    """The end of one reply, with its reason, tokens and statistics.

    Raises what the engine raises, and `BadPair` where the drafter failed on the way: what follows
    then is plain decoding and says nothing about drafts.
    """
    engine.cache.rewind(0)
    *_, end = engine.reply(request, cancel)
    if not isinstance(end, End):
        raise GemmaMtpError("The engine ended the reply without a result.")
    if end.warning:
        raise BadPair(f"Drafting cannot be measured here: {end.warning}")
    return end
