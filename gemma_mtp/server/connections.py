"""Connections that wait for a request, closed after a time. Used by `run`.

uvicorn itself waits for ever where half a header has come, or where nothing has.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 30.0
"""In which the header of a request must have come, and what is left of a body that was refused."""


class Patient(H11Protocol):
    """One connection. While no request on it is being answered, its time runs."""

    seconds = HEADER_SECONDS  # tests wait less
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def _watch(self) -> None:
        """Start the time, unless it runs; stop it where there is a request."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._limit is None and not self.transport.is_closing():
            self._limit = self.loop.call_later(self.seconds, self.transport.close)

    def _stop(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
