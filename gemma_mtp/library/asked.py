"""What a program asks for, in the forms of the engine: settings by their names, and messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from gemma_mtp.api import Media, Message, Text
from gemma_mtp.errors import UsageError
from gemma_mtp.files.media import KINDS, Kind, kind_of_part, placed
from gemma_mtp.files.reading import named_path
from gemma_mtp.options import PARAMETER_NAMES, SETTINGS, find
from gemma_mtp.setting import Setting

Said = str | Mapping[str, Any] | Message
"""A text of the user's, a dict with role and content, or a message that a reply came with."""
File = str | Path | bytes | Media
"""The file of a picture, or its contents."""

OPENING = {**PARAMETER_NAMES, **{name: SETTINGS[name] for name in ("system", "keep_alive")}}
"""Settings that a model is opened with."""

REPLY = {name: known for name, known in OPENING.items() if known.name == "system" or (
    not known.at_load and known.name != "keep_alive")}  # fmt: skip
"""Settings that each reply may have."""


def read(settings: Mapping[str, Any], names: Mapping[str, Setting]) -> dict[str, Any]:
    """The fields of `Options` that are set. Raises UsageError."""
    known = {name: find(name, names, "setting") for name in settings}
    return {known[name].field: known[name].accept(value) for name, value in settings.items()}


def messages_of(
    said: Said | Sequence[Said], system: str | None, opening: tuple[Message, ...] = ()
) -> tuple[Message, ...]:
    """A conversation, behind the system prompt if it has none of its own, and behind the messages
    that each begins with, if it does not go on from them. Raises UsageError."""
    if isinstance(said, str) and not said.strip():
        raise UsageError("The prompt is empty.")
    one = isinstance(said, str) or not isinstance(said, Sequence)
    listed = cast(Sequence[Said], [said] if one else said)
    found = [message_of(each) for each in listed]
    begins = any(message.role == "system" for message in found)
    if system and not begins:
        found = [Message.text("system", system), *found]
    head = 1 if found[:1] and found[0].role == "system" else 0
    goes_on = tuple(found[head : head + len(opening)]) == opening
    return (*found[:head], *(() if goes_on else opening), *found[head:])


def shown(said: Said | Sequence[Said], **given: Sequence[File]) -> Said | Sequence[Said]:
    """What is said, with pictures in the last message, which has to be the user's; each argument is
    called by the key of a kind. Raises UsageError."""
    media = [_made(one, kind) for kind in KINDS for one in _list(given[kind.key], kind)]
    if not media:
        return said
    one = isinstance(said, str) or not isinstance(said, Sequence)
    *before, last = cast(Sequence[Said], [said] if one else said) or [""]
    message = message_of(last)
    if message.role != "user":
        raise UsageError(kind_of_part(media[0]).astray)
    texts = [part for part in message.parts if part != Text("")]
    return [*before, Message("user", placed(media, texts))]


def _list(given: Sequence[File], kind: Kind) -> Sequence[File]:
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise UsageError(f'{kind.key} must be a list, as in {kind.key}=["{kind.example}"].')
    return given


def _made(given: File, kind: Kind) -> Media:
    if isinstance(given, Media):
        return given
    if isinstance(given, bytes):
        return kind.made(given)
    if not isinstance(given, str | Path):
        raise UsageError(f"A {kind.noun} is the path of a file or its bytes, not {given!r:.60}.")
    return kind.read(named_path(str(given)), lambda text: None)


def message_of(said: Said) -> Message:
    """Raises UsageError for a dict that is no message."""
    if isinstance(said, Message):
        return said
    if isinstance(said, str):
        return Message.text("user", said)
    if not isinstance(said, Mapping):
        raise UsageError(f"What is said is a text, a message, or a list of these, not {said!r}.")
    role, content = said.get("role"), said.get("content")
    if not isinstance(content, str) or set(said) - {"role", "content"}:
        raise UsageError("A message that is a dict has a role and a content, which is text.")
    return Message.text(cast(Any, role), content)
