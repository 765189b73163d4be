"""What `bench` and `verify` ask of a loaded pair: whole replies, each from an empty cache, and its
target and its costs by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event as Flag
from typing import Any, Protocol

from gemma_mtp.api import End, Prefill, Replies, Request
from gemma_mtp.decoding.costs import Costs
from gemma_mtp.decoding.sampler import Row
from gemma_mtp.decoding.transcript import Transcript
from gemma_mtp.errors import BadPair, GemmaMtpError


class Cache(Protocol):
    """What an engine has evaluated, filled without writing a reply, and emptied."""

    @property
    def last_row(self) -> Row | None: ...
    def prefill(
        self, prompt: Transcript, exact: bool = False, lasting: int | None = None
    ) -> Iterator[Prefill]: ...
    def rewind(self, length: int) -> int: ...


class Prompts(Protocol):
    """Makes the prompt of a request, and says how much of it the prompts of later turns share."""

    def of(self, request: Request) -> Transcript: ...
    def lasting(self, request: Request, prompt: Transcript) -> int: ...


class Engine(Replies, Protocol):
    """A loaded pair in this process; its target (see `probe.Target`) can be asked directly."""

    @property
    def pair(self) -> Any: ...
    @property
    def cache(self) -> Cache: ...
    @property
    def prompts(self) -> Prompts: ...
    def prompt(self, request: Request) -> list[int]: ...
    def measure_costs(
        self, max_width: int = 9, repeats: int = 5, progress: Callable[[float], bool] = ...
    ) -> Costs: ...


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
