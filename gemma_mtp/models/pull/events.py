"""What happens during a pull, as plain data; the printer and scripts read the same events.

Knows neither the hub nor the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class PullProgress:
    """`done` of `total` bytes of one file were fetched, or read to verify it; `sha256` "" where it
    is not known before.

    `pair_done` and `pair_total` count the bytes of all files that are here and will be.
    `beginning`: only the header is fetched for now; `total` are the bytes asked for so far.
    """

    file: str
    done: int
    total: int
    verifying: bool = False
    pair_done: int = 0
    pair_total: int = 0
    sha256: str = ""
    beginning: bool = False


@dataclass(frozen=True)
class PullNote:
    """Something the user should know: a file was reused, a hash differs, another pull runs."""

    text: str


@dataclass(frozen=True)
class PullWait:
    """Nothing comes just now; the next attempt is in `seconds`."""

    reason: str
    seconds: float


@dataclass(frozen=True)
class PullSilence:
    """Hardly anything has come from `host` for `seconds`; it is waited for, or asked again."""

    host: str
    seconds: float


@dataclass(frozen=True)
class PullReady:
    """A pair is complete: its name, and where its files are, `encoder` "" without one; or it came
    with the program."""

    name: str
    target: str
    drafter: str
    builtin: bool = False
    encoder: str = ""


PullEvent = PullProgress | PullNote | PullWait | PullSilence | PullReady
OnEvent = Callable[[PullEvent], None]
