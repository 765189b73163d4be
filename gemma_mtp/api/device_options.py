"""What is chosen by measurement for a pair of which a part is on a GPU, and what was measured.

The engine chooses when such a pair is loaded for the first time; `models` keeps it. On the CPU
alone nothing is measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gemma_mtp.api.pair import CPU_PIECE, GPU_PIECE

# Tokens of a shortlist, and up to which top-k it is used: between these two lie the tokens that may
# be tied at its end. Gemma's own top-k is 64.
SHORTLIST, DECIDED = 128, 100


@dataclass(frozen=True)
class DeviceOptions:
    """How a pair is evaluated where that differs by device.

    `piece`: tokens of a prompt that are evaluated at once. `flash_attention`: None leaves it to the
    user's setting, and that, where it is auto, to llama.cpp. `shortlist`: whether the candidates of
    the next token are chosen on the device, so that not all logits are copied to the processor;
    None where nothing was measured, which means no.
    """

    piece: int = GPU_PIECE
    flash_attention: bool | None = None
    shortlist: bool | None = None

    @property
    def key(self) -> tuple[int | bool | None, ...]:
        """What tells it from others that take their time otherwise; () for what holds where nothing
        was measured."""
        if self in (DeviceOptions(), ON_CPU_OPTIONS):
            return ()
        return (self.piece, self.flash_attention, self.shortlist)

    def but(self, **changes: Any) -> DeviceOptions:
        """The same with one thing changed."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Duel:
    """Options that were timed against those that were the best so far: how many times as fast a
    prompt was read with them (`reading`) and rounds went (`writing`), and whether they won."""

    tried: DeviceOptions
    against: DeviceOptions
    reading: float
    writing: float
    won: bool


@dataclass(frozen=True)
class DeviceChoice:
    """The options of a loaded pair, and what they were chosen by; no duels where nothing was
    measured."""

    options: DeviceOptions
    duels: tuple[Duel, ...] = ()


ON_CPU_OPTIONS = DeviceOptions(CPU_PIECE)
