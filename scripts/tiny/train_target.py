"""Trains the target: next-token prediction on packed chats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from data import Batch, Data, batches
from export import parameters
from model import Memory, soft_cap, target_hidden, target_layer
from plan import Plan
from shapes import TARGET
from stage import Stage, Task, say
from torch.nn import functional
from weights import Weights, new_target


def head_loss(
    hidden: torch.Tensor,
    table: torch.Tensor,
    wanted: torch.Tensor,
    weights: torch.Tensor,
    cap: float,
) -> torch.Tensor:
    """Weighted cross entropy of the token after each hidden state."""
    logits = soft_cap(functional.linear(hidden.to(table.dtype), table).float(), cap)
    chosen = logits.gather(-1, wanted.unsqueeze(-1)).squeeze(-1)
    return ((logits.logsumexp(-1) - chosen) * weights).sum() / weights.sum().clamp_min(1)


layer_compiled = torch.compile(target_layer, dynamic=False)
head_loss_compiled = torch.compile(head_loss, dynamic=False)


def run_target(
    weights: Weights, batch: Batch, layer: Callable = layer_compiled
) -> tuple[torch.Tensor, Memory]:
    """Hidden states and caches of a batch."""
    return target_hidden(weights, batch.tokens, batch.positions, batch.documents, TARGET, layer)


def target_loss(weights: Weights, batch: Batch) -> torch.Tensor:
    """Training loss of the target."""
    hidden, _ = run_target(weights, batch)
    wanted = functional.pad(batch.tokens[:, 1:], (0, 1))
    shares = functional.pad(batch.weights[:, 1:], (0, 1))
    return head_loss_compiled(hidden, weights["token_embd.weight"], wanted, shares, TARGET.softcap)


@torch.no_grad()
def check_target(weights: Weights, held: list[Batch]) -> str:
    """Held-out loss and accuracy on the model's turns."""
    loss = right = total = 0.0
    for batch in held:
        hidden, _ = run_target(weights, batch, target_layer)  # too rare to be worth compiling
        table = weights["token_embd.weight"]
        logits = soft_cap(functional.linear(hidden.to(table.dtype), table).float(), TARGET.softcap)
        wanted, own = batch.tokens[:, 1:], batch.weights[:, 1:] == 1
        losses = functional.cross_entropy(logits[:, :-1].transpose(1, 2), wanted, reduction="none")
        loss += losses[own].sum().item()
        right += (logits[:, :-1].argmax(-1) == wanted)[own].sum().item()
        total += own.sum().item()
    return f"held-out loss {loss / total:.4f}, next token right {right / total:.2%}"


def train_target(plan: Plan, out: Path, data: Data) -> Weights:
    """Train the target, or load it if that is done."""
    stage = Stage(
        "target",
        out / "target.pt",
        new_target(TARGET, plan.seed),
        plan,
        plan.target,
    )
    tokens = stage.steps * plan.rows * plan.length
    say(
        f"target: {parameters(stage.weights):,} weights, {stage.steps} steps, "
        f"{tokens / 1e6:.1f}M tokens"
    )
    held = data.held_batches(plan.rows, plan.length)
    return stage.run(
        Task(
            source=lambda step: batches(data.training, plan.rows, plan.length, plan.seed, step),
            loss=target_loss,
            check=lambda copies: check_target(copies, held),
        )
    )
