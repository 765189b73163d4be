"""What `transfer` needs of whoever sends the bytes of a file; `hub.Blob` is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Body:
    """Bytes from `start` on, of `total` in the whole file (None: not stated).

    Not `ranged`: the server sends the whole file whatever one asks.
    """

    start: int
    total: int | None
    ranged: bool
    chunks: Iterator[bytes]


class Source(Protocol):
    """Where the bytes of one file come from. Threads share it."""

    @property
    def host(self) -> str:
        """Who sends them, for messages."""

    def read(self, start: int, stop: int) -> AbstractContextManager[Body]:
        """The bytes from `start` up to, but without, `stop`.

        Raises TransientError for what may pass, HubError for what will not.
        """
