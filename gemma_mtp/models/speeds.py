"""How fast each model was in its last chat on this machine, as measured. Knows one small file."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from gemma_mtp import paths
from gemma_mtp.api import Stats
from gemma_mtp.files import atomic

ENOUGH = 50  # tokens; fewer say little


def remember(name: str, stats: Stats) -> None:
    """Keep the figures of a chat; being unable to is no error."""
    if stats.decoded < ENOUGH:
        return
    speeds = {**_read(), name: _figures(stats)}
    with contextlib.suppress(OSError):
        atomic.write_text(_file(), json.dumps(speeds, indent=1), private=True)


def recall(name: str) -> dict[str, Any] | None:
    """tokens_per_second, speedup (or None), draft_length and tokens of the last chat, or None."""
    found = _read().get(name)
    if not isinstance(found, dict):
        return None
    pace, gain = found.get("tokens_per_second"), found.get("speedup")
    known = isinstance(pace, int | float) and isinstance(gain, int | float | None)
    return found if known else None


def _figures(stats: Stats) -> dict[str, Any]:
    return {
        "tokens_per_second": round(stats.tokens_per_second, 2),
        "speedup": None if stats.speedup is None else round(stats.speedup, 3),
        "draft_length": round(stats.draft_length, 1),
        "tokens": stats.decoded,
    }


def _read() -> dict[str, Any]:
    data = atomic.read_json(_file())
    return data if isinstance(data, dict) else {}


def _file() -> Path:
    return paths.state_dir() / "speeds.json"
