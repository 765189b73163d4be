"""Calls of tools as the engine wrote them, for when a client sends them back.

Clients send name and arguments, and most leave out the thought that led to a call. The model is
better off with it, and the cache is found again to the last token where the message is the one that
was generated. `Engines` has one of these; nothing of it outlives the server.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from gemma_mtp.api import Message, Thought

MOST = 4096  # messages, of some kilobytes each: more calls than a conversation has room for


class Remembered:
    """Messages with calls, by the ids of these; used by several threads."""

    def __init__(self) -> None:
        self._messages: OrderedDict[tuple[Path, str], Message] = OrderedDict()
        self._lock = Lock()

    def keep(self, target: Path, message: Message) -> None:
        """Remember what the model in the file `target` has said; the oldest is forgotten."""
        with self._lock:
            self._messages[target, message.calls[0].id] = message
            while len(self._messages) > MOST:
                self._messages.popitem(last=False)

    def restored(self, target: Path, message: Message) -> Message:
        """The message as that model has said it, or else as it is."""
        if message.role != "assistant" or not message.calls:
            return message
        key = target, message.calls[0].id
        with self._lock:
            known = self._messages.get(key)
            if known is None or not _says_the_same(message, known):
                return message
            self._messages.move_to_end(key)
            return known


def _says_the_same(sent: Message, known: Message) -> bool:
    calls = [[(c.id, c.name, _read(c.arguments)) for c in m.calls] for m in (sent, known)]
    thoughts = [[p.text for p in m.parts if isinstance(p, Thought)] for m in (sent, known)]
    same_thought = not thoughts[0] or thoughts[0] == thoughts[1]
    return same_thought and calls[0] == calls[1] and sent.content.strip() == known.content.strip()


def _read(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
