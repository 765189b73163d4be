"""Compare draft-length controllers on the same traces and cost curves.

    .venv/bin/python scripts/compare_controllers.py [--all]

Replays recorded and invented traces, 2,000 tokens each, under every controller and cost curve, with
5 % noise and stalls on the clock, and prints the speed against plain decoding, the best fixed
length (off included) and an oracle that knows every acceptance. Ours starts in each run knowing
nothing ("first use"), or with costs measured before. With --all every single case is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np
from controllers.curves import CURVES, Curve
from controllers.replay import Machine, best_fixed, fixed_rate, oracle_rate, replay
from controllers.rivals import Climb, Heuristic, LlamaCpp
from controllers.traces import Trace, invented_traces, recorded_traces

from gemma_mtp.costs import CostBook, Costs
from gemma_mtp.draft_length import AutoDraft, DraftPolicy

TRACES = Path(__file__).parent.parent / "tests" / "traces"
TOKENS = 2000
OURS = "ours, first use"


def known(curve: Curve) -> DraftPolicy:
    """Our controller with costs measured before, a little off."""
    random = np.random.default_rng(1)
    verify = {w: c * random.normal(1, 0.02) for w, c in enumerate(curve.verify, 1)}
    book = CostBook()
    book.learn(Costs(verify, curve.draft_step, 0.0, 0))
    return AutoDraft(book)


CONTROLLERS: dict[str, Callable[[Curve], DraftPolicy]] = {
    OURS: lambda curve: AutoDraft(),
    "ours, costs known": known,
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
    pairs = [(trace, curve) for trace in traces for curve in CURVES]
    cases = {(t.name, c.name): case(t, c, seed) for seed, (t, c) in enumerate(pairs)}
    if args.all:
        print_cases(cases)
    print_summary(cases)
    print(f"{len(cases)} cases of {TOKENS} tokens, {perf_counter() - started:.0f} s")


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
    below = sum(r[OURS] < 0.97 * r["best fixed"] for r in cases.values())
    print(f"{OURS}: below 0.97 of the best fixed length in {below} of {len(cases)} cases")


if __name__ == "__main__":
    main()
