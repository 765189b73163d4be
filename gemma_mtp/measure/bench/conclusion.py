"""One sentence about a measurement: which setting was fastest here, or that drafting does not pay.

`bench` prints it under its table. It says what was measured on this machine and nothing about
others.
"""

from __future__ import annotations

from gemma_mtp.measure.bench.results import Results

GAIN = 1.03  # speedup from which drafting pays; less is within what two measurements differ by
AS_FAST = 0.97  # of another setting's speed: from here on two settings count as equally fast


def conclusion(results: Results) -> str:
    """The sentence, also for what was measured until an interruption."""
    if not results.drafts:
        return "Nothing was measured."
    best = results.best_drafting
    if best is None:
        return "Only plain decoding was measured: name draft lengths to compare it with."
    if results.speedup is None:
        return f"--draft {best} was fastest here: measure off as well to see what drafting brings."
    return _gain(results) if results.speedup >= GAIN else _loss(results, best)


def _gain(results: Results) -> str:
    fixed, auto, against = results.best_fixed, results.auto, results.auto_vs_best
    if auto is not None and (against is None or against >= AS_FAST):
        speedup = results[auto].speedup or 0.0
        return f"--draft auto was as fast here as any: {speedup:.2f} times plain decoding."
    assert fixed is not None
    behind = f", of which auto reached {against:.2f}" if against is not None else ""
    return (
        f"--draft {fixed} was fastest here: {results[fixed].speedup or 0.0:.2f} times plain "
        f"decoding{behind}."
    )


def _loss(results: Results, best: str) -> str:
    auto = results[results.auto].speedup if results.auto else None
    use = "--draft auto is as good as off" if (auto or 0.0) >= AS_FAST else "use --draft off"
    return (
        f"Drafting does not pay here: the fastest draft length, {best}, reached "
        f"{results.speedup:.2f} of the speed of plain decoding; {use}."
    )
