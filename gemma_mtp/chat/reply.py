"""One reply: asked for, shown, and saved at every step, whatever interrupts it.

`sending` and the verbs that write replies use it. A reply without a word changes nothing.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from gemma_mtp.api import (
    End,
    Event,
    FinishReason,
    Message,
    Stats,
    Turn,
)
from gemma_mtp.chat.context_overflow import (
    CLEAR,
    SHORTEN,
    make_room,
    warn_when_filling,
)
from gemma_mtp.chat.partial_reply import PartialReply, has_thought
from gemma_mtp.chat.tool_rounds import may_go_on, run_calls
from gemma_mtp.conversations.calls import joined, waiting
from gemma_mtp.conversations.conversation import Conversation
from gemma_mtp.errors import BadPair, DoesNotFit
from gemma_mtp.terminal.figures import no_answer
from gemma_mtp.terminal.interrupts import stoppable
from gemma_mtp.terminal.render import write_reply

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat
    from gemma_mtp.options import Options


def write_turn(chat: Chat, draft: Conversation, options: Options | None = None) -> bool:
    """Write the reply to the last message of `draft`, or go on with it, as `options` have it; those
    of the chat unless others are given.

    False: not a word was written, and the conversation is what it was.
    """
    return _WrittenTurn(chat, draft, options or chat.options).run()


class _WrittenTurn:
    """A reply that is being written, in several parts if the context overflows meanwhile."""

    def __init__(self, chat: Chat, draft: Conversation, options: Options) -> None:
        self.chat, self.draft, self.options = chat, draft, options
        self.before = chat.conversation
        self.is_new = len(draft.turns) > len(self.before.turns)  # else a turn is replaced
        self.unwritten = draft.last  # the turn as it was before the reply
        self.base = draft.last  # the turn as it was before this attempt
        self.part = PartialReply()  # of this attempt
        self.rounds = 0  # replies with calls so far
        self.stats = Stats()  # of all of them
        self.context_used = 0  # tokens, where a reply said so

    @property
    def written(self) -> bool:
        return self.draft.last is not self.unwritten

    def run(self) -> bool:
        # Ctrl-C at any moment stops the reply or comes too late; nothing that was written is lost.
        with stoppable() as cancel:
            try:
                if self.is_new:
                    self.chat.record.save(self.draft, self.chat.model)
                while self._attempt(cancel):
                    pass
                self._commit()
            except KeyboardInterrupt:  # the second, and `stoppable` raises no other
                self._keep_part("cancelled")
                self._end_early()
                self._commit()
                self.chat.note("stopped")
        return self.written

    def _commit(self) -> None:
        """The conversation as it is from now on, here and on the disk."""
        self.chat.conversation = self.draft if self.written else self.before
        if self.context_used:
            self.chat.remember_size(self.context_used)
        self.chat.record.save(self.chat.conversation, self.chat.model)

    def _attempt(self, cancel: threading.Event) -> bool:
        """Write until it ends one way or another; True if there is to be another attempt."""
        self.part, self.base = PartialReply(), self.draft.last
        try:
            if self.base is not None and waiting(self.base):
                return self._run_calls(self.base, cancel)
            return self._reply(cancel)
        except Exception as error:
            ended = self.draft.last is not self.base
            self._keep_part(None)
            self.chat.failed(error, "The reply")
            if isinstance(error, BadPair) and len(self.draft.sent) > 1:
                self.chat.note("A new conversation, with /clear, may fare better.")
            if self.part.said and not ended:
                self.chat.note("What was written is kept: /continue goes on, /regen tries again.")
        return False

    def _run_calls(self, turn: Turn, cancel: threading.Event) -> bool:
        """Run what the last reply calls for; True if the model is to go on with the results."""
        self.rounds += 1
        if may_go_on(self.chat, self.rounds) and run_calls(self.chat, turn, cancel, self._keep_now):
            return True
        self._end_early()
        self.chat.note("stopped; /continue goes on")
        return False

    def _keep_now(self, turn: Turn) -> None:
        self._keep(turn)
        self.chat.record.progress(len(self.draft.turns) - 1, turn)

    def _end_early(self) -> None:
        """The turn ends with a call or with its result, since the person stopped there."""
        turn = self.draft.last
        if self.written and turn is not None and turn.reason is None:
            self.draft = self.draft.with_last(replace(turn, reason="cancelled"))

    def _reply(self, cancel: threading.Event) -> bool:
        wanted = self.chat.request(self.draft, self.options)
        try:
            end = write_reply(
                self.chat.engine, wanted, self.chat.printer, cancel, self._record_event
            )
        except DoesNotFit as error:
            return self._make_room(str(error))
        return self._finish(end)

    def _record_event(self, event: Event) -> None:
        """Called with each event before it is shown, so that what is seen is kept."""
        if isinstance(event, End):
            self._keep_end(event)
        elif self.part.take(event):
            self._save_part()

    def _save_part(self) -> None:
        """Save what there is. A reply that is replaced stays saved until the new one has a word."""
        turn = self._turn_so_far(None)
        if self.is_new or turn.replies:
            self.chat.record.progress(len(self.draft.turns) - 1, turn)

    def _keep_end(self, end: End) -> None:
        said = self.part.completed(end.message)
        thought = "" if has_thought(said) else end.thought
        turn = self._turn(said, thought, None if self._goes_on(end) else end.reason)
        stats = turn.stats + end.stats if turn.stats else end.stats
        self._keep(replace(turn, seed=end.seed, stats=stats))

    def _keep_part(self, reason: FinishReason | None) -> None:
        """Keep a reply that was broken off, if there is a word of it."""
        if self.part.said and self.draft.last is self.base:
            self._keep(self._turn_so_far(reason))

    def _keep(self, turn: Turn) -> None:
        """Keep a turn that has a reply. One without a word is not kept: its message is handed
        back."""
        if turn.replies:
            self.draft = self.draft.with_last(turn)

    @staticmethod
    def _goes_on(end: End) -> bool:
        """Tools are called, and the reply was not cut."""
        return end.reason == "stop" and bool(end.message.calls)

    def _finish(self, end: End) -> bool:
        """Say what is to be said about a reply that ended; True if there is to be another attempt
        with more room in the context."""
        chat = self.chat
        chat.add_figures(end.stats)
        self.context_used = end.stats.context_used if self.written else 0
        self.stats = self.stats + end.stats if self.rounds else end.stats
        cut = () if self._goes_on(end) else self.part.completed(end.message).calls
        for call in cut:
            chat.printer.call(call)
        if chat.options.figures and not self._goes_on(end):
            chat.printer.summary(replace(end, stats=self.stats))
        if end.warning and end.warning not in chat.warnings:
            chat.warnings.add(end.warning)
            chat.say(end.warning)
        if self._goes_on(end):
            self.options = self.options.seeded(end.seed)  # one seed for the whole turn
            return True
        if end.reason == "context":
            self.options = self.options.seeded(end.seed)
            used, size = end.stats.context_used, end.stats.context_size
            return self._make_room(f"The context is full: {used} of {size} tokens.", CLEAR)
        warn_when_filling(chat, end.stats)
        if cut:
            chat.note("The reply was cut, so nothing was run; /continue goes on.")
        else:
            self._explain_no_answer(end)
        return False

    def _explain_no_answer(self, end: End) -> None:
        problem = no_answer(end)
        if not problem:
            return
        if self.written and not self.rounds:
            self.chat.note("Nothing was added to the reply.")
            return
        self.chat.say(problem)
        helps = []
        if end.reason == "length":
            helps.append("/set parameter max_tokens none takes the limit away")
        if end.thought and self.chat.options.thinks:
            helps.append("/think 500 ends its thought after 500 tokens")
        if helps:
            self.chat.note(", ".join(helps) + ".")

    def _make_room(self, problem: str, first: str = SHORTEN) -> bool:
        shorter = make_room(self.chat, self.draft, problem, first)
        if shorter is None:
            return False
        self.draft = shorter
        return True

    def _turn_so_far(self, reason: FinishReason | None) -> Turn:
        return self._turn(self.part.message, self.part.thought, reason)

    def _turn(self, said: Message, thought: str, reason: FinishReason | None) -> Turn:
        """The last turn with this after what had been written in earlier attempts."""
        turn = self.base
        assert turn is not None
        gap = "\n\n" if turn.thought and thought and turn.reply is None else ""
        thought = f"{turn.thought}{gap}{thought}"
        if said.content or said.calls:
            turn = turn.with_reply(joined(turn.reply, said))
        return replace(turn, thought=thought, exact=self.options.is_exact, reason=reason)
