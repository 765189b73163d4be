"""The user's config.toml: what `chat` and `run` do when the command line does not say.

Keys are the names of options, as in `ctx = 16384`, and `model`. Knows no terminal; whether a value
is in range is for `arguments.Options` to say.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.files import atomic, bounded, places

LONGEST_LINE = 16_000  # characters; a system prompt may be one

KEYS: dict[str, type] = {
    "model": str,
    "ctx": int,
    "threads": int,
    "gpu_layers": int,
    "kv_type": str,
    "flash_attn": str,
    "draft": str,
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "min_p": float,
    "repeat_penalty": float,
    "max_tokens": int,
    "system": str,
    "think": bool,
}
_WORDS = {
    str: 'text in quotes, such as "12b"',
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def read(file: Path) -> dict[str, Any]:
    """All known settings of `file`, of the right types; none without the file."""
    return {k: _typed(file, k, v) for k, v in _load(file).items() if k in KEYS}


def unknown(file: Path) -> list[str]:
    """Keys of `file` that mean nothing here: slips of the pen."""
    return [key for key in _load(file) if key not in KEYS]


def parse(key: str, word: str) -> Any:
    """The value of `key` as typed on a command line."""
    kind = _known(key)
    if kind is bool:
        if word.lower() in ("true", "false"):
            return word.lower() == "true"
    elif kind is str:
        return word
    else:
        try:
            return kind(word)
        except ValueError:
            pass
    raise UsageError(f"{key} must be {_WORDS[kind]}, not {word!r}.")


def write(file: Path, key: str, value: Any) -> None:
    """Set `key`, or take it out with None; every other line of the file stays as it is."""
    _known(key)
    expected = {**_load(file), key: value}
    if value is None:
        del expected[key]
    text = _edited(_text(file), key, value)
    if _parsed(file, text) != expected:
        raise UsageError(f"{file} is written in a way that cannot be edited here.", "Edit it.")
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


def _known(key: str) -> type:
    if key not in KEYS:
        raise UsageError(f'There is no setting "{key}".', f"Settings: {', '.join(KEYS)}.")
    return KEYS[key]


def _typed(file: Path, key: str, value: Any) -> Any:
    kind = KEYS[key]
    if key == "draft" and type(value) is int:
        return str(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise UsageError(f"In {file}, {key} must be {_WORDS[kind]}.")
    return value


def _load(file: Path) -> dict[str, Any]:
    return _parsed(file, _text(file))


def _parsed(file: Path, text: str) -> dict[str, Any]:
    try:
        return bounded.parse_toml(text, LONGEST_LINE)
    except ValueError as error:
        raise UsageError(f"{file} is not valid TOML: {error}.", "Correct or delete it.") from error


def _text(file: Path) -> str:
    try:
        return places.own_text(file)
    except ValueError as error:
        raise UsageError(f"{file} is not valid TOML: {error}.", "Correct or delete it.") from error
