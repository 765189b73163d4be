"""What a client needs of an engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

from gemma_mtp.api.events import Event
from gemma_mtp.api.pair import PairInfo
from gemma_mtp.api.request import Request


class Engine(Protocol):
    """What a reply needs of a loaded pair."""

    @property
    def info(self) -> PairInfo: ...

    def reply(self, request: Request, cancel: threading.Event) -> Iterator[Event]: ...

    def prompt(self, request: Request) -> list[int]: ...

    def prepare(self, request: Request | None) -> None: ...

    def close(self) -> None: ...
