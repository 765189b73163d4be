"""Pictures that go along with the next message of a chat: shown in a line each, and only where the
model can read them.

`sending`, and the verbs that attach, hand back or take back, use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gemma_mtp.api import Media, Message, Request
from gemma_mtp.chat.parameters import in_chat_words
from gemma_mtp.errors import NotCounted, UsageError
from gemma_mtp.files.media import Kind, described, kind_of_part, kinds_in
from gemma_mtp.text import counted

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

UNSEEN = "There are {}s in this conversation, and {} has no {} here."
WAY_OUT = "/model NAME takes a model that has one, /new begins without them."


def not_understood(chat: Chat, parts: Iterable[Media]) -> Kind | None:
    """A kind of which there are some among the parts, and which the model does not understand."""
    kinds = kinds_in(parts)
    return next((kind for kind in kinds if not getattr(chat.engine.info, kind.key)), None)


def attach_media(chat: Chat, parts: Sequence[Media]) -> None:
    """Attach them to the next message and say so; one that is attached already stays as it is.

    Raises UsageError, with what helps, for one that cannot be read or that the model does not
    understand; then none is attached.
    """
    if lacking := not_understood(chat, parts):
        helps = chat.files.lacks(lacking.key) if chat.files else ""
        raise UsageError(lacking.lacking(chat.model), in_chat_words(helps))
    seen = _attached(chat)
    fresh = {part.data: part for part in parts if part.data not in seen}
    lines = [in_words(chat, part) for part in fresh.values()]  # raises for what is none
    chat.attached += fresh.values()
    for line in lines:
        chat.note(f"attached: {line}")
    for part in parts:
        if part.data in seen:
            chat.note(f"{described(part)} is attached already.")


def attach_again(chat: Chat, message: Message) -> None:
    """The pictures of a message that is handed back, for the one that is sent next."""
    seen = _attached(chat)
    again = [part for part in message.media if part.data not in seen]
    chat.attached += again
    if again:
        names = " ".join(map(described, again))
        flag = kind_of_part(again[0]).flag
        chat.note(f"Attached to the next message: {names}; /{flag} none takes that away.")


def _attached(chat: Chat) -> set[bytes]:
    return {one.data for one in chat.attached if isinstance(one, Media)}


def tell_of_unseen(chat: Chat) -> None:
    """Say so where pictures were shown earlier or are attached, and the model that has just come
    cannot read them: no message can be sent then."""
    if lacking := not_understood(chat, (one for one in chat.attached if isinstance(one, Media))):
        chat.note(
            f"{lacking.lacking(chat.model)} /{lacking.flag} none takes away what is attached."
        )
    earlier = [part for message in chat.conversation.messages() for part in message.media]
    if lacking := not_understood(chat, earlier):
        unseen = UNSEEN.format(lacking.noun, chat.model, lacking.encoder)
        chat.note(f"{unseen} {WAY_OUT}")


def in_words(chat: Chat, part: Media) -> str:
    """A picture, and how much of the context it takes where that is known."""
    if not_understood(chat, [part]):
        return described(part)
    try:
        empty, whole = (Request((Message("user", parts),)) for parts in ((), (part,)))
        tokens = chat.engine.count(whole) - chat.engine.count(empty)
    except NotCounted:
        return described(part)
    size = chat.engine.info.context_size
    return f"{described(part)}, {counted(tokens, 'token')}" + (f" of {size}" if size else "")
