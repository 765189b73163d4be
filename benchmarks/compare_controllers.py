"""Compare draft-length controllers on the same traces and cost curves.

    .venv/bin/python benchmarks/compare_controllers.py [--all]

Replays recorded and invented traces, 2,000 tokens each, under every controller and cost curve, with
5 % noise and stalls on the clock, and prints the speed against plain decoding, the best fixed
length (off included) and an oracle that knows every acceptance. Ours starts in each run knowing
nothing ("first use"), or with costs measured before. With --all every single case is printed.
The same for fast cards, where a change of width costs a good part of a plain step.

Where drafting does not pay, it prints what whole sessions and their first replies lose.

Then it prints how much faster drafts are with lookup in the text than without, on texts that have a
source: this project's own files copied, edited, continued, or unrelated. What is found there is
real, how often drafts are accepted is invented.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
from controllers.curves import BUILT_IN, CURVES, FAST, LOSING, Curve
from controllers.replay import Machine, best_fixed, fixed_rate, oracle_rate, replay, replies
from controllers.rivals import Climb, Heuristic, LlamaCpp
from controllers.traces import (
    Trace,
    edited,
    invented,
    invented_traces,
    recorded_traces,
    with_lookup,
)

from gemma_mtp.decoding.costs import FROM_MEMORY, IN_CACHE, CostBook, Costs
from gemma_mtp.decoding.draft_length import AutoDraft
from gemma_mtp.decoding.draft_policy import DraftPolicy

ROOT = Path(__file__).parent.parent
TRACES = ROOT / "tests" / "traces"
TOKENS = 2000
SESSIONS = {16: 40, 32: 20, 64: 10, 256: 8}  # replies, by their tokens
OURS, KNOWN = "ours, first use", "ours, costs known"


def known(curve: Curve) -> DraftPolicy:
    """Our controller with costs measured before, a little off."""
    random = np.random.default_rng(1)
    verify = {w: c * random.normal(1, 0.02) for w, c in enumerate(curve.verify, 1)}
    book = CostBook()
    book.learn(Costs(verify, curve.draft_step, 0.0, 0))
    return AutoDraft(book)


CONTROLLERS: dict[str, Callable[[Curve], DraftPolicy]] = {
    OURS: lambda curve: AutoDraft(),
    KNOWN: known,
    "llama.cpp, 3": lambda curve: LlamaCpp(),
    "llama.cpp, p_min .75": lambda curve: LlamaCpp(0.75),
    "Ollama, climb": lambda curve: Climb(),
    "transformers": lambda curve: Heuristic(),
}


def repeated(trace: Trace, tokens: int) -> Trace:
    """The trace from its start again and again, to a given length."""
    times = -(-tokens // len(trace))
    return Trace(trace.name, (trace.matched * times)[:tokens], (trace.confidences * times)[:tokens])


def case(trace: Trace, curve: Curve, seed: int) -> dict[str, float]:
    """Speedup of every controller; "best fixed", its length, and "oracle"."""
    length, fixed = best_fixed(trace, curve)
    rates = {"k": float(length), "best fixed": fixed, "fixed 3": fixed_rate(trace, curve, 3)}
    for name, make in CONTROLLERS.items():
        rates[name] = replay(make(curve), trace, Machine(curve, seed=seed)).rate
    rates["oracle"] = oracle_rate(trace, curve)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="print every case")
    args = parser.parse_args()
    started = perf_counter()
    traces = [repeated(t, TOKENS) for t in (*recorded_traces(TRACES), *invented_traces())]
    for name, curves in (("all machines", CURVES), ("fast cards", FAST)):
        pairs = [(trace, curve) for trace in traces for curve in curves]
        cases = {(t.name, c.name): case(t, c, seed) for seed, (t, c) in enumerate(pairs)}
        print(f"{name}: {len(cases)} cases of {TOKENS} tokens")
        if args.all:
            print_cases(cases)
        print_summary(cases)
    print_losses()
    print_lookup()
    print(f"{perf_counter() - started:.0f} s")


def print_cases(cases: dict[tuple[str, str], dict[str, float]]) -> None:
    """Speedup over plain decoding in every case; k is the best fixed length."""
    names = ["best fixed", *CONTROLLERS, "oracle"]
    print(f"{'trace':24} {'costs':12}  k " + " ".join(f"{n[:12]:>12}" for n in names))
    for (trace, curve), rates in cases.items():
        values = " ".join(f"{rates[n]:12.2f}" for n in names)
        print(f"{trace:24} {curve:12} {rates['k']:2.0f} {values}")
    print()


def print_summary(cases: dict[tuple[str, str], dict[str, float]]) -> None:
    """Mean and worst ratio to plain decoding, the best fixed length and the oracle."""
    print(f"{'mean (worst) ratio to':22} {'plain':>14} {'best fixed':>14} {'oracle':>14}")
    for name in (*CONTROLLERS, "best fixed"):
        cells = []
        for base in ("", "best fixed", "oracle"):
            ratios = [r[name] / (r[base] if base else 1.0) for r in cases.values()]
            cells.append(f"{np.mean(ratios):.3f} ({min(ratios):.3f})")
        print(f"{name:22} " + " ".join(f"{c:>14}" for c in cells))
    for name in (OURS, KNOWN):
        below = sum(r[name] < 0.97 * r["best fixed"] for r in cases.values())
        print(f"{name}: below 0.97 of the best fixed length in {below} of {len(cases)} cases")


def print_losses() -> None:
    """Where drafting does not pay: what sessions of 640 tokens and more, and their first replies,
    lost against plain decoding, by the length of the replies."""
    texts = [invented((0.3,)), invented((0.5,)), *recorded_traces(TRACES)[3:4]]
    print("\nlost where nothing pays, session (first reply), by tokens of a reply")
    print(" " * 32 + "".join(f"{length:16}" for length in SESSIONS))
    for curve in LOSING:
        guess = IN_CACHE if curve is BUILT_IN else FROM_MEMORY
        makers = {
            "first use": lambda g=guess: AutoDraft(guess=g),
            "known": lambda c=curve: known(c),
        }
        for name, make in makers.items():
            cells = []
            for length, count in SESSIONS.items():
                losses = [session_loss(make(), curve, text, length, count) for text in texts]
                session, first = np.mean(losses, axis=0)
                cells.append(f"{session:8.1%} ({first:.1%})")
            print(f"{curve.name:21} {name:10}" + "".join(f"{cell:>16}" for cell in cells))


def session_loss(
    policy: DraftPolicy, curve: Curve, text: Trace, length: int, count: int
) -> tuple[float, float]:
    """Shares of plain decoding's time that a session and its first reply took longer."""
    session = repeated(text, length * count)
    runs = replies(policy, session, Machine(curve), length)
    lost = [run.cost / run.tokens * length / (length + curve.rebuild) - 1 for run in runs]
    return float(np.mean(lost)), lost[0]


