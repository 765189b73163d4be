"""Which pairs run on a machine, with how much context, and which one to recommend.

`doctor`, `show` and offers to pull ask. Pure: works on catalogue entries and on the figures of a
machine; where a pair goes on it, `placement` says. Paces are rough: they say what to expect, and
keep a model that would crawl from being recommended.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from gemma_mtp.api import CPU_PIECE, DEFAULT_CONTEXT, ON_CPU, LoadOptions, Placement
from gemma_mtp.errors import DoesNotFit
from gemma_mtp.models import pace
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.machine import Machine
from gemma_mtp.models.memory import MIB, Estimate, estimate, target_bytes
from gemma_mtp.models.placement import Wanted, choose, room
from gemma_mtp.models.weights import Weights, from_shape
from gemma_mtp.text import byte_size, counted, thousands

CONTEXTS = tuple(2048 << n for n in range(8))  # tokens: 2048 to 262144
ENOUGH_CONTEXT = 32_768  # tokens; more is offered, not recommended: it costs memory and few need it
SPARE_SHARE, SPARE_LEAST = 0.05, 256 * MIB  # of all memory, and bytes; left for everything else
SLOW = 4.0  # tokens per second; below, nobody wants to wait
LIVELY = 10.0  # tokens per second that a part of a pair on a GPU should bring to be recommended
LOSS = 0.1  # share of the pace that a longer context may cost without a word


PARTED = "GPU and CPU"


class Verdict(StrEnum):
    """What a person is told."""

    WELL = "runs well"
    SLOW = "runs slowly"
    SMALLER = "runs with a smaller context"
    NO = "does not fit"


@dataclass(frozen=True)
class Fit:
    """One pair on one machine. `context` 0 where it does not fit; `pace` in tokens per second
    without drafts; `reason` is "" where there is none to give."""

    entry: Entry
    verdict: Verdict
    context: int
    placement: Placement
    needed: int  # bytes at `context`, or at the smallest one
    pace: float | None
    reason: str

    @property
    def place(self) -> str:
        """ "GPU", "GPU and CPU", "CPU", or "" where it does not fit."""
        if not self.context:
            return ""
        if not self.placement.gpus:
            return "CPU"
        return "GPU" if self.placement.is_whole else PARTED

    @property
    def words(self) -> str:
        """The verdict with what it rests on."""
        split = f" {_split(self.placement)}" if self.place == PARTED else ""
        return f"{self.verdict}{split}" + (f": {self.reason}" if self.reason else "")


def judge(
    entry: Entry,
    machine: Machine,
    wanted: int = DEFAULT_CONTEXT,
    here: bool = False,
    options: LoadOptions | None = None,
) -> Fit | None:
    """Whether `entry` runs; None where its architecture or the machine's memory is not known.

    `wanted`: tokens of context. `here`: it needs no room on the disk any more. `options`: how it is
    loaded, but for the context.
    """
    if entry.shape is None or machine.memory_free is None:
        return None
    room = machine.disk_free
    if not here and room is not None and (entry.bytes or 0) > room:
        reason = f"{byte_size(entry.bytes or 0)} to download, the disk has {byte_size(room)}"
        return Fit(entry, Verdict.NO, 0, ON_CPU, needs(entry, CONTEXTS[0]).needed, None, reason)
    wanted = min(wanted, entry.context_length)
    asked = replace(Wanted.of(options or LoadOptions(), wanted), context=wanted)
    placement = _placed(entry, machine, asked)
    if placement:
        longest = _longest(entry, machine, asked, placement)
        return _runs(entry, machine, longest, placement, wanted)
    smaller = _longest(entry, machine, replace(asked, context=CONTEXTS[0]), None)
    placement = _placed(entry, machine, replace(asked, context=smaller)) if smaller else None
    if placement:
        return _runs(entry, machine, smaller, placement, wanted)
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
    options: LoadOptions | None = None,
) -> list[Fit]:
    """The verdicts on all entries whose needs are known, in their order."""
    fits = (judge(entry, machine, wanted, entry.name in here, options) for entry in entries)
    return [fit for fit in fits if fit is not None]


def recommend(fits: Iterable[Fit]) -> Fit | None:
    """The largest pair that runs well and at a bearable pace; default variants only."""
    known = [fit for fit in fits if fit.entry.default and fit.verdict != Verdict.NO]
    good = [fit for fit in known if fit.verdict == Verdict.WELL]
    lively = [fit for fit in good if fit.place != PARTED or (fit.pace or 0) >= LIVELY]
    if good:
        sized = lively or good
        return max(sized, key=lambda fit: fit.entry.shape.parameters if fit.entry.shape else 0)
    return min(known, key=lambda fit: fit.needed, default=None)


def recommended_context(fit: Fit, wanted: int = DEFAULT_CONTEXT) -> int:
    """The context to recommend, in tokens: enough for most chats and for what is wanted, and no
    more than fits."""
    return min(fit.context, max(ENOUGH_CONTEXT, wanted))


def needs(entry: Entry, context: int) -> Estimate:
    """The estimate on a CPU for an entry whose shape is known."""
    assert entry.shape is not None
    sizes = _target_bytes(entry), entry.drafter.total or 0
    return estimate(entry.shape, *sizes, context, CPU_PIECE)


def _target_bytes(entry: Entry) -> int:
    assert entry.shape is not None
    return entry.target.total or target_bytes(entry.shape, entry.target.quantization)


def _weights(entry: Entry) -> Weights:
    assert entry.shape is not None
    return from_shape(entry.shape, _target_bytes(entry), entry.drafter.total or 0)


def _spare(machine: Machine) -> int:
    return max(int((machine.memory_total or 0) * SPARE_SHARE), SPARE_LEAST)


def _placed(entry: Entry, machine: Machine, wanted: Wanted) -> Placement | None:
    """Where it goes; None where there is too little memory."""
    assert entry.shape is not None
    free = (machine.memory_free or 0) - _spare(machine)
    known = replace(machine, memory_free=free, memory_total=None)
    try:
        placement = choose(entry.shape, _weights(entry), machine.gpus, wanted, known)
    except DoesNotFit:  # more layers were asked for than the memory that may be used
        return None
    rooms = {gpu.name: room(gpu) for gpu in machine.gpus}
    on_gpus = all(gpu.bytes <= rooms[gpu.name] for gpu in placement.gpus)
    return placement if on_gpus and placement.beside <= free else None


def _longest(entry: Entry, machine: Machine, wanted: Wanted, placement: Placement | None) -> int:
    """The longest of CONTEXTS from the one that is wanted on up to which all fit, about as fast as
    in `placement`; or 0, or the wanted one where that fits.

    A longer one may need less: with flash attention, which a CPU uses for long ones only.
    """
    longest = wanted.context if placement else 0
    for context in (c for c in CONTEXTS if wanted.context <= c <= entry.context_length):
        found = _placed(entry, machine, replace(wanted, context=context))
        if found is None:
            break
        if placement and _speed(entry, machine, found) < (1 - LOSS) * _speed(
            entry, machine, placement
        ):
            break
        longest = context
    return longest


def _speed(entry: Entry, machine: Machine, placement: Placement) -> float:
    """Tokens per second without drafts."""
    assert entry.shape is not None
    return 1 / pace.seconds(entry.shape, _weights(entry), placement, machine)


def _runs(entry: Entry, machine: Machine, context: int, placement: Placement, wanted: int) -> Fit:
    speed = _speed(entry, machine, placement)
    taken = sum(gpu.bytes for gpu in placement.gpus)
    verdict, reason = Verdict.WELL, f"{byte_size(machine.memory_free or 0)} are free"
    if placement.is_whole:
        reason = "all layers fit on the GPU"  # tables that stay beside it have a size of their own
    elif placement.gpus:
        reason = ""
    if context < wanted:
        verdict = Verdict.SMALLER
        reason = f"{thousands(wanted)} tokens need {_short(entry, machine, wanted)}"
    elif speed < SLOW:
        verdict = Verdict.SLOW
        reason = f"{about(speed)}, without drafts"
    return Fit(entry, verdict, context, placement, taken + placement.beside, speed, reason)


def _split(placement: Placement) -> str:
    """Which part of a pair is on a GPU and which is not."""
    if placement.layers == placement.of:
        layers = f"{placement.cpu_experts} of {placement.of - 1} layers"
        return f"with the experts of {layers} in main memory"
    apart = " and all experts in main memory" if placement.cpu_experts else ""
    return f"with {placement.layers} of {placement.of} layers on the GPU{apart}"


def _does_not_fit(entry: Entry, machine: Machine) -> Fit:
    guess = needs(entry, CONTEXTS[0])
    reason = f"needs {_short(entry, machine, CONTEXTS[0])}"
    if machine.memory_total and guess.needed < machine.memory_total * (1 - SPARE_SHARE):
        reason += "; closing other programs could do"
    return Fit(entry, Verdict.NO, 0, ON_CPU, guess.needed, None, reason)


def _short(entry: Entry, machine: Machine, context: int) -> str:
    free = f"{byte_size(machine.memory_free or 0)} are free"
    if apart := [gpu.free for gpu in machine.gpus if not gpu.shares_memory]:
        free += f", and {byte_size(sum(apart))} on the GPU"
    return f"{byte_size(needs(entry, context).needed)}, {free}"


def about(pace: float) -> str:
    """A pace in words; it is no better known than that."""
    return f"about {pace:.0f} tok/s" if pace >= 10 else f"about {pace:.1g} tok/s"


def known_by(machine: Machine) -> str:
    """What the paces follow from, as the rest of a sentence."""
    speed, usable = machine.memory_speed, machine.cores * pace.CORE_RATE
    if not speed:
        return "a rough guess"
    if usable < speed:
        cores = counted(machine.cores, "core")
        basis = f"from {byte_size(usable)} a second of memory, which is what {cores} can use"
    else:
        basis = f"from {byte_size(speed)} a second of memory, measured now"
    if any(not gpu.shares_memory for gpu in machine.gpus):
        basis += f", and {byte_size(pace.GPU_RATE)} of a GPU, a careful guess"
    return basis
