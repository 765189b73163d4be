"""What a round costs by its width, learned from the rounds themselves.

Costs differ by machine, quantization and model and need not even grow with the width, so every
width is timed; none is interpolated. Two things move: the cost of one width, learned when it is
used, and the level of all of them, since a longer context or a busy machine slows every width
much alike. Knows only numbers; times in seconds.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median, median_low
from typing import Any

ANCHOR_ROUNDS = 3  # timings at a width before it is taken to be known
STALE_ROUNDS = 24  # without use, after which a width is timed afresh when it is used again
LEVEL_WEIGHT = 0.15  # of one round when all widths are taken to have slowed down with it
LARGEST_STEP = 0.25  # change of a logarithm that one round may show; more is taken for a stall
CHANGED_COST = 0.25  # a logarithm; a width further from what was known casts doubt on the others
SURE_DRAFTS = 5  # timings of drafts; two of them may have been stalls
FEWEST_REBUILDS = 3  # timings of a rebuild before it is taken to be known
FIRST_BUCKET = 1024  # positions; a bucket ends at twice its start


@dataclass(frozen=True)
class Costs:
    """Seconds of verifying by width and of one draft step, `overhead` seconds of a round outside
    llama.cpp; all measured with about `position` tokens in the context."""

    verify: dict[int, float]
    draft_step: float
    overhead: float
    position: int


@dataclass(frozen=True)
class Guess:
    """What one row more and one draft step are taken to cost before they were timed, in plain
    steps."""

    row: float
    draft_step: float


# A model that is read from memory in every step: about what was measured with E2B's shape in Q4_0.
# One that lies in the processor's cache, such as the built-in pair: a row more is nearly as much
# work as the first, and the very first draft took 1.3 plain steps.
FROM_MEMORY, IN_CACHE = Guess(0.3, 0.12), Guess(0.7, 1.0)


@dataclass
class _Width:
    """Cost (logarithm) of one width, as it was when the level stood at `level`.

    `before` is what it was taken for when the newest timings began. `rough` says how often it was
    timed only while llama.cpp built its graph, which makes the cost too high.
    """

    cost: float
    level: float
    seen: int
    before: float | None = None
    rough: int = 0
    samples: list[float] = field(default_factory=list)


class CostCurve:
    """Cost of a round by width without its drafting, of a draft step, and of changing the width.

    `draft_step`: seconds of drafting one token, 0 before the first. `rebuild`: seconds that the
    first round after a change of width takes longer.
    """

    def __init__(self) -> None:
        self._widths: dict[int, _Width] = {}
        self._level = 0.0
        self._rounds = 0
        self._level_known = True
        self._draft_steps: deque[float] = deque(maxlen=15)
        self._rebuilds: deque[float] = deque(maxlen=7)
        self.draft_step = 0.0
        self.rebuild = 0.0
        self.doubted: set[int] = set()

    def __len__(self) -> int:
        return len(self._widths)

    def __contains__(self, width: int) -> bool:
        return width in self._widths

    @property
    def widths(self) -> list[int]:
        """Widths used so far, in ascending order."""
        return sorted(self._widths)

    def verify(self, width: int) -> float:
        """Seconds of a round of this width, drafting left out; infinite when never used."""
        known = self._widths.get(width)
        return math.inf if known is None else math.exp(self._now(known))

    def timings(self, width: int) -> int:
        """How many timings the cost of this width rests on, at most ANCHOR_ROUNDS: as many for a
        cost that was remembered, and none where llama.cpp had to build its graph."""
        known = self._widths.get(width)
        if known is None or known.rough:
            return 0
        return min(len(known.samples), ANCHOR_ROUNDS) or ANCHOR_ROUNDS

    def is_open(self, width: int) -> bool:
        """Whether this width has never been used, or once while llama.cpp built its graph."""
        known = self._widths.get(width)
        return known is None or known.rough == 1

    def rounds_since(self, width: int) -> int:
        """Rounds since this width was last timed."""
        return self._rounds - self._widths[width].seen

    def drafted(self, tokens: int, seconds: float) -> None:
        """Drafting `tokens` took `seconds`."""
        self._draft_steps.append(seconds / tokens)
        self.draft_step = median_low(self._draft_steps)

    @property
    def draft_step_sure(self) -> bool:
        """Whether `draft_step` rests on enough timings that a few stalls cannot be all of it, as
        when the drafter is read from the disk for the first time."""
        return len(self._draft_steps) >= SURE_DRAFTS

    def verified(self, width: int, seconds: float, changed: bool) -> None:
        """A round took `seconds` besides its drafting; `changed`: the one before was not as wide,
        so that llama.cpp had to rebuild its graph."""
        self._rounds += 1
        cost = math.log(max(seconds, 1e-9))
        if not changed:
            self._time(width, cost)
        elif self.timings(width):
            # A stall in this one round would say more than all the others.
            cheapest = min(self.verify(w) for w in self._widths)
            self._rebuilds.append(min(seconds - self.verify(width), cheapest))
            if len(self._rebuilds) >= FEWEST_REBUILDS:
                self.rebuild = max(median(self._rebuilds), 0.0)
        elif self._rebuilds:
            cheapest = min(self.verify(w) for w in self._widths)
            self._time_roughly(width, math.log(max(seconds - min(self._rebuilds), cheapest)))
        else:
            self._time_roughly(width, cost)

    def _time(self, width: int, cost: float) -> None:
        known = self._widths.get(width)
        if known is not None and known.rough:
            cost, known = min(cost, self._now(known)), None  # longer than with a rebuild: a stall
        if known is None:
            known = self._widths[width] = _Width(cost, self._level, self._rounds)
        elif self._rounds - known.seen > STALE_ROUNDS:
            known.before = self._now(known)
            known.samples[:] = [known.before]
        if len(known.samples) < ANCHOR_ROUNDS:
            self._learn_first(width, known, cost)
        else:
            drift = cost - self._now(known)
            self._level += LEVEL_WEIGHT * max(-LARGEST_STEP, min(LARGEST_STEP, drift))
        known.seen = self._rounds

    def _time_roughly(self, width: int, cost: float) -> None:
        """Better than nothing: a width that is too dear even so need not be timed any further. Of
        two such timings the smaller is believed, since one may be a stall, or the first may have
        been when nothing was known of rebuilds."""
        known = self._widths.get(width)
        if known is None:
            known = self._widths[width] = _Width(cost, self._level, self._rounds)
        known.cost, known.level = min(cost, self._now(known)), self._level
        known.rough, known.seen = known.rough + 1, self._rounds

    def _learn_first(self, width: int, known: _Width, cost: float) -> None:
        """Take the first timings in a while for the cost of this width alone."""
        known.samples.append(cost)
        newest, before = median(known.samples), known.before
        complete = len(known.samples) == ANCHOR_ROUNDS
        if not self._level_known and before is not None:
            # Remembered costs: what this width differs by, the others may differ by as well.
            if complete:
                self._level += newest - before
                self._level_known = True
            return
        if complete and before is not None and abs(newest - before) > CHANGED_COST:
            self.doubted = set(self._widths) - {width}
        self.doubted.discard(width)
        # A stall makes a round longer, nothing makes it shorter: of two the smaller is believed.
        known.cost, known.level = median_low(known.samples), self._level

    def _now(self, known: _Width) -> float:
        return known.cost + self._level - known.level

    def copy(self) -> CostCurve:
        """The same costs, to be timed afresh: what another context length starts from."""
        return CostCurve.from_dict(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Plain data: seconds by width, of a draft step, and of a change of width."""
        return {
            "verify": {str(w): self.verify(w) for w in self.widths},
            "rough": {str(w): self._widths[w].rough for w in self.widths if self._widths[w].rough},
            "draft_step": self.draft_step,
            "draft_timings": len(self._draft_steps),
            "rebuild": self.rebuild,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CostCurve:
        """The curve that `as_dict` described. Raises ValueError for anything else."""
        curve = cls()
        try:
            for width, seconds in data["verify"].items():
                known = _Width(math.log(seconds), 0.0, -STALE_ROUNDS - 1)
                known.rough = int(data.get("rough", {}).get(width, 0))
                curve._widths[int(width)] = known
            curve._level_known = not curve._widths
            timings = min(int(data.get("draft_timings", SURE_DRAFTS)), SURE_DRAFTS)
            for name, kept, count in (
                ("draft_step", curve._draft_steps, timings),
                ("rebuild", curve._rebuilds, FEWEST_REBUILDS),
            ):
                if data[name] > 0 and count > 0:
                    kept.extend([float(data[name])] * count)
                    setattr(curve, name, kept[0])
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError("not a cost curve") from error
        return curve


class CostBook:
    """Cost curves by number of threads and by context bucket: 0 up to 1,024 tokens, 1 up to 2,048,
    2 up to 4,096, ...

    `threads`: how many evaluate now; set it when that changes.
    """

    def __init__(self, curves: Mapping[tuple[int, int], CostCurve] | None = None) -> None:
        self.curves = dict(curves or {})
        self.threads = 1

    def learn(self, costs: Costs) -> None:
        """Take over costs that were measured all at once."""
        verify = {str(w): seconds + costs.overhead for w, seconds in costs.verify.items()}
        rebuild = self.at(costs.position).rebuild
        data = {"verify": verify, "draft_step": costs.draft_step, "rebuild": rebuild}
        self.curves[self._key(costs.position)] = CostCurve.from_dict(data)

    def at(self, position: int) -> CostCurve:
        """The curve for this position and `threads`; one never seen starts from that nearest to
        it, the same number of threads first."""
        key = self._key(position)
        if key not in self.curves:
            nearest = min(
                self.curves,
                key=lambda k: (abs(k[0] - key[0]), abs(k[1] - key[1])),
                default=None,
            )
            self.curves[key] = CostCurve() if nearest is None else self.curves[nearest].copy()
        return self.curves[key]

    def _key(self, position: int) -> tuple[int, int]:
        return self.threads, (position // FIRST_BUCKET).bit_length()

    def as_dict(self) -> dict[str, Any]:
        """Plain data by threads and bucket, such as "2/0"."""
        return {
            f"{threads}/{bucket}": curve.as_dict()
            for (threads, bucket), curve in self.curves.items()
            if curve.widths
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CostBook:
        """The book that `as_dict` described. Raises ValueError for anything else."""
        try:
            curves = {}
            for key, curve in data.items():
                threads, bucket = key.split("/")
                curves[int(threads), int(bucket)] = CostCurve.from_dict(curve)
            return cls(curves)
        except (AttributeError, TypeError) as error:
            raise ValueError("not cost curves") from error
