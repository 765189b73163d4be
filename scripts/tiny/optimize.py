"""Optimizers for the tiny models: Muon for matrices, Adam for tables and vectors.

Muon replaces the momentum of a matrix by its nearest (semi-)orthogonal matrix, found with a few
Newton-Schulz steps, so that every direction of the matrix learns at the same pace. It trains
small models in noticeably fewer tokens than Adam alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import torch
from weights import Weights, is_matrix

# A quintic whose iteration drives all singular values into about 0.7..1.2.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5


def orthogonalize(batch: torch.Tensor) -> torch.Tensor:
    """Return nearly orthogonal matrices in the directions of a batch of matrices."""
    x = batch.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.float().flatten(1).norm(dim=1).view(-1, 1, 1) + 1e-7).bfloat16()
    for _ in range(_ROUNDS):
        square = x @ x.mT
        polynomial = torch.baddbmm(square, square, square, beta=_B, alpha=_C)
        x = torch.baddbmm(x, polynomial, x, beta=_A)
    return (x.mT if tall else x).float()


class Optimizer:
    """Updates a dictionary of weights in place; learning rates are scaled by the caller.

    Several processes may share the work: each updates the weights that `mine` gives it. All
    tensors live in shared memory for that.
    """

    def __init__(
        self,
        weights: Weights,
        muon_rate: float = 0.02,
        table_rate: float = 3e-3,
        vector_rate: float = 3e-3,
        momentum: float = 0.95,
    ) -> None:
        self.weights = {n: w for n, w in weights.items() if n != "rope_freqs.weight"}
        self.rates = muon_rate, table_rate, vector_rate
        self.momentum = momentum
        self.step_number = 0
        self.first = {n: torch.zeros_like(w).share_memory_() for n, w in self.weights.items()}
        self.second = {
            n: torch.zeros_like(w).share_memory_()
            for n, w in self.weights.items()
            if not is_matrix(n)
        }

    def mine(self, rank: int, size: int) -> list[str]:
        """The weights that one of `size` processes updates, about the same work for each."""
        names: list[str] = []
        load = [0] * size
        for name in sorted(self.weights, key=lambda n: (-self.weights[n].numel(), n)):
            least = load.index(min(load))
            load[least] += self.weights[name].numel()
            if least == rank:
                names.append(name)
        return names

    @torch.no_grad()
    def step(
        self, gradient_of: Callable[[str], torch.Tensor], scale: float, names: list[str]
    ) -> None:
        """Update `names`; `scale` is the schedule's share of the full learning rates."""
        self.step_number += 1
        groups: dict[torch.Size, list[str]] = defaultdict(list)
        for name in names:
            if is_matrix(name):
                groups[self.weights[name].shape].append(name)
                continue
            rate = self.rates[2] if self.weights[name].dim() == 1 else self.rates[1]
            self._adam(name, gradient_of(name), rate * scale)
        # Matrices of one shape are orthogonalized together.
        for shape, group in groups.items():
            self._muon(shape, group, gradient_of, self.rates[0] * scale)

    def _muon(
        self,
        shape: torch.Size,
        names: list[str],
        gradient_of: Callable[[str], torch.Tensor],
        rate: float,
    ) -> None:
        pushes = []
        for name in names:
            gradient = gradient_of(name)
            moment = self.first[name].lerp_(gradient, 1 - self.momentum)
            pushes.append(gradient.lerp(moment, self.momentum))
        updates = orthogonalize(torch.stack(pushes))
        rate *= max(1.0, shape[0] / shape[1]) ** 0.5
        for name, update in zip(names, updates, strict=True):
            self.weights[name].sub_(update, alpha=rate)

    def _adam(
        self,
        name: str,
        gradient: torch.Tensor,
        rate: float,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        first = self.first[name].lerp_(gradient, 1 - betas[0])
        second = self.second[name].lerp_(gradient.square(), 1 - betas[1])
        unbias_first = 1 - betas[0] ** self.step_number
        unbias_second = 1 - betas[1] ** self.step_number
        deviation = (second / unbias_second).sqrt_().add_(1e-10)
        self.weights[name].addcdiv_(first, deviation, value=-rate / unbias_first)

    def state(self) -> dict:
        """Return what a checkpoint needs."""
        return {"step": self.step_number, "first": self.first, "second": self.second}

    def restore(self, state: dict) -> None:
        """Go on from what `state` returned."""
        self.step_number = state["step"]
        for own, saved in ((self.first, state["first"]), (self.second, state["second"])):
            for name, value in saved.items():
                own[name].copy_(value)
