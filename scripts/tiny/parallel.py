"""Runs one training step in several processes of one thread each, over shared weights.

On a busy machine this is faster than one process with several threads: threads meet after every
operation and wait for the slowest, processes only twice a step. Every process computes gradients
for its share of the rows, then updates its share of the weights with everyone's gradients. The
order of all sums is fixed, so the result depends on the number of processes but not on timing.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

import torch
from weights import Weights


@dataclass(frozen=True)
class Team:
    """One process's view of all of them."""

    rank: int
    size: int
    barrier: Barrier
    copies: Weights  # the weights as they are computed with
    gradients: list[Weights]  # one set per process
    losses: torch.Tensor

    def meet(self) -> None:
        """Wait for the others; raises if one of them failed."""
        self.barrier.wait()

    def combined(self, name: str) -> torch.Tensor:
        """The mean gradient of all processes for one weight."""
        total = self.gradients[0][name].float()
        for other in self.gradients[1:]:
            total = total + other[name].float()
        return total / self.size


def shared(weights: Weights) -> Weights:
    """Move weights into memory that forked processes share."""
    return {name: weight.clone().share_memory_() for name, weight in weights.items()}


def run_team(size: int, copies: Weights, work: Callable[[Team], None]) -> None:
    """Run `work` in `size` forked processes; gradients have the types and shapes of `copies`."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(size)
    copies = shared(copies)
    gradients = [
        shared({n: torch.zeros_like(copy) for n, copy in copies.items()}) for _ in range(size)
    ]
    losses = torch.zeros(size).share_memory_()

    def member(rank: int) -> None:
        try:
            work(Team(rank, size, barrier, copies, gradients, losses))
        except BaseException:
            barrier.abort()
            raise

    processes = [context.Process(target=member, args=(rank,)) for rank in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("training stopped: a process failed")