def sourced_texts() -> dict[str, tuple[str, str]]:
    """What a text is made from, and the text."""
    code = (ROOT / "gemma_mtp" / "models" / "gguf.py").read_text(encoding="utf-8")
    pages = sorted((ROOT / "docs").glob("*.md"))
    prose = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    half = len(prose) // 2
    return {
        "a file copied": (code, code),
        "a file edited": (code, edited(code)),
        "a file gone on with": ("", code),
        "prose gone on with": (prose[:half], prose[half:]),
    }


def print_lookup() -> None:
    """Speed with lookup in the text over speed without, by cost curve; costs known."""
    print("\nwith lookup against without" + "".join(f"{c.name:>13}" for c in CURVES))
    for name, (source, text) in sourced_texts().items():
        for acceptance in (0.6, 0.75, 0.9):
            trace = with_lookup(invented((acceptance,)), source, text)
            bare = replace(trace, found=[], found_matched=[])
            ratios = [
                replay(known(curve), trace, Machine(curve)).rate
                / replay(known(curve), bare, Machine(curve)).rate
                for curve in CURVES
            ]
            cells = "".join(f"{ratio:13.2f}" for ratio in ratios)
            print(f"{name:20} {acceptance:6.2f} {cells}")


if __name__ == "__main__":
    main()
