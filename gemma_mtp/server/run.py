"""Runs the app on a TCP port until it is told to stop. Called by `serve`."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from gemma_mtp.server.connections import Patient
from gemma_mtp.server.engines import Engines

GRACE = 10.0  # seconds that replies in progress get when the server is told to stop
AFTER = 5  # seconds more in which those that were stopped then say so
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(app: ASGIApp, engines: Engines, sock: socket.socket, verbose: bool = False) -> bool:
    """Serve until SIGINT or SIGTERM; whether all went in good order, with no second signal."""
    # Else it says of clients that leave that nothing can be sent to them.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="info" if verbose else "critical",
        access_log=False,
        lifespan="off",
        http=Patient,
        ws="none",
        timeout_graceful_shutdown=int(GRACE) + AFTER,
        server_header=False,
    )
    server = _Server(config, engines)
    server.run(sockets=[sock])
    return not server.force_exit


class _Server(uvicorn.Server):
    """Ends in good order when it is told to: replies in progress get some time, and are stopped
    after it. Told so again, it ends at once."""

    def __init__(self, config: uvicorn.Config, engines: Engines) -> None:
        super().__init__(config)
        self._engines = engines

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # The library's own would send the signal once more in the end, and the status be that of a
        # program that was killed.
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._engines.stopping = True
        limit = asyncio.get_running_loop().call_later(GRACE, self._engines.stop)
        try:
            await super().shutdown(sockets)
        finally:
            limit.cancel()
            self._engines.stop()
