"""The saved side of a chat: every step goes to the archive, and no failure there ends the chat.

Knows which saved conversation this is; what a file looks like is the archive's business.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from gemma_mtp.api import Turn
from gemma_mtp.conversations import tables
from gemma_mtp.conversations.conversation import Conversation
from gemma_mtp.conversations.tables import Saved
from gemma_mtp.conversations.titles import first_said, title_of
from gemma_mtp.errors import GemmaMtpError

if TYPE_CHECKING:
    from gemma_mtp.conversations.archive import Archive


class Record:
    """Saves one conversation after another; a problem is said once.

    While `saves` is off nothing of it reaches the disk, not even of one that was saved before.
    """

    def __init__(self, archive: Archive, say: Callable[[str], None]) -> None:
        self.archive = archive
        self.id: int | None = None
        self.saves = True
        self._say = say
        self._title = ""
        self._told: set[str] = set()

    def save(self, conversation: Conversation, model: str) -> None:
        """Keep the whole conversation; one without a message is not worth keeping."""
        if not self.saves:
            return
        turns, system, skipped = conversation.turns, conversation.system, conversation.skipped
        before = self.id
        if before is None and turns:
            self.id = self.archive.add(
                turns, model=model, system=system, skipped=skipped, title=self._title
            )
        elif before is not None:
            self.id = self.archive.save(before, turns, model=model, system=system, skipped=skipped)
            if self.id != before:
                self._say(
                    "Another chat went on with this conversation, or deleted it; "
                    f"yours is saved as one of its own, number {self.id} in /chats."
                )
        self.tell()

    def as_saved(self, conversation: Conversation, model: str) -> Saved:
        """The conversation as it is in this chat, with title and times from the file, if it can be
        read."""
        first = first_said(conversation.turns)
        now = tables.now()
        known = Saved(0, self._title or title_of(first), "", "", now, now, ())
        if self.id is not None:
            with suppress(GemmaMtpError):
                known = self.archive.read(self.id)
        return replace(
            known,
            model=model or known.model,
            system=conversation.system,
            turns=conversation.turns,
        )

    def progress(self, number: int, turn: Turn) -> None:
        """Keep what is written so far of the reply in turn `number`."""
        if self.saves and self.id is not None:
            self.archive.progress(self.id, number, turn)

    def name(self, title: str) -> None:
        """Give the conversation a title, once it is saved."""
        self._title = title
        if self.saves and self.id is not None:
            self.archive.rename(self.id, title)
            self.tell()

    def forget(self, id: int | None = None) -> None:
        """From now on another conversation: the saved one with this `id`, or a new one."""
        self.id, self._title = id, ""

    def tell(self) -> None:
        """Say once what happened to the file, or why it cannot be used as it should be."""
        for said in (self.archive.warning, self.archive.notice, self.archive.problem):
            if said and said not in self._told:
                self._say(said)
                self._told.add(said)
