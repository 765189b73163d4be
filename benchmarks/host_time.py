"""What a round takes outside llama.cpp, beside a model of a card: no card is needed.

    python benchmarks/host_time.py FOLDER/vocab-target.gguf FOLDER/mtp-vocab-target.gguf

The files are those of real_vocabulary.py, since a row of 262,144 logits is most of the work.
`llama_decode` is replaced: it returns at once, as on a GPU, and `llama_get_logits` waits until
--step milliseconds after (--draft for the drafter, --row for each row more). What comes out of it
are made-up rows, peaked as a model's are. All else is real: sampling, proposing, the controller,
text, events. So a processor that waits has its caches to itself, as beside a real card.

Printed is the time of a round less that of the device, in microseconds: of the tenth of all rounds
that other programs disturbed least, for each draft length, without anything, held to a JSON schema,
and with tools offered. Drafts are accepted by chance (0.75). A digest says whether two versions
write the same tokens; there the drafts are judged. With --shortlists the card chooses the 128
likeliest tokens of each row, and their logits are all that comes; the digest is the same.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import llama_cpp
import numpy as np
from llama_cpp import llama_cpp_ext

from gemma_mtp.api import (
    SHORTLIST,
    DraftSetting,
    End,
    Grammar,
    LoadOptions,
    Message,
    PairFiles,
    Progress,
    Request,
    Sampling,
    Tool,
)
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load

DRAFTS: tuple[DraftSetting, ...] = (0, 1, 2, 3, 7, "auto")
ACCEPTANCE, TENTH = 0.75, 10
ROWS, WIDEST = 61, 8  # rows to choose from; no multiple of a width, so that texts do not repeat
SPREAD, PEAK = 1.5, 11.0  # of logits; the largest then has half of the probability
PERSON = json.dumps(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)
KINDS: dict[str, dict[str, Any]] = {
    "free": {},
    "schema": {"grammar": Grammar("json_schema", PERSON)},
    "tools": {"tools": (Tool("add", "Adds a person.", PERSON),)},
}


class Card:
    """Answers in place of llama.cpp; `device` is how many seconds it computed so far."""

    def __init__(self, engine: Engine, args: argparse.Namespace) -> None:
        self.device = 0.0
        self._ready = 0.0
        self._calls = 0
        target = engine.pair.target
        self._target, self._width = target.context, target.vocabulary.size
        self._seconds = args.step / 1e3, args.draft / 1e3, args.row / 1e3
        random = np.random.default_rng(0)
        self._bank = random.normal(0, SPREAD, (ROWS, self._width)).astype(np.float32)
        self._bank[np.arange(ROWS), random.integers(1000, self._width, ROWS)] = PEAK
        self._rows = (ctypes.c_float * (WIDEST * self._width))()
        self._view = np.frombuffer(self._rows, np.float32).reshape(WIDEST, -1)
        self._hidden = (ctypes.c_float * (WIDEST * target.embedding_width))()
        self._pointers = [ctypes.cast(a, ctypes.POINTER(ctypes.c_float)) for a in
                          (self._rows, self._hidden)]  # fmt: skip
        self._best = np.argsort(-self._bank, axis=1)[:, :SHORTLIST].astype(np.int32)
        self._short = np.zeros((WIDEST, self._width), np.float32)
        self._ids = np.zeros((WIDEST, self._width), np.int32)
        llama_cpp.llama_decode = self._decode
        llama_cpp.llama_get_sampled_candidates_count_ith = lambda context, row: SHORTLIST
        llama_cpp.llama_get_sampled_logits_ith = self._shortlists
        llama_cpp.llama_get_sampled_candidates_ith = lambda context, row: np.ctypeslib.as_ctypes(
            self._ids
        )
        llama_cpp.llama_get_logits = self._logits
        llama_cpp_ext.llama_get_embeddings_nextn_ith = lambda context, row: self._pointers[1]

    def begin(self) -> None:
        """The rows are the same for each reply."""
        self._calls = 0

    def _decode(self, context: Any, batch: Any) -> int:
        started = perf_counter()
        rows = min(batch.n_tokens, WIDEST)
        for i in range(rows):  # what comes after a position is the same for target and drafter
            place = batch.pos[batch.n_tokens - rows + i] if context == self._target else self._at()
            best = self._best[place % ROWS]
            self._view[i] = self._bank[place % ROWS]
            self._ids[i, :SHORTLIST], self._short[i, :SHORTLIST] = best, self._view[i, best]
        step, draft, row = self._seconds
        seconds = step + row * (rows - 1) if context == self._target else draft
        self._last = batch.pos[batch.n_tokens - 1]
        copied = perf_counter() - started
        self.device += seconds + copied
        self._ready = started + copied + seconds
        return 0

    def _at(self) -> int:
        self._calls += 1
        return self._last + self._calls

    def _logits(self, context: Any) -> Any:
        while perf_counter() < self._ready:
            sleep(0)  # others may run Python meanwhile, as while a real call waits
        return self._pointers[0]

    def _shortlists(self, context: Any, row: int) -> Any:
        self._logits(context)
        return np.ctypeslib.as_ctypes(self._short)


def reply(
    engine: Engine, card: Card, draft: DraftSetting, temperature: float, **more: Any
) -> tuple[list[float], tuple[int, ...]]:
    """Seconds of each round less the device's, and the tokens."""
    engine.cache.rewind(0)
    card.begin()
    request = Request(
        (Message.text("user", "Tell me a long story about a fox."),),
        Sampling(temperature),
        seed=1,
        exact=False,
        draft=draft,
        ignore_end=True,
        **more,
    )
    taken, before = [], 0.0
    for event in engine.reply(request):
        if isinstance(event, Progress):
            now = perf_counter() - card.device
            taken.append(now - before)
            before = now
    assert isinstance(event, End)
    return taken[1:], event.token_ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs=2, type=Path, metavar="GGUF")
    parser.add_argument("--step", type=float, default=4.0, help="milliseconds of a plain step")
    parser.add_argument("--row", type=float, default=0.1, help="of each row more")
    parser.add_argument("--draft", type=float, default=0.3, help="of a draft step")
    parser.add_argument("--shortlists", action="store_true", help="the card chooses candidates")
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    target, drafter = args.files
    engine = load(PairFiles("pair", target, drafter), LoadOptions(threads=1, context=2048))
    engine.pair.use(replace(engine.pair.device, shortlist=args.shortlists))
    engine.plain_steps(1).is_due = lambda rounds, position: False  # type: ignore[method-assign]
    card = Card(engine, args)
    for kind, more in KINDS.items():
        for temperature in (0.0, 1.0):
            digest = sha256()
            cells = []
            for draft in DRAFTS:
                taken = []
                for _ in range(args.repeats):
                    found, _ids = reply(
                        engine, card, draft, temperature, max_tokens=args.tokens,
                        synthetic_acceptance=ACCEPTANCE, **more,
                    )  # fmt: skip
                    taken += found
                cells.append(f"{draft}: {sorted(taken)[len(taken) // TENTH] * 1e6:5.0f}")
                _, ids = reply(engine, card, draft, temperature, max_tokens=40, **more)
                digest.update(repr(ids).encode() if draft != "auto" else b"")
            print(f"{kind:6} T={temperature:g}  {'  '.join(cells)}  {digest.hexdigest()[:8]}")
    engine.close()


if __name__ == "__main__":
    main()
