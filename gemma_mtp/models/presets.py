"""The presets that a user keeps: names for a model with settings, a file of TOML each.

`store` finds names here before it asks the catalogue; the command line and Ollama's dialect make,
copy and remove them. A file is written as config.toml is, with `from`, the model, and perhaps
`drafter` and `[[message]]`. Knows neither terminal nor network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gemma_mtp import paths
from gemma_mtp.api import Preset
from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.files import bounded, config_file
from gemma_mtp.models.preset_data import KEYS, data_of, preset_of
from gemma_mtp.text import clean, json_text, suggestion

LATEST = ":latest"  # Ollama's clients write it behind every name
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,79}(:[\w.-]{1,79})?", re.ASCII)
TAG = "@"  # in the name of a file, where a colon may not stand
OTHERS = ("from", "drafter", "message")
"""Keys of a file besides those of settings."""


@dataclass(frozen=True)
class Kept:
    """A preset of `model`, which is a name or the path of a file, with a drafter of the user's."""

    preset: Preset
    model: str
    drafter: Path | None = None

    @property
    def name(self) -> str:
        return self.preset.name

    def called(self, name: str) -> Kept:
        """The same under another name."""
        return replace(self, preset=replace(self.preset, name=name))

    def changed(self, over: Mapping[str, Any]) -> Kept:
        """With other data on top, as `read` takes it. Raises UsageError."""
        return kept_of(self.name, {**as_data(self), **over})


def find(typed: str) -> Kept | None:
    """The preset of this name. Raises UsageError where its file makes no sense."""
    path = _path(typed)
    return None if path is None else read(path, _name_of(path))


def exists(name: str) -> str:
    """How the name of a preset is written, "" where there is none."""
    path = _path(name)
    return "" if path is None else _name_of(path)


def names() -> list[str]:
    """Those of all presets, whether they can be read or not."""
    with suppress(OSError):
        return sorted(_name_of(path) for path in folder().glob("*.toml"))
    return []


def all_kept() -> list[Kept]:
    """All that can be read."""
    found = []
    for name in names():
        with suppress(GemmaMtpError):
            if (kept := find(name)) is not None:
                found.append(kept)
    return found


def of_model(model: str) -> list[str]:
    """The names of the presets of a model."""
    return [kept.name for kept in all_kept() if kept.model == model]


def read(file: Path, name: str) -> Kept:
    """What a file says, under this name. Raises UsageError."""
    try:
        return kept_of(name, config_file.load(file))
    except UsageError as error:
        said = str(error)
        if str(file) not in said:
            error.args = (f"In {file}: {said}",)
        raise


def kept_of(name: str, data: Mapping[str, Any]) -> Kept:
    """The preset that data says. Raises UsageError, also for keys that mean nothing."""
    for key in data:
        if key not in KEYS and key not in OTHERS:
            known = suggestion(key, [*KEYS, *OTHERS]) or "gemma-mtp help run lists the settings."
            raise UsageError(f'A preset has no setting "{key}".', known)
    model, drafter = data.get("from"), data.get("drafter")
    if not isinstance(model, str) or not model.strip():
        raise UsageError('from must name a model, as in from = "e2b".')
    if drafter is not None and not isinstance(drafter, str):
        raise UsageError("drafter must be the path of a file.")
    path = None if not drafter else paths.expanded(clean(drafter))
    return Kept(preset_of(name, data), clean(model).strip(), path)


def keep(kept: Kept) -> Path:
    """Write a preset, in place of one of the same name, and say where. Raises UsageError and
    GemmaMtpError."""
    file = _path(kept.name) or folder() / f"{kept.name.replace(':', TAG)}.toml"
    text = as_toml(kept)
    longest = max(map(len, text.splitlines()))
    if longest > config_file.LONGEST_LINE or len(text.encode()) > bounded.MOST_TEXT:
        raise UsageError(  # since it could not be read again
            f"The texts of a preset may take {bounded.MOST_TEXT >> 10} KiB, and a line of them "
            f"{config_file.LONGEST_LINE} characters.",
            "Break long lines, or send the text along: gemma-mtp chat --file FILE",
        )
    config_file.save(file, text)
    return file


def remove(name: str) -> str:
    """Delete the preset of this name, and return how it was written; "" where there is none.
    Raises GemmaMtpError."""
    path = _path(name)
    if path is None:
        return ""
    try:
        path.unlink()
    except OSError as error:
        raise GemmaMtpError(f"{path} cannot be removed: {error.strerror}.") from error
    return _name_of(path)


def check_name(typed: str) -> str:
    """The name of a preset as it is kept. Raises UsageError for what can be none."""
    name = typed.strip()
    if name.lower().endswith(LATEST):
        name = name[: -len(LATEST)]
    if not NAME.fullmatch(name) or name.lower().endswith((".gguf", ".toml")):
        raise UsageError(
            f'A preset cannot be called "{clean(typed)}".',
            "Use letters, digits and . _ -, and perhaps a tag after a colon, as in pirate:v2.",
        )
    return name


def as_data(kept: Kept) -> dict[str, Any]:
    """What `kept_of` reads."""
    drafter = {} if kept.drafter is None else {"drafter": str(kept.drafter)}
    return {"from": kept.model, **drafter, **data_of(kept.preset)}


def as_toml(kept: Kept) -> str:
    """The text of its file."""
    data = as_data(kept)
    lines = [f"{key} = {_written(value)}" for key, value in data.items() if key != "message"]
    for message in data.get("message", []):
        lines += ["", "[[message]]"]
        lines += [f"{key} = {_written(text)}" for key, text in message.items()]
    return "\n".join(lines) + "\n"


def folder() -> Path:
    """Where they are kept."""
    return paths.config_dir() / "presets"


def _path(typed: str) -> Path | None:
    """The file of a name, in any letter case; None where there is none."""
    try:
        wanted = check_name(typed).lower()
    except UsageError:
        return None
    found = (name for name in names() if name.lower() == wanted)
    name = next(found, None)
    return None if name is None else folder() / f"{name.replace(':', TAG)}.toml"


def _name_of(path: Path) -> str:
    return path.stem.replace(TAG, ":")


def _written(value: Any) -> str:
    """A value as TOML; a text of several lines stays one."""
    if isinstance(value, str) and "\n" in value:
        lines = (json_text(line)[1:-1] for line in value.split("\n"))
        return '"""\n' + "\n".join(lines) + '"""'
    return json_text(value)
