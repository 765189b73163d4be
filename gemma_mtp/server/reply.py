"""One reply: the engine writes it in a thread, events come over to the event loop.

`Engines.reply` makes it; the dialects read its events.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gemma_mtp.api import End, Event, Loading, PairFiles, PairInfo, Request, Waiting
from gemma_mtp.errors import DoesNotFit, GemmaMtpError
from gemma_mtp.resident.client import ResidentPair
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.errors import RETRY_AFTER, Refused
from gemma_mtp.server.record import Record
from gemma_mtp.server.threads import Pushed

if TYPE_CHECKING:
    from gemma_mtp.server.engines import Engines

LONGEST_REPLY = 3600.0  # seconds; 7,000 tokens at 2 tokens a second, waiting included


@dataclass(frozen=True)
class Opened:
    """A request that can be served: the pair it is for, what the engine gets, and the context that
    it is served with, None for the usual one."""

    files: PairFiles
    request: Request
    pair: ResidentPair
    context: int | None = None


class Reply:
    """A reply that has begun, and its events from the first on."""

    opened: Opened  # there from `begin` on

    def __init__(
        self, engines: Engines, asked: Asked, cancel: threading.Event, record: Record
    ) -> None:
        self._engines, self._asked, self._cancel = engines, asked, cancel
        self._record = record
        self._before: deque[Event] = deque()
        self._latest: Event | None = None
        self._overdue = self._stopped = False
        engines.replies.add(self)
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(LONGEST_REPLY, self._out_of_time)
        self._events = Pushed(self._write)

    def _write(self, put: Callable[[object], None]) -> None:
        """Find the model and have the reply written, once more where the context has to be larger
        for it; in a thread of its own."""
        opened = self._open()
        try:
            return self._put_all(opened, put)
        except DoesNotFit as error:
            if not self._engines.enlarge(self._asked, opened, error):
                raise
            first = error
        finally:
            opened.pair.close()
        opened = self._open()
        try:
            self._put_all(opened, put)
        except DoesNotFit as error:
            if error.tokens:
                raise
            del self._engines.grown[opened.files.name]  # there is not enough memory after all
            first.hint = f"A larger context was tried. {error}"
            raise first from error
        finally:
            opened.pair.close()

    def _open(self) -> Opened:
        opened = self._engines.open(self._asked)
        opened.pair.party = self._record.party
        return opened

    def _put_all(self, opened: Opened, put: Callable[[object], None]) -> None:
        put(opened)
        for event in opened.pair.reply(opened.request, self._cancel):
            if isinstance(event, End):
                self._engines.models.note_use(opened.files.called)
            if isinstance(event, End) and event.message.calls:  # before anybody can answer it
                self._engines.remembered.keep(opened.files.target, event.message)
            put(event)
            if isinstance(event, End):
                _read_ahead(opened, event)

    async def begin(self, patience: float | None) -> None:
        """Wait for the first event that belongs to the reply itself."""
        try:
            opened = await self._events.next()
            assert isinstance(opened, Opened)
            self.opened = opened
            self._record.model = opened.files.called
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    while not self._before or isinstance(self._before[-1], Waiting | Loading):
                        self._before.append(await self._next())
        except BaseException:
            self.close()
            raise

    @property
    def is_waiting(self) -> bool:
        """Whether others are answered first, or the pair is loaded for it."""
        return self._latest is None or isinstance(self._latest, Waiting | Loading)

    @property
    def info(self) -> PairInfo:
        """The pair, as known after the last event."""
        return self.opened.pair.info

    async def __aiter__(self) -> AsyncIterator[Event]:
        try:
            while True:
                event = self._before.popleft() if self._before else await self._next()
                yield event
                if isinstance(event, End):
                    return
        finally:
            self.close()

    async def end(self) -> End:
        """Read it to its end. Raises what the engine raises."""
        last: Event | None = None
        async for event in self:
            last = event
        assert isinstance(last, End)
        return last

    async def _next(self) -> Event:
        try:
            event: Event = await self._events.next()
            while isinstance(event, Opened):  # once more, with a larger context
                self.opened = event
                self._record.note = f"context made larger: {event.context} tokens"
                event = await self._events.next()
        except GemmaMtpError as error:
            self._record.error = error
            raise
        self._latest = event
        if isinstance(event, End):
            event = self._record.end = self._ended(event)
        return event

    def _ended(self, end: End) -> End:
        if end.reason != "cancelled":
            return end
        if self._overdue:
            hours = f"The reply took longer than {LONGEST_REPLY / 3600:.0f} hour and was stopped."
            return replace(end, reason="length", warning=end.warning or hours)
        if self._stopped:
            raise Refused(503, "The server was stopped meanwhile.", "Try again.", "", RETRY_AFTER)
        self._record.left = True
        return end

    def _out_of_time(self) -> None:
        self._overdue = True
        self._cancel.set()

    def stop(self) -> None:
        """The server is being stopped."""
        self._stopped = True
        self._cancel.set()

    def close(self) -> None:
        """Nobody reads any further; may be called again."""
        self._limit.cancel()
        self._cancel.set()
        self._engines.replies.discard(self)


def _read_ahead(opened: Opened, end: End) -> None:
    """In a conversation, let the engine read what the next message will come after, while nobody
    waits. Templates write a reply that is history in another way than one that is being written, so
    that else all of it would be evaluated when the next message comes."""
    messages = opened.request.messages
    goes_on = any(message.role == "assistant" for message in messages[:-1])
    if goes_on and end.reason == "stop" and not end.message.calls:  # these are remembered
        reply = end.message.without_tokens()  # clients send back its text
        opened.pair.prepare(replace(opened.request, messages=(*messages, reply)))
