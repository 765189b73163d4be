"""The numbers of a training run: corpus, batches, steps and rates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cycle:
    """A stretch of steps over which the learning rate rises, stays and falls to nothing."""

    steps: int
    rate: float = 1.0  # highest rate, as a share of the optimizer's
    decay: float = 0.6  # share of the steps, at the end, in which the rate falls
    rounded: float = 0.35  # share of the steps, at the end, with rounded weights


@dataclass(frozen=True)
class Plan:
    """One run. Steps are counted, never timed, so a run can be repeated."""

    seed: int = 7
    chats: int = 120_000
    held_out: int = 400
    tokenizer_chats: int = 20_000  # chats that the tokenizer is learned from
    processes: int = 2
    rows: int = 8
    length: int = 512
    # Counting and sums come late: a second, gentler cycle helps them most.
    target: tuple[Cycle, ...] = (Cycle(2200), Cycle(1300, rate=0.6, decay=1.0, rounded=1.0))
    drafter: tuple[Cycle, ...] = (Cycle(1400, decay=0.7, rounded=0.5),)
    drafter_positions: int = 224  # positions per row that a drafter step learns from
    warm_up: int = 50
    report_every: int = 20
    check_every: int = 250
    save_every: int = 125

    def steps(self, cycles: tuple[Cycle, ...]) -> int:
        """Steps of all cycles."""
        return sum(cycle.steps for cycle in cycles)

    def at(self, cycles: tuple[Cycle, ...], step: int) -> tuple[float, bool]:
        """The learning rate's share at a step, and whether weights are rounded in it."""
        for cycle in cycles:
            if step < cycle.steps:
                rise = min(1.0, (step + 1) / self.warm_up)
                fall = min(1.0, (cycle.steps - step) / (cycle.steps * cycle.decay))
                return cycle.rate * rise * fall, step >= cycle.steps * (1 - cycle.rounded)
            step -= cycle.steps
        return 0.0, True


QUICK = Plan(
    chats=400,
    held_out=24,
    rows=2,
    length=256,
    target=(Cycle(4), Cycle(2)),
    drafter=(Cycle(4),),
    drafter_positions=64,
    warm_up=2,
    report_every=1,
    check_every=3,
    save_every=3,
)
