"""A chat in progress: the conversation, the loaded pair, the settings, and what they need.

Holds what verbs and replies act on; how a reply is written is `reply`'s, what is typed
`loop`'s. Knows no keyboard but through `Console`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from gemma_mtp.api import Grammar, Message, Request, Stats, Turn
from gemma_mtp.chat.keeping import keeping
from gemma_mtp.chat.loading import load
from gemma_mtp.chat.parameters import in_chat_words
from gemma_mtp.chat.tools import Tools, meet
from gemma_mtp.conversations.attachments import Attached
from gemma_mtp.conversations.conversation import Conversation
from gemma_mtp.conversations.record import Record
from gemma_mtp.errors import GemmaMtpError, NotCounted
from gemma_mtp.options import Options
from gemma_mtp.settings import View
from gemma_mtp.terminal.render import Printer

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles, Replies
    from gemma_mtp.chat.environment import Environment


NARROW = 72  # columns


def opening_turns(files: PairFiles | None) -> tuple[Turn, ...]:
    """The turns that each conversation with this model begins with."""
    said = files.opening if files else ()
    users, replies = said[::2], said[1::2]
    pairs = zip(users, replies, strict=True)
    return tuple(Turn(user, (reply,), reason="stop") for user, reply in pairs)


class Console(Protocol):
    """What a chat needs of a keyboard. `read` raises EOFError where there is no more; `edit` gives
    None for a text that stayed as it was, `ask` for none of the choices, whose `numbers` are 1, 2
    and so on where they have none of their own."""

    vi: bool

    @property
    def history_on(self) -> bool: ...

    @history_on.setter
    def history_on(self, on: bool) -> None: ...

    def read(self, default: str) -> str: ...

    def edit(self, text: str) -> str | None: ...

    def ask(
        self, question: str, choices: Sequence[str], numbers: Sequence[int] | None = None
    ) -> int | None: ...


class Chat:
    """One person, one conversation, one pair at a time."""

    def __init__(
        self,
        env: Environment,
        console: Console,
        printer: Printer,
        options: Options,
    ) -> None:
        self.env, self.console, self.printer = env, console, printer
        self.options = options
        self.conversation = Conversation(options.system or "")
        self.record = Record(env.archive(), printer.line)
        self.tools = Tools()
        self.form: Grammar | None = None  # what answers have to look like
        self.attached: list[Attached] = []
        self.unsent = ""  # text that the next input line starts with
        self.open = True
        self.files: PairFiles | None = None
        self.loaded_with = self.options
        self.last: Stats | None = None
        self.total = Stats()
        self.replies = 0
        self.warnings: set[str] = set()  # of replies, which are said once
        self.warned = False  # that the context is filling up
        self._engine: Replies | None = None
        self._measured = (self.conversation, 0)
        self.heed_taste()

    def heed_taste(self) -> None:
        """Let screen, keyboard and what is kept be as the options have them."""
        begins = self.options.save and not self.record.saves
        self.record.saves = self.options.save
        if begins:
            self.record.save(self.conversation, self.model)
        self.printer.view = self.options.part(View)
        self.console.vi = self.options.vi
        self.console.history_on = self.options.history and self.options.save
        if self.tools.use(self.options.mcp, self.note) and self._engine is not None:
            meet(self)  # else as soon as a pair is loaded

    @property
    def engine(self) -> Replies:
        """The loaded pair; a load that failed may have left none."""
        if self._engine is None:
            raise GemmaMtpError("No model is loaded.", "/model NAME loads one.")
        return self._engine

    @property
    def loaded(self) -> Replies | None:
        return self._engine

    @property
    def model(self) -> str:
        return self.files.called if self.files else ""

    def use(self, files: PairFiles, *, remember: bool = True) -> None:
        """Load another pair in place of this one, which comes back if that fails."""
        before, loaded_with, system = self.files, self.loaded_with, self.options.system
        self.close()
        try:
            self._load(files, self.options)
        except BaseException:
            if before is not None:
                self._load(before, loaded_with)
            raise
        if before is not None and before != files:
            self.conversation = self.conversation.without_tokens()
        self._begin_anew(before, system or "")
        if remember:
            self.env.remember_used(files.called)

    def _begin_anew(self, before: PairFiles | None, system: str) -> None:
        """Have the system prompt and the first turns that come with the model now, in place of
        those that came with the one `before`; what was typed here stays."""
        now = self.conversation
        if now.system == system:
            now = replace(now, system=self.options.system or "")
        if now.turns == opening_turns(before):
            now = replace(now, turns=opening_turns(self.files))
        self.conversation = now

    def _load(self, files: PairFiles, options: Options) -> None:
        options = files.fill(options)
        self._engine = load(self.env, files, options, self.printer)
        self.loaded_with = options
        self.files = files
        self.options = files.fill(self.options)

    def close(self) -> None:
        """Unload the pair; what it measured is kept for `show`."""
        if self._engine is None:
            return
        if self.files is not None:
            self.env.remember_speed(self.files.name, self.total)
        self._engine.close()
        self._engine, self.files = None, None
        self.last, self.total, self.replies = None, Stats(), 0

    def enlarge(self, context: int) -> None:
        """Have a longer context for the loaded pair, now and when it is loaded again, and say so.

        Raises UsageError and DoesNotFit; then all is as before.
        """
        before = self.engine.info.placement
        self.engine.enlarge(context)
        self.options = self.options.with_values(context=context)
        self.loaded_with = replace(self.loaded_with, context=context)
        info = self.engine.info
        self.note(f"The context holds {info.context_size} tokens now.")
        if (
            info.placement.layers != before.layers
            or info.placement.cpu_experts != before.cpu_experts
        ):
            self.note(f"To make room: {info.placement.in_words(bool(info.drafter_parameters))}.")

    def add_figures(self, stats: Stats) -> None:
        """Add the figures of a reply."""
        self.last, self.total = stats, self.total + stats
        self.replies += 1

    def remember_size(self, used: int) -> None:
        """The conversation as it is now takes `used` tokens."""
        self._measured = (self.conversation, used)

    def prepare(self) -> None:
        """While the person reads and types, let the pair read what comes before the next message.

        After a reply that was broken off the cache is left as it is: /continue goes on from there.
        """
        if self._engine is not None:
            turn = self.conversation.last
            complete = turn is not None and turn.reply is not None and turn.reason == "stop"
            self._engine.prepare(self.request() if complete else None)

    def request(self, draft: Conversation | None = None, options: Options | None = None) -> Request:
        """What the engine gets for the next reply: to the conversation, unless a `draft` of it is
        given, and as the options of the chat have it, unless others are."""
        options = options or self.options
        messages = (draft or self.conversation).messages()
        request = Request.of(messages, options, keeping(self.record, options))
        return replace(request, tools=self.tools.declared(), grammar=self.form)

    def context_used(self) -> int:
        """Tokens of the conversation; counted only when it is not known from a reply."""
        if self._measured[0] is not self.conversation:
            self.remember_size(self._count_tokens())
        return self._measured[1]

    def _count_tokens(self) -> int:
        messages = self.conversation.messages()
        try:
            request = replace(Request.of(messages, self.options), tools=self.tools.declared())
            return self.engine.count(request) if messages else 0
        except Exception:  # a figure for the bar is not worth a word, much less the chat
            return 0

    def tokens(self, text: str) -> int | None:
        """Tokens of a text as part of a message; None where nobody can say."""
        empty, whole = (Request((Message.text("user", t),)) for t in ("", text))
        try:
            return self.engine.count(whole) - self.engine.count(empty)
        except NotCounted:
            return None

    def start_afresh(self, conversation: Conversation | None = None) -> None:
        """Forget the conversation here; on the disk it stays."""
        system, turns = self.conversation.system, opening_turns(self.files)
        self.conversation = conversation or Conversation(system, turns)
        self.record.forget()
        self.warned = False

    def say(self, text: str) -> None:
        """A line for the person."""
        self.printer.line(text)

    def note(self, text: str) -> None:
        """A line that matters less."""
        self.printer.line(text, dim=True)

    @property
    def is_narrow(self) -> bool:
        """Whether a list has no room for more than a name and a few words beside it."""
        return self.printer.screen.width < NARROW

    def list(self, rows: Iterable[tuple[str, str]], width: int = 0) -> None:
        """A line or more for each label, which has `width` columns, and what it is about."""
        from gemma_mtp.terminal import tables

        screen = self.printer.screen
        room = screen.width if screen.notes_shown else tables.ENDLESS
        facts = tables.facts([(f"{label:{width}}", words) for label, words in rows])
        for line in tables.plain_lines(facts, room):
            self.say(line)

    def failed(self, error: Exception, what: str) -> None:
        """Say in a sentence what went wrong; with --verbose also where."""
        if isinstance(error, GemmaMtpError):
            error.hint = in_chat_words(error.hint)
            self.printer.error(error)
        else:
            self.say(f"{what} failed: {error or type(error).__name__}")
        if self.options.verbose and not isinstance(error, GemmaMtpError):
            traceback.print_exc(file=sys.stderr)
