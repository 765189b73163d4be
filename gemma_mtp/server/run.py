"""Runs the app on a TCP port until it is told to stop. Called by `serve`."""

from __future__ import annotations

import socket

import uvicorn

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.server.app import make_app
from gemma_mtp.server.engines import Engines

GRACE = 10  # seconds that replies in progress get when the server is told to stop


def listen(host: str, port: int) -> socket.socket:
    """Raises GemmaMtpError where the address cannot be had."""
    try:
        return socket.create_server((host, port), backlog=128, reuse_port=False)
    except OSError as error:
        why = error.strerror or str(error)
        raise GemmaMtpError(
            f"{host}:{port} cannot be listened on: {why}.", "--port takes another one."
        ) from error


def run(engines: Engines, sock: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        make_app(engines),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=GRACE,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[sock])
