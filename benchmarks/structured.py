"""What holding answers to a JSON Schema costs, and what drafts bring there.

    python benchmarks/structured.py [TARGET DRAFTER] [--seeds 8] [--tokens 200] [--calls]

The same seeds with each draft length, in turn: tok/s of answers held to a schema against plain
decoding held to it, with and without the drafts that the schema forces, and against answers that
are not held to anything. `--calls`: calls of a tool with that schema in place of answers. Without
files, the built-in pair.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.pairs import TINY  # noqa: E402

from gemma_mtp.api import (  # noqa: E402
    End,
    Grammar,
    LoadOptions,
    Message,
    PairFiles,
    Request,
    Sampling,
    Stats,
    Tool,
    ToolChoice,
)
from gemma_mtp.decoding.forced import Forced  # noqa: E402
from gemma_mtp.engine import loading  # noqa: E402
from gemma_mtp.engine.engine import Engine  # noqa: E402

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "address": {
            "type": "object",
            "properties": {
                "street": {"type": "string", "maxLength": 30},
                "city": {"enum": ["Berlin", "Paris", "Lisbon"]},
            },
            "required": ["street", "city"],
            "additionalProperties": False,
        },
        "favourite_colours": {"type": "array", "items": {"enum": ["red", "green"]}, "maxItems": 4},
    },
    "required": ["name", "age", "address", "favourite_colours"],
    "additionalProperties": False,
}
WAYS = {
    "held, plain": (0, True),
    "held, 3 drafts": (3, True),
    "held, auto": ("auto", True),
    "held, auto without forced": ("auto", True),
    "free, plain": (0, False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--calls", action="store_true")
    args = parser.parse_args()
    pair = PairFiles("pair", *args.files) if args.files else TINY
    loaded = loading.load(pair, LoadOptions(context=2048))
    try:
        totals = {way: Stats() for way in WAYS}
        for seed in range(-1, args.seeds):  # the first one warms up
            texts = {way: _write(loaded, way, seed, args) for way in WAYS}
            held = {end.token_ids for way, end in texts.items() if way.startswith("held")}
            assert len(held) == 1, "a draft length changed the text"
            if seed >= 0:
                totals = {way: totals[way] + end.stats for way, end in texts.items()}
        plain = totals["held, plain"].tokens_per_second
        for way, stats in totals.items():
            sources = {s.source: f"{s.accepted}/{s.drafted}" for s in stats.sources}
            milliseconds = 1000 * stats.sampling_seconds / stats.completion_tokens
            print(
                f"{way:26} {stats.tokens_per_second:7.1f} tok/s  "
                f"{stats.tokens_per_second / plain:5.2f} of held, plain  "
                f"{milliseconds:5.2f} ms a token to choose  {sources or ''}"
            )
    finally:
        loaded.close()


def _write(loaded: Engine, way: str, seed: int, args: argparse.Namespace) -> End:
    draft, held = WAYS[way]
    schema = json.dumps(PERSON)
    tools = (Tool("keep", "Keeps what is known of a person.", schema),) if args.calls else ()
    request = Request(
        (Message.text("user", "Tell me about somebody."),),
        Sampling(temperature=1.0),
        Grammar("json_schema", schema) if held and not args.calls else None,
        tools,
        ToolChoice("required" if held and args.calls else "none", parallel=False),
        seed=max(seed, 0),
        exact=True,
        draft=draft,
        max_tokens=args.tokens,
    )
    if way.endswith("without forced"):
        with patch.object(Forced, "propose", lambda *_: iter(())):
            return list(loaded.reply(request))[-1]
    return list(loaded.reply(request))[-1]


if __name__ == "__main__":
    main()
