"""The tools of a chat: from which servers, which of them are on, and which may run unasked.

Belongs to a `Chat`; nothing is a tool here that the person did not name in a file of servers.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from gemma_mtp.errors import UsageError
from gemma_mtp.terminal.interrupts import stoppable
from gemma_mtp.text import counted

if TYPE_CHECKING:
    from gemma_mtp.api import Tool
    from gemma_mtp.chat.chat import Chat
    from gemma_mtp.files.reading import Say
    from gemma_mtp.tools.offered import Offered
    from gemma_mtp.tools.results import Outcome
    from gemma_mtp.tools.servers import Servers


class Tools:
    """Those of the servers of one file, or none."""

    def __init__(self) -> None:
        self.off: set[str] = set()
        self.unasked: set[str] = set()  # may run without a question
        self._file: str | None = None
        self._servers: Servers | None = None

    def use(self, file: str | None, say: Say) -> bool:
        """Start the servers of `file` in place of those before, and return at once; whether there
        are others now. Raises GemmaMtpError and changes nothing."""
        if file == self._file:
            return False
        servers = _started(file, say) if file else None
        self.close()
        self._file, self._servers = file, servers
        return True

    def close(self) -> None:
        """End all servers."""
        if self._servers is not None:
            self._servers.close()
        self._file, self._servers = None, None
        self.off.clear()
        self.unasked.clear()

    def all(self) -> list[Offered]:
        """The tools there are, whether they are on or off."""
        return self._servers.tools() if self._servers else []

    def find(self, name: str) -> Offered | None:
        """The tool of that name, if it is on."""
        return next((t for t in self.all() if t.name == name and name not in self.off), None)

    def declared(self) -> tuple[Tool, ...]:
        """What the model gets to know."""
        return tuple(each.tool for each in self.all() if each.name not in self.off)

    def call(
        self, tool: Offered, arguments: dict[str, object], cancel: threading.Event
    ) -> Outcome | None:
        """What came of a call; None if it was stopped."""
        assert self._servers
        return self._servers.call(tool, arguments, cancel)

    def news(self) -> list[str]:
        """Sentences about servers that have gone or were started again, each once."""
        return self._servers.news() if self._servers else []

    def wait(self, cancel: threading.Event) -> bool:
        """Until all servers have said what tools they have; False if it was stopped."""
        return self._servers is None or self._servers.wait(cancel)

    def waiting(self) -> list[str]:
        """The servers that have not said so yet."""
        return self._servers.waiting() if self._servers else []


def _started(file: str, say: Say) -> Servers:
    from gemma_mtp.tools.server_config import read_config
    from gemma_mtp.tools.servers import Servers

    try:
        path = Path(file).expanduser()
    except RuntimeError as error:
        raise UsageError(f"There is no user of that name: {file}.") from error
    configs = read_config(path, say)
    for config in configs:
        if keys := ", ".join(config.unknown):
            say(f"In {path}, {config.name} has keys that mean nothing here: {keys}.")
    return Servers(configs)


def meet(chat: Chat) -> None:
    """Wait for the servers that were started, and say which tools there are; Ctrl-C goes on
    without those that have not answered."""
    tools = chat.tools
    if waiting := tools.waiting():
        chat.printer.screen.transient(f"starting {', '.join(waiting)}; Ctrl-C goes on without")
        with stoppable(raising=False) as cancel:
            if not tools.wait(cancel):
                chat.note(f"Not waited for: {', '.join(tools.waiting())}.")
        chat.printer.screen.transient("")
    tell(chat)
    servers: dict[str, int] = {}
    for each in tools.all():
        servers[each.server] = servers.get(each.server, 0) + 1
    if servers:
        listed = ", ".join(f"{counted(n, 'tool')} of {name}" for name, n in servers.items())
        chat.note(f"The model may ask for {listed}; /tools lists them.")


def tell(chat: Chat) -> None:
    """Say which servers have gone or were started again."""
    for said in chat.tools.news():
        chat.say(said)
