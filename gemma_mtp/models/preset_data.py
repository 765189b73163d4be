"""A preset as plain data: what a file of the user's, or the record of a pull, says of it.

Keys are the names of settings, as in config.toml, those of a reply and of loading, and `message`, a
list of `role` and `content`. `presets` and `pair_record` read and write it. Knows no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gemma_mtp.api import Message, Preset
from gemma_mtp.errors import UsageError
from gemma_mtp.options import PARAMETERS, SETTINGS, Options, whole
from gemma_mtp.text import clean, counted

KEYS = {**PARAMETERS, **{name: SETTINGS[name] for name in ("system", "keep_alive")}}
"""What a preset may set, by name."""

NAMES = {name: known for known in KEYS.values() for name in (known.name, known.alias) if name}
"""The same under Ollama's names, too."""

FIELDS = {known.field: known for known in KEYS.values()}
"""The same by field."""

ROLES = ("user", "assistant")
IN_TURNS = "Messages of a preset begin with one of the user's and end with one of the assistant's."


def preset_of(name: str, data: Mapping[str, Any]) -> Preset:
    """The preset that data says; keys that are no settings are left out.

    Raises UsageError, with the name of the key, for values of another kind or out of range.
    """
    values = {KEYS[key].field: KEYS[key].accept(value, key)
              for key, value in data.items() if key in KEYS}  # fmt: skip
    return Preset(name, settled(values), messages_of(data.get("message", [])))


def settled(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Values by field, with what follows from them. Raises UsageError where they contradict each
    other."""
    options = Options().with_values(**values)
    options.check()
    return tuple((field, getattr(options, field)) for field in sorted(whole(values)))


def data_of(preset: Preset) -> dict[str, Any]:
    """What `preset_of` reads, as TOML and JSON take it; what is as if it were not set is left
    out."""
    written = {}
    for field, value in preset.values:
        known = FIELDS[field]
        if value is not None:
            word = known.shown(value)
            in_words = known.is_time or word in known.words
            written[known.name] = word if in_words else _plain(value)
    if preset.messages:
        said = [{"role": message.role, "content": message.content} for message in preset.messages]
        written["message"] = said
    return written


def told(preset: Preset) -> list[tuple[str, str]]:
    """What a preset sets, in words: names and values as people type them."""
    said = [
        (
            known.name,
            f'"{value}"' if known.kind is str and not known.choices else known.shown(value),
        )
        for known, value in ((FIELDS[field], value) for field, value in preset.values)
        if value is not None
    ]
    if preset.messages:
        said.append(("messages", counted(len(preset.messages) // 2, "turn")))
    return said


def messages_of(data: Any) -> tuple[Message, ...]:
    """Messages of user and assistant, in turns. Raises UsageError."""
    if not isinstance(data, list):
        raise UsageError("message must be a list of tables, as [[message]] begins one.")
    for each in data:
        known = isinstance(each, dict) and set(each) == {"role", "content"}
        if not known or each["role"] not in ROLES or not isinstance(each["content"], str):
            raise UsageError("A message has a role, which is user or assistant, and a content.")
    return in_turns((each["role"], each["content"]) for each in data)


def in_turns(said: Iterable[tuple[Any, str]]) -> tuple[Message, ...]:
    """Messages of the same side in a row as one. Raises UsageError where they are no turns."""
    found: list[Message] = []
    for role, text in said:
        if found and found[-1].role == role:
            found[-1] = found[-1].extended(f"\n\n{clean(text)}")
        else:
            found.append(Message.text(role, clean(text)))
    if found and (found[0].role, found[-1].role) != ROLES:
        raise UsageError(IN_TURNS)
    return tuple(found)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
