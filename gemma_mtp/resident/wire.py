"""Messages between the resident engine and its clients: JSON objects, a line each.

Both ends use it. Knows sockets; what a message means is `client`'s and `clients`'.
"""

from __future__ import annotations

import json
import selectors
import socket
import threading
from contextlib import suppress
from typing import Any

from gemma_mtp.errors import GemmaMtpError

PIECE = 1 << 16  # bytes read at once
LONGEST = 1 << 28  # bytes of one message; a conversation with pictures is far below

# select() takes no file whose number is above 1023, as a server with many clients has them.
_Waiting = getattr(selectors, "PollSelector", selectors.SelectSelector)

Message = dict[str, Any]


class Disconnected(GemmaMtpError):
    """The other end is gone, or speaks another protocol."""


class Unread(GemmaMtpError):
    """The other end is there, but takes nothing any more."""


class Connection:
    """One end of a connection. `send` may be called by several threads, `receive` by one."""

    def __init__(self, sock: socket.socket, patience: float | None = None) -> None:
        """`patience`: seconds in which the other end has to take a message, None for no limit."""
        self._socket = sock
        sock.settimeout(patience)
        self._sending = threading.Lock()
        self._received = bytearray()
        self._searched = 0  # bytes of it that hold no end of a line

    def send(self, *messages: Message) -> None:
        """Raises Disconnected and Unread; after the latter a part of it may have been sent."""
        data = b"".join(json.dumps(each).encode() + b"\n" for each in messages)
        try:
            with self._sending:
                self._socket.sendall(data)
        except TimeoutError as error:
            raise Unread("Nothing is read any more.") from error
        except OSError as error:
            raise Disconnected("The connection was closed.") from error

    def receive(self, timeout: float | None = None) -> Message | None:
        """The next message; None if there is none within `timeout` seconds. Raises Disconnected."""
        while (end := self._received.find(b"\n", self._searched)) < 0:
            self._searched = len(self._received)
            if timeout is not None and not self._arrives(timeout):
                return None
            self._read()
        line = self._received[:end]
        del self._received[: end + 1]
        self._searched = 0
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Disconnected("The other end speaks another protocol.") from error
        if not isinstance(message, dict):
            raise Disconnected("The other end speaks another protocol.")
        return message

    def _arrives(self, timeout: float) -> bool:
        try:
            with _Waiting() as waiting:
                waiting.register(self._socket, selectors.EVENT_READ)
                return bool(waiting.select(timeout))
        except (OSError, ValueError) as error:  # another thread has closed it
            raise Disconnected("The connection was closed.") from error

    def _read(self) -> None:
        try:
            piece = self._socket.recv(PIECE)
        except TimeoutError:
            return  # `receive` says how long to wait
        except OSError as error:
            raise Disconnected("The connection was closed.") from error
        if not piece or len(self._received) > LONGEST:
            raise Disconnected("The connection was closed.")
        self._received += piece

    def close(self) -> None:
        """Also ends a `receive` that is under way."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
