"""A server in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from gemma_mtp.server.app import make_app
from gemma_mtp.server.engines import Engines
from gemma_mtp.server.run import listen


@contextmanager
def serving(engines: Engines) -> Iterator[str]:
    """The address at which they are served meanwhile."""
    sock = listen("127.0.0.1", 0)
    config = uvicorn.Config(make_app(engines), log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
