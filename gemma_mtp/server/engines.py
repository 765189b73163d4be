"""From what a client asks for to the events of a reply, by the resident engine.

Each request is a client of the engine process of its own, so the engine's queue is the only one.
The engine is spoken to in a thread; events come over to the event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from gemma_mtp.api import End, Event, Loading, LoadOptions, PairFiles, PairInfo, Request, Waiting
from gemma_mtp.resident.client import ResidentPair
from gemma_mtp.resident.identity import engine_folder, place
from gemma_mtp.resident.line import ask
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.errors import Refused
from gemma_mtp.settings import KEEP_ALIVE, Options

MOST_WAITING = 64  # requests; more would wait longer than clients do
LATEST = ":latest"  # Ollama's clients write it behind every name

Result = TypeVar("Result")


class Models(Protocol):
    """The models that are here; `Store` is one."""

    def resolve(self, model: str | None, drafter: None = None) -> PairFiles: ...


@dataclass(frozen=True)
class Opened:
    """A request that can be served: the pair it is for, and what the engine gets."""

    files: PairFiles
    request: Request
    pair: ResidentPair


class Engines:
    """Serves requests with the models that are here.

    `served` are the options that `serve` was started with, `default` the model where a client
    names none. `done` is told of every reply that has ended.
    """

    def __init__(
        self,
        models: Models,
        served: Options,
        default: str | None = None,
        done: Callable[[Asked, Opened, End], None] = lambda asked, opened, end: None,
    ) -> None:
        self.models, self.served, self.default = models, served, default
        self.done = done
        self.under_way = 0  # requests that have not ended

    def open(self, asked: Asked) -> Opened:
        """Find the model and make the request; takes disk accesses, so call it in a thread.

        Raises UsageError, ModelNotAvailable and what opening a pair raises.
        """
        files = self.find(asked.model)
        options = asked.options(self.served).for_model(files.sampling)
        return Opened(files, asked.request(options), self._pair(asked, files, options))

    def find(self, model: str | None) -> PairFiles:
        """The pair that a client's name means, the default one where it gives none.

        Raises ModelNotAvailable and UsageError.
        """
        return self.models.resolve((model or "").removesuffix(LATEST) or self.default)

    def _pair(self, asked: Asked, files: PairFiles, options: Options) -> ResidentPair:
        if asked.context:
            options = replace(options, context=asked.context)
        keep = asked.keep_alive
        if keep is None:
            keep = KEEP_ALIVE if options.keep_alive is None else options.keep_alive
        return ResidentPair(engine_folder(), files, options.part(LoadOptions), keep)

    async def load(self, asked: Asked, cancel: threading.Event) -> None:
        """Have the model loaded, for requests to come. Raises as `reply` does."""

        def load() -> None:
            files = self.find(asked.model)
            pair = self._pair(asked, files, asked.options(self.served).for_model(files.sampling))
            try:
                pair.load(lambda fraction: not cancel.is_set())
            finally:
                pair.close()

        await asyncio.to_thread(load)

    def unload(self, name: str) -> None:
        """Have the pair of this name unloaded, if it is loaded, after the reply in progress."""
        status = self.status()
        if status is not None and status["model"] == name:
            ask(place(), "unload")

    def status(self) -> dict[str, Any] | None:
        """What the engine says of itself; None where none runs."""
        found: dict[str, Any] | None = ask(place(), "status")
        return found

    async def reply(self, asked: Asked, cancel: threading.Event) -> Reply:
        """A reply that has begun: what is wrong with a request is raised here, and not in the
        middle of a stream. `cancel` stops it within a round."""
        if self.under_way >= MOST_WAITING:
            raise Refused(503, f"{MOST_WAITING} requests wait already.", "Try later.", "", 10)
        self.under_way += 1
        try:
            opened = await asyncio.to_thread(self.open, asked)
            events = self._events(asked, opened, cancel)
            before: list[Event] = []
            try:
                async for event in events:
                    before.append(event)
                    if not isinstance(event, Waiting | Loading):
                        break
            except BaseException:
                await events.aclose()
                raise
            return Reply(opened, before, events)
        except BaseException:
            self.under_way -= 1
            raise

    async def _events(
        self, asked: Asked, opened: Opened, cancel: threading.Event
    ) -> AsyncGenerator[Event]:
        def write(put: Callable[[Event], None]) -> None:
            for event in opened.pair.reply(opened.request, cancel):
                put(event)

        try:
            async with aclosing(pushed(write)) as all:
                async for event in all:
                    if isinstance(event, End):
                        self.done(asked, opened, event)
                    yield event
        finally:
            cancel.set()
            self.under_way -= 1
            opened.pair.close()

    async def count(self, asked: Asked) -> int:
        """Tokens of the prompt. Raises as `reply` does."""

        def count() -> int:
            opened = self.open(asked.without_values())
            try:
                return opened.pair.count(opened.request)
            finally:
                opened.pair.close()

        return await asyncio.to_thread(count)


class Reply:
    """A reply that has begun, and its events from the first on."""

    def __init__(self, opened: Opened, before: list[Event], events: AsyncGenerator[Event]) -> None:
        self.opened = opened
        self._before, self._events = before, events

    @property
    def info(self) -> PairInfo:
        """The pair, as known after the last event."""
        return self.opened.pair.info

    async def __aiter__(self) -> AsyncIterator[Event]:
        async with aclosing(self._events) as events:
            for event in self._before:
                yield event
            async for event in events:
                yield event

    async def end(self) -> End:
        """Read it to its end. Raises what the engine raises."""
        last: Event | None = None
        async for event in self:
            last = event
        assert isinstance(last, End)
        return last


_OVER = object()


async def pushed(work: Callable[[Callable[[Result], None]], None]) -> AsyncGenerator[Result]:
    """What `work`, in a thread of its own, hands to the function that it gets; then what it
    raises."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Any] = asyncio.Queue()

    def put(item: object) -> None:
        with suppress(RuntimeError):  # the loop is closed, nobody listens
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def run() -> None:
        try:
            work(put)
        except Exception as error:
            put(error)
        put(_OVER)

    threading.Thread(target=run, daemon=True).start()
    while (item := await queue.get()) is not _OVER:
        if isinstance(item, Exception):
            raise item
        yield item
