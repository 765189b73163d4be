"""The automatic draft length against every fixed one, at several chances of acceptance.

    .venv/bin/python benchmarks/compare_lengths.py DRAFTER.gguf TARGET.gguf ... [--threads 2]
        [--acceptance 0.2 0.5 0.75 0.9] [--draft off,1,3,7,auto] [--tokens 96] [--repeat 4]

For pairs of a real model's shape with random weights (benchmarks/real_shapes.py): drafts are
accepted by chance, at places that are the same for every length. Costs are measured first, as by
`gemma-mtp bench --costs`; then, for each chance with a controller that knows nothing but these, the
lengths take turns, A B C, C B A. Ratios are medians over the repeats. The last two lines have the
worst of each.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from threading import Event

from gemma_mtp.api import LoadOptions, PairFiles, PairInfo
from gemma_mtp.decoding.costs import CostBook
from gemma_mtp.engine.loading import load
from gemma_mtp.measure.bench.results import Results
from gemma_mtp.measure.bench.runs import TEXTS, Plan, measure, warm_up
from gemma_mtp.measure.draft_lengths import read_drafts


def ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


class Costs:
    """Costs measured once; what was learned of acceptance begins anew with each loading."""

    def __init__(self) -> None:
        self.book = CostBook()

    def recall(self, info: PairInfo) -> CostBook:
        return self.book

    def keep(self, info: PairInfo, book: CostBook) -> None:
        self.book = book


def compare(files: PairFiles, options: LoadOptions, plans: list[Plan]) -> list[Results]:
    """Prints and returns the results of every plan."""
    costs = Costs()
    engine = load(files, options, memory=costs)
    measured = engine.measure_costs()
    engine.close()
    plain = measured.verify[1]
    steps = ", ".join(f"{w}: {s / plain:.2f}" for w, s in sorted(measured.verify.items()))
    print(f"{files.name}, a plain step {plain * 1e3:.1f} ms; plain steps by width:")
    print(f"  {steps}; a draft step {measured.draft_step / plain:.2f}")
    print("  accepted   " + "  ".join(f"{draft:>5}" for draft in plans[0].drafts))
    found = []
    for plan in plans:
        engine = load(files, options, memory=costs)
        warm_up(engine, plan, Event())
        results = Results(plan.drafts, list(measure(engine, plan, Event())))
        engine.close()
        noise = results.noise or 0.0
        cells = "  ".join(f"{ratio(results[d].speedup):>5}" for d in results.drafts)
        print(
            f"  {plan.synthetic_acceptance:8g}   {cells}   auto / {results.best_fixed}: "
            f"{ratio(results.auto_vs_best)} (rounds of one length differ by {noise:.0%})",
            flush=True,
        )
        found.append(results)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drafter", type=Path)
    parser.add_argument("targets", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--acceptance", type=float, nargs="+", default=[0.2, 0.5, 0.75, 0.9])
    parser.add_argument("--draft", type=read_drafts, default="off,1,3,7,auto")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--repeat", type=int, default=4)
    args = parser.parse_args()
    plans = [
        Plan(args.draft, TEXTS, args.tokens, args.repeat, 0.0, chance) for chance in args.acceptance
    ]
    options = LoadOptions(threads=args.threads, context=2048)
    all_results = [
        results
        for target in args.targets
        for results in compare(PairFiles(target.stem, target, args.drafter), options, plans)
    ]
    against_best = [r.auto_vs_best for r in all_results if r.auto_vs_best is not None]
    against_plain = [r[r.auto].speedup or 0.0 for r in all_results if r.auto is not None]
    if against_best:
        print(f"auto against the best fixed length, worst: {min(against_best):.2f}")
        print(f"auto against plain decoding, worst: {min(against_plain):.2f}")


if __name__ == "__main__":
    main()
