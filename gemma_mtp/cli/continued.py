"""The latest saved conversation, gone on with by one answer: `chat --continue` in a pipe.

`answer` asks for the prompt and tells how the reply ended. Nothing is saved with --no-save.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from gemma_mtp.api import End, Message, Request
from gemma_mtp.chat.keeping import keeping
from gemma_mtp.conversations.attachments import message_of
from gemma_mtp.conversations.conversation import Conversation, unanswered
from gemma_mtp.conversations.record import Record
from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.terminal.console import note

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.options import Options


class Continued:
    """The conversation as it is saved; `system`, where it is not None, takes the place of its
    system prompt. Raises UsageError where there is none."""

    def __init__(self, env: Environment, options: Options, system: str | None) -> None:
        archive = env.archive()
        id = archive.latest()
        if archive.problem:
            raise GemmaMtpError(archive.problem)
        if id is None:
            raise UsageError("There is no saved conversation to go on with.", "gemma-mtp chat")
        saved = archive.read(id)
        turns, self._waiting = unanswered(saved.turns)
        prompt = saved.system if system is None else system
        self._before = Conversation(prompt, turns, min(saved.skipped, max(len(turns) - 1, 0)))
        self._draft, self._exact = self._before, options.is_exact
        self._record = Record(archive, note)
        self._record.forget(id)
        self._record.saves = options.save
        self.model, self._saved_by = saved.model, saved.model
        note(f"This goes on with: {saved.title}")

    def request(self, said: Message, model: str, options: Options) -> Request:
        """What `model` gets, with what is `said` as the last message. One that had got no reply
        when the chat ended goes before it."""
        before = self._before if model == self._saved_by else self._before.without_tokens()
        earlier = self._waiting or Message("user", ())
        whole = "\n\n".join(filter(None, (earlier.content, said.content)))
        message = message_of((*earlier.media, *said.media), whole)
        self.model, self._draft = model, before.asking(message)
        return Request.of(self._draft.messages(), options, keeping(self._record, options))

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Save the message, and take it back where it gets no reply."""
        self._record.save(self._draft, self.model)
        try:
            yield
        finally:
            turn = self._draft.last
            if turn is not None and turn.reply is None and not self._waiting:
                self._record.save(self._before, self.model)

    def ended(self, end: End) -> None:
        """Save a reply, if there is a word of it."""
        turn = self._draft.last
        if turn is None or not end.message.content:
            return
        turn = replace(turn.with_reply(end.message), thought=end.thought, seed=end.seed)
        turn = replace(turn, exact=self._exact, reason=end.reason, stats=end.stats)
        self._draft = self._draft.with_last(turn)
        self._record.save(self._draft, self.model)
