"""How a pair is to be pulled. `pull.request` makes these of what a person asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gemma_mtp.models.pair_record import PairRecord
from gemma_mtp.models.pull.other_drafters import Others


@dataclass(frozen=True)
class PullOptions:
    """`reuse`: files or folders that may hold what is asked for. `allow_changed`: files with
    another sha256 than the pinned one will do. `stated`: what a carried folder says of itself,
    which stands in for the hub; nothing else is asked then. `symlinks` off: what is reused must
    stay where this folder goes. `others`: which drafters to try after the first one. `fits`: the
    target on this machine that a drafter alone is for.
    """

    revision: str | None = None
    offline: bool = False
    reuse: tuple[Path, ...] = ()
    allow_changed: bool = False
    stated: PairRecord | None = None
    symlinks: bool = True
    others: Others | None = None
    fits: Path | None = None
