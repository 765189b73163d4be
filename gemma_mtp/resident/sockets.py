"""How the two ends find each other: a socket in the engine's folder.

Where the system has no such sockets, a port of this machine and a secret in a private file: whoever
can read the folder may talk to the engine, and nobody else.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from gemma_mtp.files import private
from gemma_mtp.resident.identity import SOCKET

PORT = "port"  # the file with the port and the secret
BACKLOG = 64  # clients that may wait to be let in
HELLO = 5.0  # seconds in which a client must show the secret
PATIENCE = 10.0  # seconds until a client is let in; an engine that hangs lets nobody in
SECRET_BYTES = 32

unix = hasattr(socket, "AF_UNIX")
"""Whether the system has sockets in folders; tests turn it off."""


class Listener:
    """The engine's end, open until `close`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / (SOCKET if unix else PORT)
        self._path.unlink(missing_ok=True)
        self._secret = b""
        if unix:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.bind(str(self._path))
            self._socket.listen(BACKLOG)
            return
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self._secret = secrets.token_hex(SECRET_BYTES).encode()
        told = f"{self._socket.getsockname()[1]} {self._secret.decode()}\n"
        with open(private.open_file(self._path, os.O_WRONLY | os.O_TRUNC), "w") as file:
            file.write(told)

    def accept(self) -> socket.socket | None:
        """The next client; None for one that did not know the secret. Raises OSError."""
        client, _ = self._socket.accept()
        if not self._secret:
            return client
        client.settimeout(HELLO)
        shown = b""
        with suppress(OSError):
            while len(shown) < len(self._secret) and (more := client.recv(len(self._secret))):
                shown += more
        if not hmac.compare_digest(shown, self._secret):
            client.close()
            return None
        client.settimeout(None)
        return client

    def close(self) -> None:
        self._path.unlink(missing_ok=True)
        self._socket.close()


def connect(folder: Path) -> socket.socket | None:
    """A connection to the engine of this folder, if one listens."""
    try:
        if os.name == "posix" and folder.stat().st_uid != os.getuid():
            return None  # somebody else has made it, and would be told what is asked
        if unix:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(PATIENCE)
            try:
                client.connect(str(folder / SOCKET))
            except OSError:
                client.close()
                raise
            return client
        port, secret = (folder / PORT).read_text().split()
        client = socket.create_connection(("127.0.0.1", int(port)), PATIENCE)
        client.sendall(secret.encode())
        return client
    except (OSError, ValueError):
        return None


def is_running(folder: Path) -> bool:
    """Whether an engine listens in this folder."""
    client = connect(folder)
    if client is not None:
        client.close()
    return client is not None
