"""The user's config.toml: what `chat` and `run` do when the command line does not say.

Keys are the names of settings, as in `ctx = 16384`, and `model`. Read by the command line and the
store, written by `config`. Knows no terminal.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.files import atomic, bounded, places
from gemma_mtp.options import SETTINGS
from gemma_mtp.setting import Setting
from gemma_mtp.text import suggestion

LONGEST_LINE = 16_000  # characters; a system prompt may be one

MODEL = Setting("model", "model", str, None, "The model that no name means.", unset="not set")
KEYS = {"model": MODEL, **SETTINGS}
NAMES = {name: known for known in KEYS.values() for name in (known.field, known.alias) if name}
NAMES |= KEYS
"""The same under Ollama's names, too, and under those that the program has for them."""


def read(file: Path) -> dict[str, Any]:
    """All known settings of `file`, as their fields hold them; none without the file.

    Raises UsageError, with the names of file and keys, for values of another kind or out of range.
    """
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for key, value in load(file).items():
        try:
            if key in KEYS:
                values[key] = KEYS[key].accept(value, key)
        except UsageError as error:
            wrong.append(str(error))
    if len(wrong) == 1:
        raise UsageError(f"In {file}, {wrong[0]}")
    if wrong:
        raise UsageError(f"In {file}, {len(wrong)} settings make no sense.", "\n  ".join(wrong))
    return values


def unknown(file: Path) -> list[str]:
    """Keys of `file` that mean nothing here: slips of the pen."""
    return [key for key in load(file) if key not in KEYS]


def is_written(file: Path, key: str) -> bool:
    """Whether the file has this key, whatever its value."""
    return key in load(file)


def misspelt(file: Path) -> str:
    """A sentence about the keys that mean nothing, with what they may have been meant to be; ""
    where all are known."""
    slips = unknown(file)
    if not slips:
        return ""
    near = suggestion(slips[0], KEYS) if len(slips) == 1 else ""
    return f"{file} has settings that mean nothing: {', '.join(slips)}. {near}".rstrip()


def write(file: Path, key: str, value: Any) -> None:
    """Set `key`, or take it out with None; every other line of the file stays as it is."""
    if key in KEYS and value is not None:
        known, word = KEYS[key], KEYS[key].shown(value)
        in_words = known.is_time or known.is_size or word in known.words
        value = word if in_words else [*value] if type(value) is tuple else value
    expected = {**load(file), key: value}
    if value is None:
        del expected[key]
    text = _edited(_text(file), key, value)
    if parsed(file, text) != expected:
        raise UsageError(f"{file} is written in a way that cannot be edited here.", "Edit it.")
    save(file, text)


def save(file: Path, text: str) -> None:
    """Replace a file of settings. Raises GemmaMtpError."""
    try:
        atomic.write_text(file, text, private=True)  # a system prompt is a person's words
    except OSError as error:
        obstacle = places.obstacle(file)
        why, hint = obstacle or error.strerror, places.HINT if obstacle else ""
        raise GemmaMtpError(f"{file} cannot be written: {why}.", hint) from error


def _edited(text: str, key: str, value: Any) -> str:
    line = "" if value is None else f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
    pattern = re.compile(rf"^{key}[ \t]*=.*\n?", re.MULTILINE)
    if pattern.search(text):
        return pattern.sub(lambda _: line, text, count=1)
    table = re.search(r"^\[", text, re.MULTILINE)  # keys come before the first table
    at = table.start() if table else len(text)
    gap = "\n" if at and text[at - 1] != "\n" else ""
    return text[:at] + gap + line + text[at:]


def load(file: Path) -> dict[str, Any]:
    """What a file of settings says, unchecked; nothing without the file. Raises UsageError."""
    return parsed(file, _text(file))


def parsed(file: Path, text: str) -> dict[str, Any]:
    """What the text of such a file says. Raises UsageError."""
    try:
        return bounded.parse_toml(text, LONGEST_LINE)
    except ValueError as error:
        raise UsageError(f"{file} is not valid TOML: {error}.", "Correct or delete it.") from error


def _text(file: Path) -> str:
    try:
        return places.own_text(file)
    except ValueError as error:
        raise UsageError(f"{file} is not valid TOML: {error}.", "Correct or delete it.") from error
