"""From what a client asks for to the events of a reply, by the resident engine.

Each request is a client of the engine process of its own, so the engine's queue is the only one.
The engine is spoken to in a thread of its own for each request; events come over to the event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from gemma_mtp.api import End, Event, Loading, LoadOptions, PairFiles, PairInfo, Request, Waiting
from gemma_mtp.errors import DoesNotFit, GemmaMtpError, ModelNotAvailable
from gemma_mtp.models.larger_context import larger_context
from gemma_mtp.models.machine import this_machine
from gemma_mtp.models.store import Store, looks_like_path
from gemma_mtp.resident.client import ResidentPair
from gemma_mtp.resident.identity import engine_folder, place
from gemma_mtp.resident.line import ask
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.errors import Refused, unexpected
from gemma_mtp.server.record import Record
from gemma_mtp.settings import KEEP_ALIVE, Options

MOST_WAITING = 64  # requests; more would wait longer than clients do
RETRY_AFTER = 10  # seconds after which one that found the queue full may try again
LONGEST_REPLY = 3600.0  # seconds; 7,000 tokens at 2 tokens a second, waiting included
LATEST = ":latest"  # Ollama's clients write it behind every name

Result = TypeVar("Result")


@dataclass(frozen=True)
class Opened:
    """A request that can be served: the pair it is for, what the engine gets, and the context that
    it is served with, None for the usual one."""

    files: PairFiles
    request: Request
    pair: ResidentPair
    context: int | None = None


class Engines:
    """Serves requests with the models that are here.

    `served` are the options that `serve` was started with, `default` the model where a client
    names none.
    """

    def __init__(self, models: Store, served: Options, default: str | None = None) -> None:
        self.models, self.served, self.default = models, served, default
        self.replies: set[Reply] = set()  # those that have not ended
        self.grown: dict[str, int] = {}  # context sizes, by model, that prompts made necessary
        self.stopping = False

    def find(self, model: str | None) -> PairFiles:
        """The pair that a client's name means, the default one where it gives none; accesses the
        disk, so call it in a thread. No client learns of other files than the one that `serve` was
        started with.

        Raises ModelNotAvailable, UsageError and BadPair.
        """
        default = partial(self.models.resolve, self.default, self.served.drafter)
        name = (model or "").removesuffix(LATEST)
        if not name or name == self.default:
            return default()
        if self.is_file(name):
            if default().name != name:
                raise no_file(name)
            return default()
        found = self.models.resolve(name)
        if self.served.drafter is not None and found.name == default().name:
            return default()  # with the drafter that `serve` was given for it
        return found

    def is_file(self, name: str) -> bool:
        """Whether a name is that of a file, which may be there or not."""
        return looks_like_path(self.models.meant(name).name)

    def open(self, asked: Asked) -> Opened:
        """Find the model and make the request; call it in a thread.

        Raises UsageError, ModelNotAvailable and what opening a pair raises.
        """
        files = self.find(asked.model)
        options = self._options(asked, files)
        pair = self._pair(asked, files, options)
        return Opened(files, asked.request(options), pair, options.context)

    def _options(self, asked: Asked, files: PairFiles) -> Options:
        options = asked.options(self.served).for_model(files.sampling)
        context = max(asked.context or 0, self.grown.get(files.name, 0), options.context or 0)
        return replace(options, context=context or None)

    def _pair(self, asked: Asked, files: PairFiles, options: Options) -> ResidentPair:
        keep = asked.keep_alive
        if keep is None:
            keep = KEEP_ALIVE if options.keep_alive is None else options.keep_alive
        return self.connect(files, options.part(LoadOptions), keep)

    def connect(self, files: PairFiles, loading: LoadOptions, keep: float) -> ResidentPair:
        """A client of the resident engine; tests have another one."""
        return ResidentPair(engine_folder(), files, loading, keep)

    async def load(self, asked: Asked, cancel: threading.Event) -> None:
        """Have the model loaded, for requests to come. Raises as `reply` does."""

        def load() -> None:
            files = self.find(asked.model)
            pair = self._pair(asked, files, self._options(asked, files))
            try:
                pair.load(lambda fraction: not cancel.is_set())
            finally:
                pair.close()

        await in_thread(load)

    def enlarge(self, asked: Asked, opened: Opened, error: DoesNotFit) -> bool:
        """Whether the context of this pair is larger from now on, so that the prompt fits: where
        neither `serve` nor the client said how large it is to be, and model and memory allow it."""
        if not error.tokens or asked.context or self.served.context:
            return False
        opened.pair.load(lambda fraction: True)  # for its size; it is loaded
        size = larger_context(this_machine, opened.pair.info, error.tokens)
        if isinstance(size, str):
            error.hint = f"The context cannot be made larger: {size}."
            return False
        self.grown[opened.files.name] = max(size, self.grown.get(opened.files.name, 0))
        return True

    def unload(self, name: str) -> None:
        """Have the pair of this name unloaded, if it is loaded, after the reply in progress."""
        status = self.status()
        if status is not None and status["model"] == name:
            ask(place(), "unload")

    def status(self) -> dict[str, Any] | None:
        """What the engine says of itself; None where none runs."""
        found: dict[str, Any] | None = ask(place(), "status")
        return found

    async def reply(
        self, asked: Asked, cancel: threading.Event, record: Record, patience: float | None = None
    ) -> Reply:
        """A reply that has begun, or of which nothing was heard for `patience` seconds: what is
        wrong with a request is raised here, and not in the middle of a stream, unless it comes out
        later than that. `cancel` stops it within a round. What becomes of it is noted in `record`.
        """
        if self.stopping:
            raise Refused(503, "The server is being stopped.", "Try again.", "", RETRY_AFTER)
        if len(self.replies) >= MOST_WAITING:
            raise Refused(
                503, f"{MOST_WAITING} requests wait already.", "Try later.", "", RETRY_AFTER
            )
        record.passed_over, record.model = asked.ignored, asked.model or ""
        reply = Reply(self, asked, cancel, record)
        record.closing.append(reply.close)
        await reply.begin(patience)
        return reply

    async def count(self, asked: Asked) -> int:
        """Tokens of the prompt. Raises as `reply` does."""

        def count() -> int:
            opened = self.open(asked.without_values())
            try:
                return opened.pair.count(opened.request)
            finally:
                opened.pair.close()

        return await in_thread(count)

    def stop(self) -> None:
        """Stop the replies in progress, and take no more requests."""
        self.stopping = True
        for reply in list(self.replies):
            reply.stop()


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
        self._events = _Pushed(self._write)

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
            put(event)
            if isinstance(event, End):
                _read_ahead(opened, event)

    async def begin(self, patience: float | None) -> None:
        """Wait for the first event that belongs to the reply itself."""
        try:
            opened = await self._events.next()
            assert isinstance(opened, Opened)
            self.opened = opened
            self._record.model = opened.files.name
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
    if goes_on and end.reason == "stop":
        reply = end.message.without_tokens()  # clients send back its text
        opened.pair.prepare(replace(opened.request, messages=(*messages, reply)))


def no_file(name: str) -> ModelNotAvailable:
    """The error about a file that is named, whether it is there or not."""
    hint = "A file is served where it is named: gemma-mtp serve FILE"
    return ModelNotAvailable(f'There is no model called "{name}".', hint)


_OVER = object()


class _Pushed:
    """What a thread of its own puts, for one reader on the event loop."""

    def __init__(self, work: Callable[[Callable[[Any], None]], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def _run(self, work: Callable[[Callable[[Any], None]], None]) -> None:
        try:
            work(self._put)
        except Exception as error:
            self._put(error)
        self._put(_OVER)

    def _put(self, item: object) -> None:
        with suppress(RuntimeError):  # the loop is closed, nobody listens
            self._loop.call_soon_threadsafe(self._queue.put_nowait, item)

    async def next(self) -> Any:
        """The next item. Raises what was raised in the thread, as a GemmaMtpError."""
        item = await self._queue.get()
        if isinstance(item, Exception):
            raise unexpected(item) from item
        return item


async def pushed(work: Callable[[Callable[[Result], None]], None]) -> AsyncGenerator[Result]:
    """What `work`, in a thread of its own, hands to the function that it gets; then what it
    raises."""
    items = _Pushed(work)
    while (item := await items.next()) is not _OVER:
        yield item


async def in_thread(work: Callable[[], Result]) -> Result:
    """What `work` returns in a thread of its own; those of the event loop's pool are few, and
    waiting for the engine may take long."""
    result: Result = await _Pushed(lambda put: put(work())).next()
    return result
