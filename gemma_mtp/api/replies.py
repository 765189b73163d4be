"""What a client needs of an engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

from gemma_mtp.api.events import Event
from gemma_mtp.api.pair import PairInfo
from gemma_mtp.api.request import Request


class Replies(Protocol):
    """What a client needs of an engine, whether it is loaded here or another process has it."""

    @property
    def info(self) -> PairInfo: ...

    def reply(self, request: Request, cancel: threading.Event) -> Iterator[Event]:
        """Write one reply; `End` is the last event, also when `cancel` is set meanwhile.

        Raises UsageError for a request that fails its `check`, and DoesNotFit.
        """

    def count(self, request: Request) -> int:
        """Tokens of the prompt that `request` amounts to. Raises UsageError, DoesNotFit for a
        message that is far too long to be tokenized, and NotCounted where a server does not say."""

    def prepare(self, request: Request | None) -> None:
        """Read ahead what the prompt after `request` will begin with; for None, leave off."""

    def enlarge(self, context: int) -> None:
        """Have a context of at least so many tokens, without loading the weights again.

        Raises UsageError for more than the model holds, and DoesNotFit: then all is as before.
        """

    def close(self) -> None: ...
