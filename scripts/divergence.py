"""How often plain and speculative text differ outside exact mode, and by how much.

    .venv/bin/python scripts/divergence.py [TARGET.gguf DRAFTER.gguf] [--replies 20] [--tokens 400]

Outside exact mode plain rounds evaluate one row at a time, which rounds differently from several
rows together. For each reply: equal, or the first position that differs and by how much the chosen
token beat the other one there (in units of log-probability with the noise added, at the
temperature). A small gap is a near-tie: rounding decided. A large one would be an error.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gemma_mtp.engine import Engine, load
from gemma_mtp.events import DraftSetting, End, Message, Request, Sampling
from gemma_mtp.options import LoadOptions, PairFiles
from gemma_mtp.sampling import filtered, gumbel
from gemma_mtp.store import BUILTIN_FOLDER


def write(engine: Engine, request: Request) -> list[int]:
    """Ids of one reply from an empty cache."""
    engine.session.rewind(0)
    *_, end = engine.reply(request)
    assert isinstance(end, End)
    return list(end.token_ids)


def first_difference(a: list[int], b: list[int]) -> int | None:
    """Index of the first id that differs, or None."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)


def gap(engine: Engine, request: Request, ids: list[int], other: int) -> float:
    """By how much the last of `ids` beats `other` after the ids before it."""
    prompt = engine.prompt(request)
    engine.session.rewind(0)
    for _ in engine.session.prefill([*prompt, *ids[:-1]]):
        pass
    row = engine.session.last_row
    assert row is not None
    assert request.seed is not None
    position = len(prompt) + len(ids) - 1
    if request.sampling.temperature == 0:
        return abs(float(row[ids[-1]] - row[other]))
    found, scores = filtered(row, request.sampling)
    noisy = dict(
        zip(
            found.tolist(),
            (scores + gumbel(request.seed, position, found)).tolist(),
            strict=True,
        )
    )
    worst = min(noisy.values())  # a candidate at the edge of top-k or top-p may be filtered out
    return abs(noisy.get(ids[-1], worst) - noisy.get(other, worst))


def compare(
    engine: Engine, prompt: str, temperature: float, seed: int, tokens: int, draft: DraftSetting
) -> tuple[int, float] | None:
    """None when both texts are equal, else where they part and the gap there."""
    requests = [
        Request(
            (Message("user", prompt),),
            Sampling(temperature=temperature),
            seed=seed,
            exact=False,
            draft=d,
            max_tokens=tokens,
            ignore_end=True,
        )
        for d in (0, draft)
    ]
    plain, drafted = (write(engine, request) for request in requests)
    at = first_difference(plain, drafted)
    if at is None:
        return None
    return at, gap(engine, requests[0], plain[: at + 1], drafted[at])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--replies", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--prompt", default="Tell me a very long story about a fox.")
    args = parser.parse_args()
    target, drafter = args.files or (
        BUILTIN_FOLDER / "tiny-target.gguf",
        BUILTIN_FOLDER / "tiny-drafter.gguf",
    )
    engine = load(PairFiles("compared", target, drafter), LoadOptions(threads=args.threads))
    for temperature in (0.0, 1.0):
        found = [
            compare(engine, args.prompt, temperature, seed, args.tokens, 3)
            for seed in range(args.replies if temperature else 1)
        ]
        parted = [f for f in found if f]
        print(f"temperature {temperature}: {len(parted)} of {len(found)} replies differ")
        for at, size in parted:
            print(f"  first at token {at}, gap {size:.4f}")
    engine.close()


if __name__ == "__main__":
    main()
