"""Walk along a text of the target's own and ask the drafter at every position.

Gives what no single run shows: what the drafter would have proposed from each position on, so that
any way of drafting can be judged afterwards on one and the same text. Knows how to drive a pair;
nothing of draft lengths or temperatures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gemma_mtp.api import Message, Request, Sampling
from gemma_mtp.decoding.drafters import DraftModel
from gemma_mtp.decoding.rows import Row
from gemma_mtp.decoding.sampler import Sampler, capped
from gemma_mtp.decoding.transcript import of_tokens
from gemma_mtp.engine.engine import Engine

PROMPTS = (
    "Tell me a long story about a fox.",
    "What is speculative decoding?",
    "Count from 1 to 30.",
    "Write a poem about the sea.",
    "Tell me a story about a robot and a garden.",
    "Who are you, and what can you do?",
    "List ten animals.",
    "What is 7 + 8?",
    "Tell me a joke.",
    "Explain what a drafter is.",
    "Describe a journey from a village to the mountains.",
    "Why is the sky blue? Answer as a pirate.",
)


@dataclass
class Stop:
    """One position of the walk: the pending token sits at `position`, unevaluated; `hidden` is the
    target's state before it, `text` is what the target will write after it, and `rows[i]` is what
    `text[i]` will be chosen from."""

    position: int
    pending: int
    hidden: Row
    rows: list[Row]
    text: list[int]


def walk(engine: Engine, prompt: str, sampling: Sampling, seed: int, tokens: int) -> Iterator[Stop]:
    """Every position of a reply by plain decoding. The drafter may be used at each stop; what it
    reads of the target's cache is then as it is in a real round."""
    request = Request((Message.text("user", prompt),), sampling, seed=seed)
    ids = engine.prompt(request)
    sampler = Sampler(sampling, seed, engine.pair.target.softcap)
    text = _write(engine, ids, sampler, tokens)
    rows = _rows(engine, ids, text)
    hidden = _prefill(engine, ids)
    target = engine.pair.target
    for i, pending in enumerate(text[:-1]):
        position = len(ids) + i
        yield Stop(position, pending, hidden, rows[i:], text[i + 1 :])
        target.decode([pending], position, 1)
        hidden = target.hidden(0).copy()
    target.keep(len(ids))


def _prefill(engine: Engine, ids: list[int]) -> Row:
    engine.cache.rewind(0)
    for _ in engine.cache.prefill(of_tokens(ids)):
        pass
    return engine.pair.target.hidden(0).copy()


def _write(engine: Engine, ids: list[int], sampler: Sampler, tokens: int) -> list[int]:
    """The target's own text, end of generation included."""
    _prefill(engine, ids)
    target = engine.pair.target
    row = engine.cache.last_row
    assert row is not None
    text: list[int] = []
    while len(text) < tokens:
        text.append(sampler.sample(row, len(ids) + len(text), [*ids, *text]))
        if text[-1] in target.vocabulary.end_of_generation:
            break
        row = target.decode(text[-1:], len(ids) + len(text) - 1, 1)[0]
    return text


def _rows(engine: Engine, ids: list[int], text: list[int]) -> list[Row]:
    """The target's row after each token of the text but the last."""
    _prefill(engine, ids)
    target = engine.pair.target
    rows = (target.decode([t], len(ids) + i, 1)[0] for i, t in enumerate(text[:-1]))
    return [capped(row, target.softcap) for row in rows]


def drafts_along(drafter: DraftModel, stop: Stop, steps: int) -> list[Row]:
    """The drafter's rows while it is fed the text itself: what it says where all drafts so far were
    right, however they were chosen."""
    drafter.begin(stop.hidden, stop.position)
    rows = []
    for token in [stop.pending, *stop.text[: steps - 1]][: len(stop.text)]:
        rows.append(drafter.step(token).copy())
    return rows
