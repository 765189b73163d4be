"""Trains the drafter of a finished target: to predict what the target predicts, steps ahead.

A draft starts at position p: its token is known, but the cache ends before it. The first step
gets the token and the target's hidden state of position p - 1; every later step gets the next
token and the drafter's own hidden state, still at position p and with the same cache. Training
unrolls these steps on the tokens of the text, because only drafts that agree with it count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from data import Batch, Data, batches
from export import parameters
from model import (
    Memory,
    drafter_step,
    masks,
    rope_table,
    soft_cap,
    target_layer,
)
from plan import Plan
from shapes import DRAFTER, TARGET
from stage import Stage, Task, say, working_copies
from torch.nn import functional
from train_target import layer_compiled, run_target
from weights import Weights, new_drafter

STEP_WEIGHTS = (1.0, 0.9, 0.8, 0.7)  # one for each unrolled step
UNROLL = len(STEP_WEIGHTS)


@dataclass(frozen=True)
class Step:
    """One step of all drafts of a batch."""

    embedded: torch.Tensor  # the token to go on from, embedded by the target
    teacher: torch.Tensor  # the target's logits for the next one
    wanted: torch.Tensor  # the next one in the text
    weights: torch.Tensor  # 1 where the next one is the model's to write


@dataclass(frozen=True)
class Lesson:
    """The target's view of a batch at the positions where drafts start."""

    hidden: torch.Tensor
    memory: Memory
    tables: dict[str, tuple[torch.Tensor, torch.Tensor]]
    biases: dict[str, torch.Tensor]
    steps: list[Step]


def choose_positions(batch: Batch, count: int) -> torch.Tensor:
    """Positions to draft from: the ones before the model's own tokens, drawn by chance."""
    ahead = functional.pad(batch.weights[:, 1:], (0, 1)) == 1
    ahead[:, 0] = False
    ahead[:, -UNROLL:] = False
    generator = torch.Generator().manual_seed(int(batch.tokens.sum()))
    order = torch.rand(ahead.shape, generator=generator) + ahead
    order[:, 0] = -1.0  # there is no hidden state before the first position
    return order.topk(count, dim=1).indices.sort(dim=1).values


@torch.no_grad()
def lesson(target: Weights, batch: Batch, count: int, layer: Callable = layer_compiled) -> Lesson:
    """Run the frozen target and gather what the drafter learns from."""
    hidden, memory = run_target(target, batch, layer)
    chosen = choose_positions(batch, count)
    rows = torch.arange(len(chosen)).unsqueeze(1)
    sliding, full = masks(batch.positions, batch.documents, TARGET.window, strict=True)
    places = batch.positions[rows, chosen]
    tables = {
        "S": rope_table(places, TARGET.head_sliding, TARGET.rope_base_sliding, None),
        "F": rope_table(
            places, TARGET.head_full, TARGET.rope_base_full, target["rope_freqs.weight"]
        ),
    }
    biases = {"S": sliding[rows, chosen], "F": full[rows, chosen]}
    table = target["token_embd.weight"]
    steps = []
    for number in range(UNROLL):
        at = (chosen + number).clamp_max(batch.tokens.shape[1] - 2)
        logits = functional.linear(hidden[rows, at].to(table.dtype), table).float()
        same = batch.documents[rows, at + 1] == batch.documents[rows, chosen - 1]
        steps.append(
            Step(
                embedded=functional.embedding(batch.tokens[rows, at], table)
                * math.sqrt(TARGET.dim),
                teacher=soft_cap(logits, TARGET.softcap),
                wanted=batch.tokens[rows, at + 1],
                weights=((batch.weights[rows, at + 1] == 1) & same).float(),
            )
        )
    return Lesson(hidden[rows, chosen - 1], memory, tables, biases, steps)


def divergence(teacher: torch.Tensor, logits: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean KL divergence of the drafter's prediction from the target's."""
    wanted = teacher.log_softmax(-1)
    distance = (wanted.exp() * (wanted - logits.log_softmax(-1))).sum(-1)
    return (distance * weights).sum() / weights.sum().clamp_min(1)


drafter_compiled = torch.compile(drafter_step, dynamic=False)
divergence_compiled = torch.compile(divergence, dynamic=False)


def drafter_loss(drafter: Weights, part: Lesson) -> torch.Tensor:
    """Loss over all steps of a draft, each on the drafter's own hidden state."""
    hidden, loss = part.hidden, torch.zeros(())
    for step, share in zip(part.steps, STEP_WEIGHTS, strict=True):
        logits, hidden = drafter_compiled(
            drafter,
            step.embedded,
            hidden.to(step.embedded.dtype),
            part.memory,
            part.tables,
            part.biases,
            DRAFTER,
            TARGET.eps,
        )
        loss = loss + share * divergence_compiled(step.teacher, logits, step.weights)
    return loss / sum(STEP_WEIGHTS)


@torch.no_grad()
def check_drafter(drafter: Weights, lessons: Iterable[Lesson]) -> str:
    """Share of drafts that equal the target's greedy choice, by step, given all before it."""
    right, tried = [0.0] * UNROLL, [0.0] * UNROLL
    for part in lessons:
        hidden = part.hidden
        alive = torch.ones_like(part.steps[0].weights, dtype=torch.bool)
        for number, step in enumerate(part.steps):
            logits, hidden = drafter_step(
                drafter,
                step.embedded,
                hidden.to(step.embedded.dtype),
                part.memory,
                part.tables,
                part.biases,
                DRAFTER,
                TARGET.eps,
            )
            best = step.teacher.argmax(-1)
            alive = alive & (step.weights == 1)
            tried[number] += alive.sum().item()
            alive = alive & (logits.argmax(-1) == best)
            right[number] += alive.sum().item()
            # The next input is the text's token: it is the draft's only where all agree.
            alive = alive & (best == step.wanted)
    shares = ", ".join(f"{r / max(t, 1):.1%}" for r, t in zip(right, tried, strict=True))
    return f"held-out acceptance by step {shares}"


def train_drafter(plan: Plan, out: Path, data: Data, target: Weights) -> Weights:
    """Train the drafter of a finished target, or load it if that is done."""
    stage = Stage(
        "drafter",
        out / "drafter.pt",
        new_drafter(DRAFTER, TARGET, plan.seed + 1),
        plan,
        plan.drafter,
    )
    say(f"drafter: {parameters(stage.weights):,} weights, {stage.steps} steps")
    frozen = working_copies(target, rounded=True)
    held = data.held_batches(plan.rows, plan.length)

    def lesson_of(batch: Batch, layer: Callable = layer_compiled) -> Lesson:
        return lesson(frozen, batch, plan.drafter_positions, layer)

    return stage.run(
        Task(
            source=lambda step: batches(data.training, plan.rows, plan.length, plan.seed + 2, step),
            loss=lambda copies, batch: drafter_loss(copies, lesson_of(batch)),
            check=lambda copies: check_drafter(copies, (lesson_of(b, target_layer) for b in held)),
        )
    )
