"""Speed of one pair by draft length, against plain decoding, from one interleaved run.

    .venv/bin/python scripts/measure.py [TARGET.gguf DRAFTER.gguf] [--tokens 300] [--threads 1]

Every prompt is answered once per setting and round, in alternating order, with the same seed, so
that noise of the machine falls on all alike. Prints medians: tok/s, ratio to plain, acceptance
by draft position, and where the time of a round goes. The settings run outside exact mode, as
`chat` does by default.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import median

from gemma_mtp.engine import Engine, load
from gemma_mtp.events import DraftSetting, End, Message, Request, Sampling, Stats
from gemma_mtp.options import LoadOptions, PairFiles
from gemma_mtp.store import BUILTIN_FOLDER

SETTINGS: tuple[DraftSetting, ...] = (0, 1, 2, 3, 5, 7, "auto")
PROMPTS = (
    "Tell me a long story about a fox.",
    "What is speculative decoding?",
    "Count from 1 to 30.",
    "Tell me a story about a robot and a garden.",
    "What are you?",
    "List ten animals.",
)


def reply(
    engine: Engine, prompt: str, draft: DraftSetting, temperature: float, tokens: int, seed: int
) -> Stats:
    """Statistics of one reply from an empty cache."""
    engine.session.rewind(0)
    request = Request(
        (Message("user", prompt),),
        Sampling(temperature=temperature),
        seed=seed,
        exact=False,
        draft=draft,
        max_tokens=tokens,
    )
    *_, end = engine.reply(request)
    assert isinstance(end, End)
    return end.stats


def by_position(histogram: list[int]) -> list[float]:
    """Chance that draft i is accepted when all before it were."""
    reached = [sum(histogram[i:]) for i in range(len(histogram) + 1)]
    return [b / a for a, b in pairwise(reached) if a]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--temperature", type=float, default=1.0)
    args = parser.parse_args()
    target, drafter = args.files or (
        BUILTIN_FOLDER / "tiny-target.gguf",
        BUILTIN_FOLDER / "tiny-drafter.gguf",
    )
    engine = load(PairFiles("measured", target, drafter), LoadOptions(threads=args.threads))
    runs: dict[object, list[Stats]] = defaultdict(list)
    for round_number in range(args.repeat):
        for number, prompt in enumerate(PROMPTS):
            order = SETTINGS if (round_number + number) % 2 else SETTINGS[::-1]
            for draft in order:
                runs[draft].append(
                    reply(engine, prompt, draft, args.temperature, args.tokens, number)
                )
    report(runs)
    engine.close()


def report(runs: dict[object, list[Stats]]) -> None:
    """One line per setting; the ratio is that of whole runs, paired prompt by prompt."""
    plain = [s.decode_seconds / s.decoded for s in runs[0] if s.decoded]
    print("draft  tok/s  ratio  accepted  tokens/round   draft  verify  sample   other  (ms/round)")
    for draft, all_stats in runs.items():
        total = sum(all_stats[1:], all_stats[0])
        ratio = median(
            p * s.decoded / s.decode_seconds for p, s in zip(plain, all_stats, strict=True)
        )
        rate = total.acceptance_rate
        parts = [total.draft_seconds, total.verify_seconds, total.sampling_seconds]
        parts.append(total.decode_seconds - sum(parts))
        print(
            f"{'off' if draft == 0 else draft!s:5} {total.tokens_per_second:6.0f} {ratio:6.2f}"
            f"  {'-' if rate is None else f'{rate:.3f}':>8}  {total.mean_accepted_length:12.2f}  "
            + " ".join(f"{1000 * p / total.rounds:7.3f}" for p in parts)
        )
    longest = max((d for d in runs if isinstance(d, int)), default=0)
    total = sum(runs[longest][1:], runs[longest][0])
    shares = ", ".join(f"{share:.3f}" for share in by_position(total.accepted_histogram))
    print(f"acceptance by draft position, given the ones before (k={longest}): {shares}")


if __name__ == "__main__":
    main()
