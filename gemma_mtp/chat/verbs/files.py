"""Verbs that put files into messages, of text, pictures or sound; `chat.attachments` reads them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gemma_mtp.api import Media
from gemma_mtp.chat.attachments import (
    as_one,
    is_file,
    read_any,
    read_each,
    read_files,
    split_words,
)
from gemma_mtp.chat.media import attach_media, in_words
from gemma_mtp.chat.sending import send
from gemma_mtp.chat.verbs.registry import Group, verb
from gemma_mtp.conversations.attachments import Attached, Attachment, compose
from gemma_mtp.errors import UsageError
from gemma_mtp.files.media import PICTURE, RECORDING, Kind, kind_of_name
from gemma_mtp.text import counted

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

_WORD = re.compile(r"""\s*(?:"[^"]*"|'[^']*'|\\.|[^\s\\"'])+""")  # as a shell has them


@verb(
    *("file", "attach", "add"),
    group=Group.FILES,
    argument="[PATH...]",
    words=None,
    paths=True,
    summary="attach files to the next message",
    example="/file notes.md src/*.py",
)
def attach(chat: Chat, rest: str) -> None:
    """Attaches text files, pictures and recordings to the next message; patterns such as src/*.py
    and ~ work. Says how many tokens each has, and names what cannot be read: other binary files,
    too. Without a path it lists what is attached; /file none takes it away."""
    if rest.lower() == "none":
        chat.attached.clear()
    elif rest:
        found, errors = read_each(split_words(rest), chat.note, read_any)
        if media := [one for one in found if isinstance(one, Media)]:
            try:
                attach_media(chat, media)
            except UsageError as refused:
                errors.append(refused)
        attach_all(chat, [one for one in found if isinstance(one, Attachment)])
        for error in errors:
            chat.failed(error, "")
        return
    for one in chat.attached:
        chat.say(_described(chat, one))
    if chat.attached:
        _warn_if_too_long(chat)
    else:
        chat.note("Nothing is attached.")


@verb(
    *("image", "img", "picture", "photo"),
    group=Group.FILES,
    argument="[PATH... [TEXT]]",
    words=None,
    paths=True,
    summary="show the model pictures, with a question or with the next message",
    example="/image cat.png What is this?",
)
def image(chat: Chat, rest: str) -> None:
    """Attaches pictures to the next message, or sends them at once with the text behind them. A
    path that is dropped onto the window or typed in a message does the same. PNG, JPEG, GIF and BMP
    can be read, by a model whose image encoder is here. /image none takes away what is attached."""
    _show(chat, rest, PICTURE)


@verb(
    *("audio", "sound", "recording"),
    group=Group.FILES,
    argument="[PATH... [TEXT]]",
    words=None,
    paths=True,
    summary="play recordings to the model, with a question or with the next message",
    example="/audio memo.wav What is said?",
)
def audio(chat: Chat, rest: str) -> None:
    """Attaches recordings to the next message, or sends them at once with the text behind them, as
    /image does with pictures. WAV, MP3 and FLAC can be read, by a model that has an audio encoder
    here. /audio none takes away what is attached."""
    _show(chat, rest, RECORDING)


def _show(chat: Chat, rest: str, kind: Kind) -> None:
    if not rest or rest.lower() == "none":
        attach(chat, rest)
        return
    paths, text = _paths_and_text(rest)
    found, errors = read_each(paths, chat.note, kind.read)
    if errors and (text or not found):  # a question is about all of them
        raise as_one(errors)
    attach_media(chat, found)
    for error in errors:
        chat.failed(error, "")
    _warn_if_too_long(chat)
    if text:
        send(chat, text)


def _paths_and_text(rest: str) -> tuple[list[str], str]:
    """The paths of pictures that a line begins with, and what comes after them."""
    ends = (word.end() for word in reversed([*re.finditer(r"\S+", rest)]))
    at = next((end for end in ends if is_file(rest[:end])), 0)  # blanks need no quotes
    paths = [rest[:at]] if at else []
    while word := _WORD.match(rest, at):
        path = split_words(word[0].strip())[0]
        if paths and not kind_of_name(path):
            break
        paths.append(path)
        at = word.end()
    return paths or [rest.strip("\"'")], rest[at:].strip() if paths else ""


@verb(
    "read",
    group=Group.FILES,
    argument="PATH...",
    words=None,
    paths=True,
    summary="send text files as a message of their own",
    example="/read notes.md",
)
def read(chat: Chat, rest: str) -> None:
    """Sends text files at once, without a question; patterns such as src/*.py and ~ work. To ask
    something about them, attach them with /file instead."""
    if not rest:
        raise UsageError("/read needs a path.", "/read notes.md")
    try:
        found = read_files(split_words(rest), chat.note)
    except UsageError as error:
        hint = "Nothing was sent; /file attaches what can be read."
        raise UsageError(str(error), hint) from error
    before = chat.attached[:]
    _attach(chat, found)
    try:
        send(chat, "")
    finally:
        # There was no reply: keep only what was attached before /read.
        if chat.attached:
            chat.attached[:] = before
            chat.note("Nothing of it stays attached; /read tries again.")


def attach_all(chat: Chat, found: list[Attachment]) -> None:
    """Attach texts to the next message and say what they amount to."""
    _attach(chat, found)
    _warn_if_too_long(chat)


def detach_all(chat: Chat) -> None:
    """For a new conversation, to which they do not belong."""
    if chat.attached:
        chat.attached.clear()
        chat.note("What was attached is left out.")


def _attach(chat: Chat, found: list[Attachment]) -> None:
    described = [_described(chat, one) for one in found]  # raises for what is far too long
    known = {one.name for one in found}
    others = [one for one in chat.attached if isinstance(one, Media) or one.name not in known]
    chat.attached[:] = [*others, *found]
    for line in described:
        chat.note(f"attached: {line}")


def _warn_if_too_long(chat: Chat) -> None:
    """At once, not when the message has been written."""
    texts = [one for one in chat.attached if isinstance(one, Attachment)]
    tokens = sum(chat.tokens(compose([one], "")) or 0 for one in texts)
    size = chat.engine.info.context_size
    if tokens >= size > 0:
        chat.say(
            f"Too much is attached: {tokens} tokens, and the context holds {size}. "
            "/file none takes it all away."
        )


def _described(chat: Chat, one: Attached) -> str:
    if isinstance(one, Media):
        return in_words(chat, one)
    size, tokens = chat.engine.info.context_size, chat.tokens(one.text)
    if tokens is None:
        return f"{one.name}, {counted(len(one.text), 'character')}"
    return f"{one.name}, {counted(tokens, 'token')}" + (f" of {size}" if size else "")
