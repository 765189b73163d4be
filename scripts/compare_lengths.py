"""The automatic draft length against every fixed one, at several chances of acceptance.

    .venv/bin/python scripts/compare_lengths.py DRAFTER.gguf TARGET.gguf ... [--threads 2]
        [--acceptance 0.2 0.5 0.75 0.9] [--draft off,1,3,7,auto] [--tokens 96] [--repeat 4]

For pairs of a real model's shape with random weights (scripts/real_shapes.py): drafts are accepted
by chance, at places that are the same for every length. Costs are measured first, as by
`gemma-mtp bench --costs`; then the lengths take turns, A B C, C B A. Ratios are medians over the
repeats. The last two lines have the worst of each.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from threading import Event

from gemma_mtp.bench.results import Results
from gemma_mtp.bench.runs import TEXTS, Plan, measure, warm_up
from gemma_mtp.cli_bench import read_drafts
from gemma_mtp.engine import load
from gemma_mtp.options import LoadOptions, PairFiles


def ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


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
    against_best, against_plain = [], []
    for target in args.targets:
        files = PairFiles(target.stem, target, args.drafter)
        engine = load(files, LoadOptions(threads=args.threads, context=2048))
        costs = engine.measure_costs()
        steps = [f"{w}: {s / costs.verify[1]:.2f}" for w, s in sorted(costs.verify.items())]
        print(f"{target.stem}, a plain step {costs.verify[1] * 1e3:.1f} ms; plain steps by width:")
        print(f"  {', '.join(steps)}; a draft step {costs.draft_step / costs.verify[1]:.2f}")
        print(
            f"  accepted   {'  '.join(f'{draft:>5}' for draft in args.draft)}   auto / best fixed"
        )
        for chance in args.acceptance:
            plan = Plan(args.draft, TEXTS, args.tokens, args.repeat, 0.0, chance)
            warm_up(engine, plan, Event())
            results = Results(plan.drafts, list(measure(engine, plan, Event())))
            cells = "  ".join(f"{ratio(results[d].speedup):>5}" for d in results.drafts)
            best, noise = results.auto_vs_best, results.noise or 0.0
            print(
                f"  {chance:8g}   {cells}   {ratio(best)} of {results.best_fixed}"
                f" (rounds of one length differ by {noise:.0%})",
                flush=True,
            )
            if results.auto is not None and best is not None:
                against_best.append(best)
                against_plain.append(results[results.auto].speedup or 0.0)
        engine.close()
    if against_best:
        print(f"auto against the best fixed length, worst: {min(against_best):.2f}")
        print(f"auto against plain decoding, worst: {min(against_plain):.2f}")


if __name__ == "__main__":
    main()
