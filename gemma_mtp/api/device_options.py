"""What is chosen by measurement for a pair of which a part is on a GPU, and what was measured.

The engine chooses when such a pair is loaded for the first time; `models` keeps it. On the CPU
alone nothing is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

# Tokens evaluated at once. A long piece is faster on a GPU; a short one lets Ctrl-C land within a
# moment on a CPU. The size must not depend on timing from one load to the next: pieces of another
# size give other last bits, and exact mode another text.
GPU_PIECE, CPU_PIECE = 512, 64
TRYING_SECONDS = 30  # that what is fastest may be looked for, when a pair is loaded the first time

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

    @property
    def in_words(self) -> str:
        """What was chosen and by how much it is faster, "" where nothing was measured."""
        won = [duel for duel in self.duels if duel.won]
        words = ", ".join(map(_in_words, won))
        usual = f"{self.options.piece} tokens of a prompt at once, nothing that was tried is faster"
        return words or (usual if self.duels else "")


def _in_words(duel: Duel) -> str:
    tried, against = duel.tried, duel.against
    if tried.piece != against.piece:
        what = f"{tried.piece} tokens of a prompt at once instead of {against.piece}"
    elif tried.flash_attention != against.flash_attention:
        what = f"{'with' if tried.flash_attention else 'no'} flash attention"
    else:
        what = "candidates chosen there"
    gains = {"reads": duel.reading, "writes": duel.writing}
    told = [f"{does} {gain:.2f} times as fast" for does, gain in gains.items() if _shows(gain)]
    return f"{what} ({' and '.join(told)})"


def _shows(gain: float) -> bool:
    return not 0.98 < gain < 1.02


ON_CPU_OPTIONS = DeviceOptions(CPU_PIECE)
ON_CPU_CHOICE = DeviceChoice(ON_CPU_OPTIONS)
