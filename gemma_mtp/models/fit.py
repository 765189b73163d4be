"""Which pairs run on a machine, with how much context, and which one to recommend.

`doctor`, `show` and offers to pull ask. Pure: works on catalogue entries and on the figures of a
machine. Paces are rough: they say what to expect, and keep a model that would crawl from being
recommended.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from gemma_mtp.api import CPU_PIECE, DEFAULT_CONTEXT, GPU_PIECE
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.machine import Machine
from gemma_mtp.models.memory import MIB, Estimate, estimate, target_bytes
from gemma_mtp.text import byte_size, counted, thousands

CONTEXTS = tuple(2048 << n for n in range(8))  # tokens: 2048 to 262144
ENOUGH_CONTEXT = 32_768  # tokens; more is offered, not recommended: it costs memory and few need it
SPARE_SHARE, SPARE_LEAST = 0.05, 256 * MIB  # of all memory, and bytes; left for everything else
CORE_RATE, CPU_RATE = 10e9, 40e9  # bytes of weights per second: one core; all, where the
# speed of the memory was not measured
SLOW = 4.0  # tokens per second; below, nobody wants to wait


class Verdict(StrEnum):
    """What a person is told."""

    WELL = "runs well"
    SLOW = "runs slowly"
    SMALLER = "runs with a smaller context"
    NO = "does not fit"


@dataclass(frozen=True)
class Fit:
    """One pair on one machine. `context` 0 where it does not fit; `pace` in tokens per second
    without drafts, None on a GPU with memory of its own."""

    entry: Entry
    verdict: Verdict
    context: int
    place: str  # "GPU", "CPU" or ""
    needed: int  # bytes at `context`, or at the smallest one
    pace: float | None
    reason: str


def judge(
    entry: Entry, machine: Machine, wanted: int = DEFAULT_CONTEXT, here: bool = False
) -> Fit | None:
    """Whether `entry` runs; None where its architecture or the machine's memory is not known.

    `here`: it needs no room on the disk any more.
    """
    if entry.shape is None or machine.memory_free is None:
        return None
    room = machine.disk_free
    if not here and room is not None and (entry.bytes or 0) > room:
        reason = f"{byte_size(entry.bytes or 0)} to download, the disk has {byte_size(room)}"
        return Fit(entry, Verdict.NO, 0, "", needs(entry, CONTEXTS[0]).needed, None, reason)
    wanted = min(wanted, entry.context_length)
    places = (["GPU"] if machine.gpus else []) + ["CPU"]
    best = {place: _longest(entry, machine, place) for place in places}
    for enough in (wanted, CONTEXTS[0]):
        for place in places:
            if best[place] >= enough:
                return _runs(entry, machine, place, best[place], wanted)
    return _does_not_fit(entry, machine)


def too_large(entry: Entry, machine: Machine) -> str:
    """A sentence about a pair that the machine has no memory for, else ""."""
    fit = judge(entry, machine, here=True)
    if fit is None or fit.verdict != Verdict.NO:
        return ""
    return f"{entry.name} {fit.verdict} in memory: {fit.reason}."


def judge_all(
    entries: Iterable[Entry],
    machine: Machine,
    wanted: int = DEFAULT_CONTEXT,
    here: Container[str] = (),
) -> list[Fit]:
    """The verdicts on all entries whose needs are known, in their order."""
    fits = (judge(entry, machine, wanted, entry.name in here) for entry in entries)
    return [fit for fit in fits if fit is not None]


def recommend(fits: Iterable[Fit]) -> Fit | None:
    """The largest pair that runs well and at a bearable pace; default variants only."""
    known = [fit for fit in fits if fit.entry.default and fit.verdict != Verdict.NO]
    good = [fit for fit in known if fit.verdict == Verdict.WELL]
    if good:
        return max(good, key=lambda fit: fit.entry.shape.parameters if fit.entry.shape else 0)
    return min(known, key=lambda fit: fit.needed, default=None)


def recommended_context(fit: Fit, wanted: int = DEFAULT_CONTEXT) -> int:
    """The context to recommend, in tokens: enough for most chats and for what is wanted, and no
    more than fits."""
    return min(fit.context, max(ENOUGH_CONTEXT, wanted))


def needs(entry: Entry, context: int, place: str = "CPU") -> Estimate:
    """The estimate for an entry whose shape is known."""
    assert entry.shape is not None
    target = entry.target.total or target_bytes(entry.shape, entry.target.quantization)
    piece = GPU_PIECE if place == "GPU" else CPU_PIECE
    return estimate(entry.shape, target, entry.drafter.total or 0, context, piece)


def _longest(entry: Entry, machine: Machine, place: str) -> int:
    """The longest of CONTEXTS up to which all fit there, or 0.

    A longer one may need less: with flash attention, which a CPU uses for long ones only.
    """
    contexts = (c for c in CONTEXTS if c <= entry.context_length)
    fitting = takewhile(lambda c: _missing(entry, machine, place, c) <= 0, contexts)
    return max(fitting, default=0)


def _missing(entry: Entry, machine: Machine, place: str, context: int) -> int:
    """Bytes that are lacking; 0 or less means that it fits."""
    guess, free = needs(entry, context, place), machine.memory_free or 0
    spare = max(int((machine.memory_total or 0) * SPARE_SHARE), SPARE_LEAST)
    if place == "CPU":
        return guess.needed + spare - free
    host = guess.beside_gpu + spare - free
    if any(gpu.shares_memory for gpu in machine.gpus):
        host += guess.on_gpu
    return max(guess.on_gpu + SPARE_LEAST * len(machine.gpus) - machine.gpu_free, host)


def _runs(entry: Entry, machine: Machine, place: str, context: int, wanted: int) -> Fit:
    verdict = Verdict.WELL if context >= wanted else Verdict.SMALLER
    shown = min(max(wanted, CONTEXTS[0]), context)
    guess = needs(entry, shown, place)
    shared = all(gpu.shares_memory for gpu in machine.gpus)  # so that its speed is known
    pace = _pace(entry, machine, place) if place == "CPU" or shared else None
    if place == "GPU":
        reason = f"{byte_size(machine.gpu_free)} are free on the GPU"
    else:
        reason = f"{byte_size(machine.memory_free or 0)} are free"
    if verdict == Verdict.SMALLER:
        reason = f"{thousands(wanted)} tokens need {_short(entry, machine, place, wanted)}"
    elif pace is not None and pace < SLOW:
        verdict = Verdict.SLOW
        reason = f"{about(pace)} on this CPU, without drafts"
    if place == "CPU" and machine.gpus:
        reason += "; too large for the GPU, so add --gpu-layers 0"
    return Fit(entry, verdict, context, place, guess.needed, pace, reason)


def _does_not_fit(entry: Entry, machine: Machine) -> Fit:
    guess = needs(entry, CONTEXTS[0])
    reason = f"needs {_short(entry, machine, 'CPU', CONTEXTS[0])}"
    if machine.memory_total and guess.needed < machine.memory_total * (1 - SPARE_SHARE):
        reason += "; closing other programs could do"
    return Fit(entry, Verdict.NO, 0, "", guess.needed, None, reason)


def _short(entry: Entry, machine: Machine, place: str, context: int) -> str:
    guess = needs(entry, context, place)
    if place == "GPU":
        return f"{byte_size(guess.on_gpu)} on the GPU, {byte_size(machine.gpu_free)} are free"
    return f"{byte_size(guess.needed)}, {byte_size(machine.memory_free or 0)} are free"


def about(pace: float) -> str:
    """A pace in words; it is no better known than that."""
    return f"about {pace:.0f} tok/s" if pace >= 10 else f"about {pace:.1g} tok/s"


def known_by(machine: Machine) -> str:
    """What the paces follow from, as the rest of a sentence."""
    speed, usable = machine.memory_speed, machine.cores * CORE_RATE
    if not speed:
        return "a rough guess"
    if usable < speed:
        cores = counted(machine.cores, "core")
        return f"from {byte_size(usable)} a second of memory, which is what {cores} can use"
    return f"from {byte_size(speed)} a second of memory, measured now"


def _pace(entry: Entry, machine: Machine, place: str) -> float:
    """Tokens per second if reading the weights of a token is all there is to do."""
    assert entry.shape is not None
    target = entry.target.total or target_bytes(entry.shape, entry.target.quantization)
    read = target * entry.shape.active_parameters / entry.shape.parameters
    speed = machine.memory_speed or CPU_RATE
    return (speed if place == "GPU" else min(machine.cores * CORE_RATE, speed)) / read
