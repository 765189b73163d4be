"""A small JSON document that readers see as it was or as it is now, never a part of it.

Whatever this program remembers between runs and could lose without harm goes through here: pairs
used last, speeds, costs, checked headers. Damage is no error, and neither is a disk that takes
nothing.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from gemma_mtp.files import atomic


def place(folder: Path, key: dict[str, Any]) -> Path:
    """Where in the folder lies what is kept under this key, which may be long."""
    text = json.dumps(key, sort_keys=True)
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def read(path: Path) -> dict[str, Any]:
    """The object that `path` holds; an empty one where it holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def keep(path: Path, content: dict[str, Any], *, private: bool = False) -> None:
    """Replace what `path` holds, if that is possible. A `private` file is for its owner alone."""
    with suppress(OSError):
        atomic.write_text(path, json.dumps(content, indent=1), private=private)
