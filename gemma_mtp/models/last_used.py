"""Which pairs were used last, so that a command without a model means the latest of them.

`store` asks and tells, and finds out whether a pair can still be opened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.files import json_file

TO_THE_MINUTE = 16  # characters of a time, which is as much of it as is shown
REMEMBERED = 8  # pairs; only the latest that can be opened matters, and `list` shows the others


@dataclass(frozen=True)
class Used:
    """A name or an absolute path; when (ISO 8601, UTC; "" where not known); the drafter that the
    user chose for it, if any."""

    name: str
    when: str = ""
    drafter: Path | None = None


def read() -> list[Used]:
    """The latest first; nothing where nothing can be read."""
    data = json_file.read(_file())
    try:
        when, drafters = data.get("when", {}), data.get("drafters", {})
        return [
            Used(name, str(when.get(name, "")), Path(drafters[name]) if name in drafters else None)
            for name in data["used"]
            if isinstance(name, str)
        ]
    except (KeyError, TypeError, AttributeError):
        return []


def when(name: str) -> str | None:
    """When `name` was used last, if that is known."""
    return next((used.when or None for used in read() if used.name == name), None)


def remember(name: str, drafter: Path | None = None) -> None:
    """Put `name` first. Where that cannot be written, nothing happens."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    _keep([Used(name, now, drafter), *(used for used in read() if used.name != name)])


def note(name: str) -> None:
    """Say that `name` is in use, without making it the latest: a program asked for it by its name,
    and nobody has chosen it. Where that cannot be written, nothing happens."""
    now, known = datetime.now(UTC).isoformat(timespec="seconds"), read()
    if (when(name) or "")[:TO_THE_MINUTE] == now[:TO_THE_MINUTE]:
        return
    if all(used.name != name for used in known):
        known = [*known[: REMEMBERED - 1], Used(name)]
    _keep([replace(used, when=now) if used.name == name else used for used in known])


def forget(name: str) -> None:
    """Leave `name` out: it was removed on purpose."""
    known = read()
    if any(used.name == name for used in known):
        _keep([used for used in known if used.name != name])


def _keep(all_used: list[Used]) -> None:
    kept = all_used[:REMEMBERED]
    data = {
        "used": [used.name for used in kept],
        "when": {used.name: used.when for used in kept},
        "drafters": {used.name: str(used.drafter) for used in kept if used.drafter},
    }
    json_file.keep(_file(), data, private=True)


def _file() -> Path:
    return paths.state_dir() / "used.json"
