"""Pictures that go along with the next message of a chat: shown in a line each, and only where the
model can read them.

`sending`, and the verbs that attach, hand back or take back, use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gemma_mtp.api import Image, Message, Request
from gemma_mtp.chat.parameters import in_chat_words
from gemma_mtp.errors import NotCounted, UsageError
from gemma_mtp.files.pictures import described
from gemma_mtp.text import counted

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

UNSEEN = "There are pictures in this conversation, and {} has no image encoder here."
WAY_OUT = "/model NAME takes a model that has one, /new begins without them."
NO_ENCODER = "{} has no image encoder here, so it cannot read pictures."


def require_encoder(chat: Chat) -> None:
    """Raise UsageError, with what helps, where the model cannot read pictures."""
    if not chat.engine.info.images:
        helps = chat.files.no_encoder if chat.files else ""
        raise UsageError(NO_ENCODER.format(chat.model), in_chat_words(helps))


def attach_pictures(chat: Chat, pictures: Sequence[Image]) -> None:
    """Attach them to the next message and say so; one that is attached already stays as it is.

    Raises UsageError for one that cannot be read; then none is attached.
    """
    require_encoder(chat)
    seen = {one.data for one in chat.attached if isinstance(one, Image)}
    fresh = {image.data: image for image in pictures if image.data not in seen}
    lines = [in_words(chat, image) for image in fresh.values()]  # raises for what is none
    chat.attached += fresh.values()
    for line in lines:
        chat.note(f"attached: {line}")
    for image in pictures:
        if image.data in seen:
            chat.note(f"{described(image)} is attached already.")


def attach_again(chat: Chat, message: Message) -> None:
    """The pictures of a message that is handed back, for the one that is sent next."""
    seen = {one.data for one in chat.attached if isinstance(one, Image)}
    again = [image for image in message.images if image.data not in seen]
    chat.attached += again
    if again:
        names = " ".join(map(described, again))
        chat.note(f"Attached to the next message: {names}; /image none takes that away.")


def tell_of_unseen(chat: Chat) -> None:
    """Say so where pictures were shown earlier, and the model that has just come cannot read them:
    no message can be sent then."""
    earlier = any(message.images for message in chat.conversation.messages())
    if earlier and not chat.engine.info.images:
        chat.note(f"{UNSEEN.format(chat.model)} {WAY_OUT}")


def in_words(chat: Chat, image: Image) -> str:
    """A picture, and how much of the context it takes where that is known."""
    if not chat.engine.info.images:
        return described(image)
    try:
        empty, whole = (Request((Message("user", parts),)) for parts in ((), (image,)))
        tokens = chat.engine.count(whole) - chat.engine.count(empty)
    except NotCounted:
        return described(image)
    size = chat.engine.info.context_size
    return f"{described(image)}, {counted(tokens, 'token')}" + (f" of {size}" if size else "")
