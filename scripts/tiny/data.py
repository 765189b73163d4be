"""Turns conversations into rows of tokens for training: encoding, loss weights, packing.

It knows the chat format only as far as it must: where the model's own turns are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from tokenizer import BOS_ID, PAD_ID, Tokenizer

OTHER_WEIGHT = 0.1  # loss weight of text that the model reads rather than writes
POOL = 64  # documents among which packing looks for one that fits


@dataclass(frozen=True)
class Document:
    """One rendered chat: token ids and the loss weight of predicting each of them."""

    tokens: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Packed rows; `weights[:, i]` belongs to predicting `tokens[:, i]`."""

    tokens: torch.Tensor
    weights: torch.Tensor
    documents: torch.Tensor
    positions: torch.Tensor

    def part(self, rank: int, size: int) -> Batch:
        """The rows that one of `size` processes works on."""
        return Batch(
            self.tokens[rank::size],
            self.weights[rank::size],
            self.documents[rank::size],
            self.positions[rank::size],
        )


@dataclass(frozen=True)
class Data:
    """The tokenizer and the encoded chats."""

    tokenizer: Tokenizer
    training: list[Document]
    held_out: list[Document]

    def held_batches(self, rows: int, length: int) -> list[Batch]:
        """The held-out chats as batches that are the same every time."""
        need = sum(len(document.tokens) for document in self.held_out)
        source = batches(self.held_out, rows, length, seed=0)
        return [next(source) for _ in range(max(1, need // (rows * length)))]


class Encoder:
    """Encodes rendered chats and finds the turns that the model writes."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.opening = tokenizer.encode("<|turn>model\n")
        self.closing = tokenizer.encode("<turn|>")[0]
        self.thinking = tokenizer.encode("<|think|>")[0]

    def document(self, text: str) -> Document:
        """Encode a chat; its text starts with <bos>."""
        ids = self.tokenizer.encode(text)
        weights = np.full(len(ids), OTHER_WEIGHT, dtype=np.float32)
        weights[0] = 0.0
        turns = self._model_turns(ids)
        if self.thinking in ids:
            # Earlier turns have lost their thoughts: learning them would teach not to think.
            for start, end in turns[:-1]:
                weights[start:end] = 0.0
            turns = turns[-1:]
        for start, end in turns:
            weights[start:end] = 1.0
        return Document(np.array(ids, dtype=np.int16), weights)

    def _model_turns(self, ids: list[int]) -> list[tuple[int, int]]:
        """Ranges of the tokens that the model writes, closing token included."""
        turns, size, index = [], len(self.opening), 0
        while index < len(ids):
            if ids[index : index + size] == self.opening:
                start = index + size
                index = ids.index(self.closing, start) + 1
                turns.append((start, index))
            else:
                index += 1
        return turns


def pack(documents: list[Document], length: int, rng: random.Random) -> Iterator[list[Document]]:
    """Group documents into rows of at most `length` tokens, without cutting any that fits."""
    order = list(range(len(documents)))
    rng.shuffle(order)
    pool: list[Document] = []
    row: list[Document] = []
    room = length
    while order or pool:
        while order and len(pool) < POOL:
            pool.append(documents[order.pop()])
        best = -1
        for index, document in enumerate(pool):
            size = min(len(document.tokens), length)
            if size <= room and (best < 0 or size > len(pool[best].tokens)):
                best = index
        if best < 0:
            yield row
            row, room = [], length
            continue
        # The pool's end replaces what is taken, so taking costs nothing.
        pool[best], pool[-1] = pool[-1], pool[best]
        row.append(pool.pop())
        room -= min(len(row[-1].tokens), length)
    if row:
        yield row


def to_batch(rows: list[list[Document]], length: int) -> Batch:
    """Lay rows out as tensors, filled up with padding that carries no loss."""
    tokens = np.full((len(rows), length), PAD_ID, dtype=np.int64)
    weights = np.zeros((len(rows), length), dtype=np.float32)
    for index, row in enumerate(rows):
        at = 0
        for document in row:
            part = document.tokens[: length - at]
            tokens[index, at : at + len(part)] = part
            weights[index, at : at + len(part)] = document.weights[: len(part)]
            at += len(part)
    ids = torch.from_numpy(tokens)
    positions = torch.arange(length).expand(len(rows), length)
    return Batch(ids, torch.from_numpy(weights), (ids == BOS_ID).cumsum(1), positions)


def batches(
    documents: list[Document], rows: int, length: int, seed: int, skip: int = 0
) -> Iterator[Batch]:
    """Endless batches, epoch after epoch in a new order, without the first `skip` ones."""
    rng = random.Random(seed)
    waiting: list[list[Document]] = []
    while True:
        for row in pack(documents, length, rng):
            waiting.append(row)
            if len(waiting) == rows:
                if skip:
                    skip -= 1
                else:
                    yield to_batch(waiting, length)
                waiting = []
