"""What `bench` and `verify` ask of an engine: one whole reply from an empty cache at a time."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event as Flag
from typing import Protocol

from gemma_mtp.api import DraftSetting, End, Event, PairInfo, Request
from gemma_mtp.errors import BadPair, GemmaMtpError


class Cache(Protocol):
    """What an engine has evaluated."""

    def rewind(self, length: int) -> int: ...


class Engine(Protocol):
    """A loaded pair that writes replies."""

    @property
    def info(self) -> PairInfo: ...
    @property
    def session(self) -> Cache: ...
    def reply(self, request: Request, cancel: Flag | None = None) -> Iterator[Event]: ...


def draft_setting(draft: str) -> DraftSetting:
    """A draft length as the engine takes it, from a word that was checked before."""
    word = draft.strip().lower()
    return "auto" if word == "auto" else 0 if word == "off" else int(word)


def reply_from_empty_cache(engine: Engine, request: Request, cancel: Flag) -> End:
    """The end of one reply, with its reason, tokens and statistics.

    Raises what the engine raises, and `BadPair` where the drafter failed on the way: what follows
    then is plain decoding and says nothing about drafts.
    """
    engine.session.rewind(0)
    *_, end = engine.reply(request, cancel)
    if not isinstance(end, End):
        raise GemmaMtpError("The engine ended the reply without a result.")
    if end.warning:
        raise BadPair(f"Drafting cannot be measured here: {end.warning}")
    return end
