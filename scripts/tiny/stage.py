"""The training loop that target and drafter share: steps, reports, checkpoints.

It does not know what it trains: a stage is handed batches and a loss function.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from data import Batch
from export import is_rounded
from optimize import Optimizer
from parallel import Team, run_team, shared
from plan import Cycle, Plan
from quant import fake_q4_0
from weights import Weights, is_matrix


def say(text: str) -> None:
    """Print a line with the time of day."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def working_copy(name: str, weight: torch.Tensor, rounded: bool) -> torch.Tensor:
    """A weight as it is computed with: bfloat16 unless a vector, on request rounded to Q4_0.

    Gradients arrive at the copy and are applied to the original, so rounding is passed
    straight through.
    """
    copy = fake_q4_0(weight) if rounded and is_rounded(name) else weight
    large = is_matrix(name) or "token_embd" in name
    return copy.bfloat16() if large else copy.clone()


def working_copies(weights: Weights, rounded: bool) -> Weights:
    """All weights as they are computed with."""
    return {name: working_copy(name, weight, rounded) for name, weight in weights.items()}


@dataclass(frozen=True)
class Task:
    """What a stage does: where batches come from, the loss of one, and a held-out report."""

    source: Callable[[int], Iterator[Batch]]  # batches from a given step on
    loss: Callable[[Weights, Batch], torch.Tensor]
    check: Callable[[Weights], str]


class Stage:
    """One model in training, with its checkpoint file."""

    def __init__(
        self, name: str, path: Path, weights: Weights, plan: Plan, cycles: tuple[Cycle, ...]
    ) -> None:
        self.name, self.path, self.plan, self.cycles = name, path, plan, cycles
        self.weights = shared(weights)
        self.optimizer = Optimizer(self.weights)
        self.step, self.steps = 0, plan.steps(cycles)
        if path.exists():
            self._restore()

    def _restore(self) -> None:
        saved = torch.load(self.path)
        for name, weight in saved["weights"].items():
            self.weights[name].copy_(weight)
        self.optimizer.restore(saved["optimizer"])
        self.step = saved["step"]
        say(f"{self.name}: going on at step {self.step}")

    def _save(self) -> None:
        """Write a checkpoint; a stop while writing leaves the old one."""
        state = {"step": self.step, "weights": self.weights, "optimizer": self.optimizer.state()}
        partial = self.path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.path)

    def _rounded(self) -> bool:
        """Tell whether the coming step computes with rounded weights."""
        return self.plan.at(self.cycles, self.step)[1]

    def run(self, task: Task) -> Weights:
        """Train up to the last step and return the weights."""
        if self.step < self.steps:
            copies = working_copies(self.weights, self._rounded())
            run_team(self.plan.processes, copies, lambda team: self._work(team, task))
            self.step = self.steps
        return self.weights

    def _work(self, team: Team, task: Task) -> None:
        """What each process does: its rows, then its share of the weights."""
        torch.set_num_threads(1)
        mine = self.optimizer.mine(team.rank, team.size)
        source = task.source(self.step)
        started, first, losses = time.monotonic(), self.step, []
        while self.step < self.steps:
            self._gradients(team, task, next(source))
            team.meet()
            losses.append(team.losses.mean().item())
            self._update(team, mine)
            team.meet()
            if team.rank == 0 and self._is_due(self.plan.report_every):
                pace = (time.monotonic() - started) / (self.step - first)
                mark = ", rounded" if self._rounded() else ""
                say(
                    f"{self.name} {self.step}/{self.steps}: loss {sum(losses) / len(losses):.4f}, "
                    f"{pace:.3f} s a step{mark}"
                )
                losses = []
            # The last process checks while the first one saves.
            if team.rank == team.size - 1 and self._is_due(self.plan.check_every):
                say(f"{self.name} {self.step}: {task.check(team.copies)}")
            if team.rank == 0 and self._is_due(self.plan.save_every):
                self._save()
            team.meet()

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.steps

    def _gradients(self, team: Team, task: Task, batch: Batch) -> None:
        """Compute this process's gradients and loss."""
        leaves = {
            name: copy.detach().requires_grad_(name in self.optimizer.weights)
            for name, copy in team.copies.items()
        }
        loss = task.loss(leaves, batch.part(team.rank, team.size))
        loss.backward()
        for name in self.optimizer.weights:
            team.gradients[team.rank][name].copy_(leaves[name].grad)
        team.losses[team.rank] = loss.item()

    def _update(self, team: Team, mine: list[str]) -> None:
        """Update this process's share of the weights and of their working copies."""
        scale, _ = self.plan.at(self.cycles, self.step)
        self.optimizer.step(team.combined, scale, mine)
        self.step += 1
        for name in mine:
            team.copies[name].copy_(working_copy(name, self.weights[name], self._rounded()))
