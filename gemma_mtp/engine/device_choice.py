"""Finds out, once, with which options a pair of which a part is on a GPU is fastest there.

`loading` asks, right after such a pair was loaded for the first time; the cache is empty before
and afterwards. What is tried and what wins is decided in `decoding.device_trials`. Whoever loads
the pair says which options have room on its devices, and keeps what was chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from gemma_mtp.api import (
    GPU_PIECE,
    MAX_WIDTH,
    TRYING_SECONDS,
    DeviceChoice,
    DeviceOptions,
    LoadOptions,
    Sampling,
)
from gemma_mtp.decoding import cost_timing
from gemma_mtp.decoding.device_trials import Timing, choose, ladders
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.errors import Cancelled, DoesNotFit
from gemma_mtp.settings import KV_TYPES

if TYPE_CHECKING:
    from gemma_mtp.llama import LoadedPair

PROMPTS = (2048, 1024, 512)  # tokens of the prompt that is timed; the longest that time allows
LONGEST_READ = TRYING_SECONDS / 4  # seconds that reading it once may take
ENOUGH = 1.0  # seconds; what is over sooner is timed again, since a stall would show
MOST = 3  # times that a prompt is read
WIDTH, STEPS = 4, 9  # rows of a round, as three drafts make it, and timings of each width
SPARE = 2 * MAX_WIDTH  # cells that stay free for the rounds behind the prompt


@dataclass(frozen=True)
class OnDevice:
    """What is known of the options of a pair in one placement: the choice that was made before, if
    one was, which options have room there, and where to keep a choice."""

    known: DeviceChoice | None
    fits: Callable[[DeviceOptions], bool]
    keep: Callable[[DeviceChoice], None] = lambda choice: None

    @property
    def usual(self) -> OnDevice:
        """With what is used where nothing was measured; nothing is tried."""
        return replace(self, known=DeviceChoice(DeviceOptions()))


def settle(pair: LoadedPair, on_device: OnDevice, progress: Callable[[float], bool]) -> None:
    """Have the pair use what is fastest on its device. `progress` gets 1..2.

    Raises Cancelled when `progress` says so, BadPair where the contexts cannot be had again.
    """
    choice = on_device.known or _tried(pair, on_device, progress)
    with suppress(DoesNotFit):  # as it is now, then
        pair.use(choice.options)
        pair.info = replace(pair.info, device_choice=choice)
        if choice is not on_device.known:
            on_device.keep(choice)


def _tried(
    pair: LoadedPair, on_device: OnDevice, progress: Callable[[float], bool]
) -> DeviceChoice:
    watch = _Stopwatch(pair, progress)
    start, chooses = pair.device, chooses_attention(pair.options)

    def time(options: DeviceOptions) -> Timing | None:
        possible = options == start or on_device.fits(options)
        return watch.time(options) if possible else None

    choice = choose(start, ladders(chooses), time)
    pair.target.rewind(0)
    return choice


def chooses_attention(options: LoadOptions) -> bool:
    """Whether the user leaves it open, and llama.cpp can do without: not for packed values."""
    return options.flash_attn == "auto" and KV_TYPES[options.kv_type].bytes >= 2


class _Stopwatch:
    """Times a pair with options, one after the other, within TRYING_SECONDS in all."""

    def __init__(self, pair: LoadedPair, progress: Callable[[float], bool]) -> None:
        self._pair, self._progress = pair, progress
        self._end = perf_counter() + TRYING_SECONDS
        self._seen: dict[DeviceOptions, float] = {}  # and how long it took to time them
        # All different: each token has experts of its own.
        size = pair.target.vocabulary.size
        self._text = np.random.default_rng(0).integers(size, size=PROMPTS[0]).tolist()
        self._text = self._text[: self._length()]

    def time(self, options: DeviceOptions) -> Timing | None:
        """None where they cannot be had, and where there is no time."""
        if options.piece > max(len(self._text), GPU_PIECE) or not self._has_time(options):
            return None
        begun = perf_counter()
        try:
            self._pair.use(options)
        except DoesNotFit:
            return None
        timing = Timing(self._reading(), self._writing())
        self._seen[options] = perf_counter() - begun
        return timing

    def _has_time(self, options: DeviceOptions) -> bool:
        """For these, and where they are new, for a second timing of what they are compared with."""
        longest = max(self._seen.values(), default=0.0)
        needed = longest if options in self._seen else 2 * longest
        return bool(self._text) and perf_counter() + needed < self._end

    def _length(self) -> int:
        """Tokens to read, 0 where even a few would take too long."""
        room = self._pair.info.context_size - SPARE
        few = self._text[: min(GPU_PIECE, room)]
        if self._read(few) > LONGEST_READ:
            return 0
        seconds = self._read(few) / len(few)  # the first time has the device get ready
        fitting = (n for n in PROMPTS if n <= room and n * seconds <= LONGEST_READ)
        return next(fitting, 0)

    def _reading(self) -> float:
        times = [self._read(self._text)]
        while len(times) < MOST and sum(times) < ENOUGH:
            times.append(self._read(self._text))
        return min(times) / len(self._text)

    def _read(self, tokens: list[int]) -> float:
        """Seconds of evaluating them in pieces, from the start."""
        target, begun = self._pair.target, perf_counter()
        target.rewind(0)
        for at in range(0, len(tokens), target.piece_size):
            self._go_on()
            piece = tokens[at : at + target.piece_size]
            last = at + len(piece) == len(tokens)
            target.decode(piece, at, 1 if last else 0, True)
        return perf_counter() - begun

    def _writing(self) -> float:
        """Seconds of a plain step and a round of drafts, behind the prompt."""
        target, begun = self._pair.target, perf_counter()

        def go_on(fraction: float) -> bool:
            self._go_on()
            return fraction < 1 / STEPS or perf_counter() - begun < ENOUGH

        found = cost_timing.measure_costs(
            target,
            self._pair.drafter,
            Sampler(Sampling(), 0),
            self._text[:WIDTH],
            len(self._text),
            np.zeros(target.embedding_width, np.float32),
            WIDTH,
            STEPS,
            go_on,
        )
        drafts = (WIDTH - 1) * found.draft_step + (WIDTH + 1) * found.overhead
        return found.verify[1] + found.verify[WIDTH] + drafts

    def _go_on(self) -> None:
        left = max(self._end - perf_counter(), 0.0)
        if not self._progress(2 - left / TRYING_SECONDS):
            raise Cancelled("Loading was stopped.")
