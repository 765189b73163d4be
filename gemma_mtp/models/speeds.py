"""How fast each model was in its last chat on this machine, as measured.

A chat that ends tells it; `show` and the start of the next chat ask.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gemma_mtp import paths
from gemma_mtp.api import ENOUGH_TO_COMPARE, MAX_DRAFT, Stats
from gemma_mtp.files import json_file


def remember(name: str, stats: Stats) -> None:
    """Keep the figures of a chat that was long enough; being unable to is no error."""
    if stats.decoded < ENOUGH_TO_COMPARE:
        return
    # Plain decoding in exact mode is slower than people know it.
    gain = stats.speedup if stats.compared_with == "plain" else None
    figures = {
        "tokens_per_second": round(stats.tokens_per_second, 2),
        "speedup": None if gain is None else round(gain, 3),
        "guessed_right": None if stats.guessed_right is None else round(stats.guessed_right, 3),
        "draft_length": round(stats.draft_length, 1),
        "paid": _what_paid(stats),
        "tokens": stats.decoded,
    }
    json_file.keep(_file(), {**json_file.read(_file()), name: figures}, private=True)


def _what_paid(stats: Stats) -> int | None:
    """Drafts a round, in rounds that had some; 0 where they cost more than they brought."""
    with_drafts = sum(stats.accepted_histogram)
    if stats.drafts == "used" and with_drafts:
        return round(stats.drafted / with_drafts)
    return 0 if stats.drafts == "unprofitable" else None


def recall(name: str) -> dict[str, Any] | None:
    """tokens_per_second, speedup and guessed_right (or None), draft_length, paid and tokens of the
    last chat, or None."""
    found = json_file.read(_file()).get(name)
    if not isinstance(found, dict):
        return None
    pace, gain = found.get("tokens_per_second"), found.get("speedup")
    known = isinstance(pace, int | float) and isinstance(gain, int | float | None)
    return found if known else None


def paid(name: str) -> int | None:
    """The draft length that paid in the last chat: 0 where none did, None where it is not known."""
    found = (recall(name) or {}).get("paid")
    return found if type(found) is int and 0 <= found <= MAX_DRAFT else None


def _file() -> Path:
    return paths.state_dir() / "speeds.json"
