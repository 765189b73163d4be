"""Whatever was said, cached, cut, kept or prepared before: a reply is what a fresh engine writes.

Three chats take turns with one engine, with texts, pictures and recordings, grammars, penalties and
budgets for thoughts; now and then the context grows, the engine is closed and opened again, or a
reply is abandoned. All in exact mode, where equal means the same tokens, and the same bits of the
rows that would come next: few wrong numbers change a token.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.disk import Disk
from support.encoder import picture, write_encoder
from support.pairs import TINY
from support.sounds import wav

from gemma_mtp.api import (
    Audio,
    DraftSetting,
    End,
    Grammar,
    Image,
    Keeping,
    LoadOptions,
    Message,
    Request,
    Sampling,
    Text,
)
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load

WIDTH = 448  # of the built-in target's embeddings
STEPS, CONTEXT, LONGEST, ROOM = 40, 2048, 3500, 130
WORDS = (
    "the",
    "sea",
    "river",
    "lake",
    "dog",
    "cat",
    "runs",
    "over",
    "green",
    "hills",
    "and",
    "ships",
)
SAMPLINGS = (
    Sampling(0.0),
    Sampling(0.8),
    Sampling(1.0, top_k=0),
    Sampling(0.7, repeat_penalty=1.2),
    Sampling(1.0, top_k=120),
)
DRAFTS: tuple[DraftSetting, ...] = ("auto", 0, 1, 3, 8)
PROBE = [5, 6]  # any two tokens; exact mode evaluates no lone one
LISTS = Grammar("lark", "start: /([a-z ]{3,20}, )+/")


Outcome = tuple[tuple[int, ...], int, str]
"""Tokens of a reply, positions that are cached, and a digest of rows behind them."""


class Chats:
    """Three chats with one engine, of which each step is chosen by chance."""

    def __init__(self, seed: int, encoder: Path, shortlists: bool) -> None:
        self.random, self.shortlists = random.Random(seed), shortlists
        sight, sound = self.random.choice([("gemma4v", "gemma4a"), ("gemma4uv", "gemma4ua")])
        self.files = replace(TINY, encoder=write_encoder(encoder, WIDTH, sight, sound=sound))
        choice = self.random.choice
        self.pictures = [
            picture(choice([40, 200, 600]), choice([30, 150, 700]), seed=n) for n in range(4)
        ]
        self.recordings = [wav(choice([0.2, 3, 14, 33]), seed=n) for n in range(4)]
        self.chats: list[list[Message]] = [[], [], []]
        self.context, self.disk = CONTEXT, Disk()
        self.engine = self.opened(self.disk)

    def opened(self, disk: Disk | None = None) -> Engine:
        options = LoadOptions(context=self.context, threads=1)
        engine = load(self.files, options, states=disk)
        if self.shortlists:
            engine.pair.use(replace(engine.pair.device, shortlist=True))
            engine._heed_size()
            engine.cache.states = engine._kept_states()
        return engine

    def steps(self) -> Iterator[tuple[Request, Outcome, Outcome]]:
        """Requests, what came of them, and what comes of them in a fresh engine."""
        for _ in range(STEPS):
            chance, number = self.random.random(), self.random.randrange(3)
            if chance < 0.08:
                self.engine.close()
                self.engine = self.opened(self.disk)
            elif chance < 0.12 and self.context < LONGEST:
                self.context += 512
                self.engine.enlarge(self.context)
            else:
                self._disturb(number, chance)
                yield from self._reply(number)

    def _disturb(self, number: int, chance: float) -> None:
        """Cut the chat somewhere, or have what comes next prepared."""
        chat = self.chats[number]
        if chance < 0.25 and chat:
            del chat[self.random.randrange(0, len(chat), 2) :]
        if chance < 0.4 and chat:
            keep = Keeping(f"chat {number}", 10**9)
            self.engine.prepare(Request(tuple(chat), SAMPLINGS[0], exact=True, keep=keep))
            if self.random.random() < 0.6:
                self.engine.background.wait()

    def _reply(self, number: int) -> Iterator[tuple[Request, Outcome, Outcome]]:
        request = self._request(number)
        if self.engine.count(request) + ROOM > self.context:
            self.chats[number] = []
            return
        if self.random.random() < 0.1:
            abandoned = self.engine.reply(request)
            for _ in range(self.random.randint(1, 6)):
                next(abandoned, None)
            abandoned.close()  # type: ignore[attr-defined]
        message, outcome = _outcome(self.engine, request)
        fresh = self.opened()
        draft = self.random.choice([0, request.draft])
        _, expected = _outcome(fresh, replace(request, draft=draft, keep=None))
        fresh.close()
        yield request, outcome, expected
        self.chats[number] = [*request.messages, message]

    def _request(self, number: int) -> Request:
        choice, more = self.random.choice, dict[str, Any]()
        kind = self.random.random()
        if kind < 0.12:
            more["grammar"] = LISTS
        elif kind < 0.2:
            more["think_budget"] = choice([0, 5])
        elif kind < 0.27:
            more["stop"] = ("e",)
        return Request(
            (*self.chats[number], self._said()),
            choice(SAMPLINGS),
            seed=self.random.randrange(5),
            draft=choice(DRAFTS),
            exact=True,
            max_tokens=choice([5, 40, 120]),
            ignore_end=True,
            keep=choice([None, Keeping(f"chat {number}", 10**9)]),
            **more,
        )

    def _said(self) -> Message:
        choice, parts = self.random.choice, list[Text | Image | Audio]()
        for _ in range(self.random.randint(1, 3)):
            words = (choice(WORDS) for _ in range(choice([1, 5, 30, 200])))
            kind = self.random.random()
            if kind < 0.3:
                parts.append(Image(choice(self.pictures), ""))
            elif kind < 0.5:
                parts.append(Audio(choice(self.recordings), ""))
            else:
                parts.append(Text(" ".join(words)))
        return Message("user", (*parts, Text("What?")))


def _outcome(engine: Engine, request: Request) -> tuple[Message, Outcome]:
    """The message, and its tokens with a digest of rows behind what is cached then."""
    *_, end = engine.reply(request)
    assert isinstance(end, End)
    engine.background.wait()  # it may be keeping the chat, and nobody else may use the target then
    target, position = engine.pair.target, engine.cache.transcript.cached
    rows = target.decode(PROBE, position, len(PROBE))[: len(PROBE)]
    digest = sha256(rows.tobytes()).hexdigest()
    target.keep(position)
    return end.message, (end.token_ids, position, digest)


@pytest.mark.slow
@pytest.mark.parametrize("shortlists", [False, True])
@pytest.mark.parametrize("seed", [2, 12])
def test_a_reply_is_what_a_fresh_engine_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, shortlists: bool
) -> None:
    monkeypatch.setattr("gemma_mtp.engine.engine.REST", 0)  # seconds before a chat is kept
    chats = Chats(seed, tmp_path / "mmproj.gguf", shortlists)
    compared = 0
    for request, outcome, expected in chats.steps():
        assert outcome == expected, request
        compared += 1
    assert compared > STEPS / 2
    chats.engine.close()
