"""A whole chat without a terminal: lines in, everything that was shown out."""

from __future__ import annotations

import io
from pathlib import Path

from support.fakes import FakeConsole, FakeEngine, FakeEnvironment, Script

from gemma_mtp.chat.chat import Chat
from gemma_mtp.chat.loop import converse
from gemma_mtp.conversations.archive import Saved
from gemma_mtp.options import Options
from gemma_mtp.terminal.render import Printer
from gemma_mtp.terminal.screen import Screen

LINE = "400 tok/s · 33 % of drafts accepted · 3 drafts a round · 2 tokens a round · ctx "
BACK = "The message is back on the line; Ctrl-C empties it.\n"


class Talk:
    """A chat fed with lines; `run` returns what a person would have seen."""

    def __init__(
        self,
        *scripts: Script,
        context: int = 8192,
        home: Path | None = None,
        **options: object,
    ) -> None:
        self.console = FakeConsole()
        self.out = self.console.shown
        self.engine = FakeEngine(list(scripts) or [Script()], context)
        self.env = FakeEnvironment(self.engine, home=home)
        printer = Printer(Screen(self.out, self.out, {}))
        chosen = Options().with_values(**options)
        self.chat = Chat(self.env, self.console, printer, chosen)
        self.chat.use(self.env.resolve("tiny", None))

    def run(self, *lines: str | type[BaseException], first: str | None = None) -> str:
        """Everything that is shown until the last of `lines` has been acted on."""
        before = len(self.out.getvalue())
        self.console.lines[:] = lines
        converse(self.chat, first)
        return self.out.getvalue()[before:]

    def show_on(self, out: io.StringIO) -> None:
        """Another screen from now on."""
        self.out = self.console.shown = out
        self.chat.printer = Printer(Screen(out, out, {"TERM": "xterm"}))

    @property
    def said(self) -> list[tuple[str, str]]:
        """What the model gets next time."""
        return [(m.role, m.content) for m in self.chat.conversation.messages()]

    @property
    def offered(self) -> list[str]:
        return self.console.offered

    @property
    def saved(self) -> Saved:
        """This conversation as another process finds it."""
        archive = self.env.archive()
        latest = archive.latest()
        assert latest is not None
        return archive.read(latest)

    @property
    def saved_texts(self) -> list[tuple[str, str]]:
        return [(t.user.content, t.reply.content if t.reply else "") for t in self.saved.turns]
