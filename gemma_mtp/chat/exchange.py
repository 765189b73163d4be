"""One reply: asked for, shown, put on record at every step, whatever interrupts it.

Knows the chat, not the keyboard. A reply of which nothing was written changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from gemma_mtp.arguments import clean, refuse_image
from gemma_mtp.chat.attachments import compose, image_in
from gemma_mtp.chat.conversation import Conversation
from gemma_mtp.chat.room import ADVICE, SHORTEN, make_room, warn_when_filling
from gemma_mtp.chat.turns import Turn
from gemma_mtp.errors import DoesNotFit, UsageError
from gemma_mtp.events import (
    DraftSetting,
    End,
    Event,
    FinishReason,
    Message,
    Progress,
    Request,
    Text,
)
from gemma_mtp.oneshot import write_reply

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat


AT_ONCE = 0.002  # seconds


@dataclass(frozen=True)
class How:
    """What is different from the settings of the chat, for one reply."""

    seed: int | None = None
    exact: bool | None = None
    draft: DraftSetting | None = None


def request(chat: Chat, conversation: Conversation, how: How) -> Request:
    """The reply that `conversation` waits for."""
    usual = chat.options.request(conversation.messages())
    return replace(
        usual,
        seed=usual.seed if how.seed is None else how.seed,
        exact=usual.exact if how.exact is None else how.exact,
        draft=usual.draft if how.draft is None else how.draft,
    )


def say(chat: Chat, text: str) -> None:
    """Send a message with all that is attached; without a word in reply it is handed back."""
    text = clean(text)
    if not text.strip() and not chat.attached:
        return
    try:
        _check_images(chat, text)
    except UsageError as error:
        chat.failed(error, "")
        hand_back(chat, text)
        return
    message = Message("user", compose(chat.attached, text))
    if write(chat, chat.conversation.asking(message)):
        chat.attached.clear()
    else:
        hand_back(chat, text)


def _check_images(chat: Chat, text: str) -> None:
    """A picture named by its path is meant to be looked at; one in this folder may be talk."""
    refuse_image(text)
    image = image_in(text)
    if "/" in image:
        raise UsageError(f"{image} is an image, and images are not supported yet.")
    if image:
        chat.note(f"Images are not supported yet: of {image}, only the name is sent.")


def hand_back(chat: Chat, text: str) -> None:
    """Put a message back on the line, to be corrected or sent again."""
    chat.again = text
    if text:
        chat.note("The message is back on the line; Ctrl-C empties it.")


def write(chat: Chat, draft: Conversation, how: How | None = None) -> bool:
    """Write the reply to the last message of `draft`, or go on with it.

    False: not a word was written, and the conversation is what it was.
    """
    return _Exchange(chat, draft, how or How()).run()


class _Exchange:
    """A reply that is being written, in several parts if the context overflows meanwhile."""

    def __init__(self, chat: Chat, draft: Conversation, how: How) -> None:
        self.chat, self.draft, self.how = chat, draft, how
        self.written = False
        self.text = self.thought = ""
        self.exact = False
        self.recorded = 0.0  # when something was put on record last
        self.used = 0  # tokens in the context, where a reply said so

    def run(self) -> bool:
        before = self.chat.conversation
        self.chat.record.save(self.draft, self.chat.model)
        while self._attempt():
            pass
        self.chat.conversation = self.draft if self.written else before
        if self.used:
            self.chat.measured(self.used)
        self.chat.record.save(self.chat.conversation, self.chat.model)
        return self.written

    def _attempt(self) -> bool:
        """Write until it ends one way or another; True if there is to be another attempt."""
        self.text = self.thought = ""
        try:
            wanted = request(self.chat, self.draft, self.how)
            self.exact = wanted.seed is not None if wanted.exact is None else wanted.exact
            end = write_reply(self.chat.engine, wanted, self.chat.printer, self._observe)
        except KeyboardInterrupt:  # a second Ctrl-C: the engine did not get to say goodbye
            self.chat.note("stopped")
            self._keep(self._partial("cancelled"))
        except DoesNotFit as error:
            return self._make_room(str(error))
        except Exception as error:
            self._keep(self._partial(None))
            self.chat.failed(error, "The reply")
            if self.text:
                self.chat.note("What was written is kept: /continue goes on, /regen tries again.")
        else:
            return self._ended(end)
        return False

    def _observe(self, event: Event) -> None:
        """Put what comes on record before it is shown; a round's tokens come at once, and the
        first of them and the round's end are enough."""
        if isinstance(event, Text) and event.thought:
            self.thought += event.text
        elif isinstance(event, Text):
            self.text += event.text
        elif not isinstance(event, Progress):
            return
        now = monotonic()
        if isinstance(event, Progress) or now - self.recorded > AT_ONCE:
            self.recorded = now
            self.chat.record.progress(len(self.draft.turns) - 1, self._partial(None))

    def _ended(self, end: End) -> bool:
        chat = self.chat
        before = self.draft.last.stats if self.draft.last else None
        turn = self._turn(end.message.content, end.thought, end.message.tokens, end.reason)
        stats = before + end.stats if before else end.stats
        turn = replace(turn, seed=end.seed, stats=stats)
        self._keep(turn)
        chat.count(end.stats)
        self.used = end.stats.context_used if turn.reply and turn.reply.content else 0
        if chat.figures:
            chat.printer.summary(end)
        if end.reason == "context":
            self.how = replace(self.how, seed=end.seed)
            used, size = end.stats.context_used, end.stats.context_size
            return self._make_room(f"The context is full: {used} of {size} tokens.", ADVICE)
        warn_when_filling(chat, end.stats)
        if not end.message.content and end.reason == "stop":
            chat.note("The reply was empty.")
        return False

    def _keep(self, turn: Turn) -> None:
        """Of a reply without a word nothing is kept, so that its message can be handed back."""
        if turn.reply is not None and turn.reply.content:
            self.draft = self.draft.with_last(turn)
            self.written = True

    def _make_room(self, problem: str, advice: str = SHORTEN) -> bool:
        shorter = make_room(self.chat, self.draft, problem, advice)
        if shorter is None:
            return False
        self.draft = shorter
        return True

    def _partial(self, reason: FinishReason | None) -> Turn:
        return self._turn(self.text, self.thought, (), reason)

    def _turn(
        self, text: str, thought: str, tokens: tuple[int, ...], reason: FinishReason | None
    ) -> Turn:
        """The last turn with what was written, after what had been written before."""
        turn = self.draft.last
        assert turn is not None
        if turn.reply is not None:
            text, thought = turn.reply.content + text, turn.thought + thought
            tokens = (*turn.reply.tokens, *tokens) if turn.reply.tokens and tokens else ()
        reply = Message("assistant", text, tokens)
        return replace(turn, reply=reply, thought=thought, exact=self.exact, reason=reason)
