"""A pair in the resident engine, used as if it were loaded here.

The commands that answer and chat have one; whoever measures loads a pair of its own.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gemma_mtp import __version__
from gemma_mtp.api import (
    DEFAULT_CONTEXT,
    ROOM_TO_REPLY,
    End,
    Event,
    Loading,
    LoadOptions,
    Message,
    PairFiles,
    PairInfo,
    Request,
    Stats,
    from_json,
    to_json,
)
from gemma_mtp.errors import Cancelled, GemmaMtpError
from gemma_mtp.resident.line import Line, never
from gemma_mtp.resident.start import LOG, connect_or_start
from gemma_mtp.resident.wire import Disconnected


class EngineDied(GemmaMtpError):
    """The process that holds the model is gone; the next request starts another one."""


class ResidentPair:
    """Keeps the promises of `Replies`."""

    def __init__(
        self,
        folder: Path,
        files: PairFiles,
        options: LoadOptions,
        keep: float | None = None,
        party: str = "",
        any_layers: bool = False,
    ) -> None:
        """`keep`: seconds that the pair stays loaded after a request, below 0 for good; None
        leaves that to those who say it. `party`: whom it is for, where that is one of several who
        each may have several requests; they take turns. `any_layers`: a pair that is loaded is
        used as it is, however many of its layers are on the GPU."""
        self._folder, self._files = folder, files.bare
        self._options = replace(options, verbose=False)  # who sees the log is no matter of loading
        name = " ".join(["gemma-mtp", *sys.argv[1:2]])
        self._greeting = {
            "op": "hello",
            "name": name,
            "keep_alive": keep,
            "verbose": options.verbose,
        }
        self.party, self._any_layers = party, any_layers
        self._line: Line | None = None
        self._info: PairInfo | None = None

    def load(self, progress: Callable[[float], bool]) -> None:
        """Have the engine load the pair. Raises what loading raises, and EngineDied."""
        fraction = 0.0
        for event in self._ask("info", lambda: not progress(fraction)):  # noqa: B023
            fraction = event.fraction if isinstance(event, Loading) else fraction
        self._keep_info()

    @property
    def info(self) -> PairInfo:
        assert self._info is not None
        return self._info

    def reply(self, request: Request, cancel: threading.Event) -> Iterator[Event]:
        request.check()
        try:
            for event in self._ask("reply", cancel.is_set, request=to_json(request)):
                if isinstance(event, End):
                    self._remember_need(event.stats)
                yield event
            self._keep_info()
        except Cancelled:  # before its turn, or while the pair was loaded for it
            nothing = Message.text("assistant", "")
            size = self._info.context_size if self._info else 0  # not loaded yet
            yield End("cancelled", nothing, "", (), request.seed or 0, Stats(context_size=size))

    def count(self, request: Request) -> int:
        for _ in self._ask("count", request=to_json(request)):
            pass
        assert self._line is not None
        return int(self._line.answer)

    def prepare(self, request: Request | None) -> None:
        with suppress(GemmaMtpError):
            self._open().send(self._wanted(), {"op": "prepare", "request": to_json(request)})

    def stay(self, keep: float) -> None:
        """Have the pair stay loaded for so many seconds after each request from now on."""
        self._greeting["keep_alive"] = keep
        with suppress(GemmaMtpError):  # a new connection begins with the greeting
            self._open().send({**self._greeting, "party": self.party})

    def enlarge(self, context: int) -> None:
        before = self._options
        self._options = replace(before, context=max(context, before.context or 0))
        try:
            self.load(lambda fraction: True)
        except BaseException:
            self._options = before
            raise

    def _remember_need(self, stats: Stats) -> None:
        """Who has used more than was asked for, since another one had a larger context made, needs
        that from now on."""
        if stats.context_used + ROOM_TO_REPLY > (self._options.context or DEFAULT_CONTEXT):
            self._options = replace(self._options, context=stats.context_size)

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = None

    def _keep_info(self) -> None:
        assert self._line is not None
        self._info = from_json(PairInfo, self._line.answer)

    def _ask(self, op: str, cancelled: Callable[[], bool] = never, **more: Any) -> Iterator[Event]:
        """Ask; once more where an engine ended without taking notice, and not by a crash that is
        known to be one."""
        for again in (False, True):
            begun = False
            line = self._open()
            try:
                line.send(self._wanted())
                for event in line.ask(op, cancelled, **more):
                    begun = True
                    yield event
                return
            except Disconnected as error:
                if begun or again or line.has_crashed():
                    raise self._died(line) from error
            finally:
                if line.waits:  # nobody reads the rest; the engine stops when the line is cut
                    self.close()

    def _died(self, line: Line) -> EngineDied:
        hint, log = "Another one starts when it is needed", self._folder / LOG
        with suppress(OSError):
            hint += f"; {log} may say why" if log.stat().st_size else ""
        how = f"The process that holds the model has ended {line.how_it_ended()}"
        return EngineDied(f"{how.rstrip()}.", f"{hint}.")

    def _open(self) -> Line:
        """The connection; a new one where the engine has ended since it was last used."""
        if self._line is not None:
            with suppress(Disconnected):
                self._line.check()
                return self._line
        self._line = self._connected()
        with suppress(Disconnected):  # already; what is asked next finds it out
            self._line.send({**self._greeting, "party": self.party})
        return self._line

    def _wanted(self) -> dict[str, Any]:
        return {
            "op": "use",
            "files": to_json(self._files),
            "options": to_json(self._options),
            "any_layers": self._any_layers,
        }

    def _connected(self) -> Line:
        """To an engine of this version of the program; one of another makes room for it."""
        while True:
            line = Line(connect_or_start(self._folder))
            if line.is_new:
                return line
            with suppress(Disconnected):
                for _ in line.ask("status"):
                    pass
                if line.answer["version"] == __version__:
                    return line
                line.send({"op": "stop"})
                line.wait_for_end()
