"""A client of the resident engine, as the engine sees it: what it said, what it gets.

A thread reads what it says and hands what the engine has to do to the engine's own thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gemma_mtp.api import LoadOptions, PairFiles, Request, from_json
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.resident import failures
from gemma_mtp.resident.outbox import Outbox
from gemma_mtp.resident.wire import Connection, Disconnected, Message


@dataclass(frozen=True)
class Wanted:
    """A pair, and how it is to be loaded. `any_layers`: where it is loaded, its layers may be on
    whichever devices they are."""

    files: PairFiles
    options: LoadOptions
    any_layers: bool = False

    @property
    def pair(self) -> Wanted:
        """What has to be loaded for it: a context can be made anew without that."""
        return Wanted(self.files, replace(self.options, context=None))

    def beside(self, loaded: Wanted | None) -> Wanted:
        """The same, with the layers of the pair that is loaded where any will do."""
        if not self.any_layers or loaded is None or loaded.files != self.files:
            return self
        return replace(self, options=replace(self.options, gpu_layers=loaded.options.gpu_layers))


class Client:
    """One connection. `cancel` is set when it wants its reply stopped, and when it is gone."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.cancel = threading.Event()
        self.outbox = Outbox(connection, self.cancel.set)
        self.gone = False
        self.name = ""  # of a client that has a pair; others only ask what there is
        self.party: Hashable = self  # with whom it shares its turns
        self.verbose = False  # it wants to see llama.cpp's log
        # Seconds that its pair stays after a request; below 0 for good, None if it does not matter.
        self.keep_alive: float | None = None
        self.wanted: Wanted | None = None

    @property
    def shown_party(self) -> str:
        """Whom it is for, "" where that is nobody else."""
        return self.party if isinstance(self.party, str) else ""

    def messages(self) -> Iterator[Message]:
        """What it says, until it is gone; ends what it had asked for then."""
        try:
            while (message := self.connection.receive()) is not None:
                yield message
        except Disconnected:
            pass
        finally:
            self.gone = True
            self.cancel.set()
            self.outbox.close()
            self.connection.close()

    def answer(self, value: Any) -> None:
        """The last message about what it asked for."""
        self.outbox.put({"done": value})

    def refuse(self, error: Exception) -> None:
        """The last message about what it asked for: that came of it."""
        self.outbox.put({"error": failures.as_data(error)})


class Engine(Protocol):
    """What clients may ask for. What is enqueued is done by the engine's own thread."""

    def status(self) -> dict[str, Any]: ...
    def stop(self) -> None: ...
    def cancel(self, client: Client) -> None: ...
    def prepare(self, client: Client, request: Any) -> None: ...
    def enqueue(self, client: Client, work: Callable[[], None]) -> None: ...
    def info(self, client: Client) -> None: ...
    def reply(self, client: Client, request: Request) -> None: ...
    def count(self, client: Client, request: Request) -> None: ...
    def unload(self, client: Client) -> None: ...


def serve(client: Client, engine: Engine) -> None:
    """Read what a client says until it is gone."""
    for message in client.messages():
        try:
            _take(client, engine, message)
        except GemmaMtpError as error:
            client.refuse(error)
        except (KeyError, TypeError, ValueError):
            client.refuse(GemmaMtpError("The engine does not understand this client."))


def _take(client: Client, engine: Engine, message: Message) -> None:
    match message["op"]:
        case "hello":
            keep = message["keep_alive"]
            client.name, client.keep_alive = str(message["name"]), keep and float(keep)
            client.verbose = message.get("verbose") is True
            client.party = message.get("party") or client
        case "use":
            files = from_json(PairFiles, message["files"], "files")
            options = from_json(LoadOptions, message["options"], "options")
            client.wanted = Wanted(files, options, message["any_layers"] is True)
        case "cancel":
            engine.cancel(client)
        case "ping":
            client.outbox.put({"pong": True})
        case "status":
            client.answer(engine.status())
        case "stop":
            engine.stop()
            client.answer(None)
        case "info":
            engine.enqueue(client, lambda: engine.info(client))
        case "unload":
            engine.enqueue(client, lambda: engine.unload(client))
        case "reply":
            request = from_json(Request, message["request"], "request")
            engine.enqueue(client, lambda: engine.reply(client, request))
        case "count":
            counted = from_json(Request, message["request"], "request")
            engine.count(client, counted)
        case "prepare":
            engine.prepare(client, message["request"])
        case other:
            raise GemmaMtpError(f'The engine does not know "{other}".')
