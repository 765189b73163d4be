"""Work that blocks, done in a thread of its own for each request, so that none waits for another.

The engine and the hub are spoken to in this way.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, TypeVar

from gemma_mtp.server.errors import unexpected

Result = TypeVar("Result")

_OVER = object()


class Pushed:
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
    items = Pushed(work)
    while (item := await items.next()) is not _OVER:
        yield item


async def in_thread(work: Callable[[], Result]) -> Result:
    """What `work` returns in a thread of its own; those of the event loop's pool are few, and
    waiting for the engine may take long."""
    result: Result = await Pushed(lambda put: put(work())).next()
    return result
