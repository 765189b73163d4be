"""One sentence about a measurement: which setting was fastest here, or that drafting does not pay.

`bench` prints it under its table. It says what was measured on this machine and nothing about
others.
"""

from __future__ import annotations

from gemma_mtp.measure.bench.results import GAIN, Results
from gemma_mtp.terminal.outcome import borrowed

AS_FAST = 0.97  # of another setting's speed: from here on two settings count as equally fast


def conclusion(results: Results, drafter_of: str = "") -> str:
    """The sentence, also for what was measured until an interruption. Where drafts do not pay with
    a drafter that is that of another model, `drafter_of`, another one says so."""
    if not results.drafts:
        return "Nothing was measured."
    best = results.best_drafting
    if best is None:
        return "Only plain decoding was measured: name draft lengths to compare it with."
    if results.speedup is None:
        return f"--draft {best} was fastest here: measure off as well to see what drafting brings."
    if results.gains:
        return _gain(results) + range_in_words(results)
    whose = borrowed(drafter_of, results[best].total)
    return f"{_loss(results, best)}{range_in_words(results)} {whose}".rstrip()


def range_in_words(results: Results) -> str:
    """A sentence with a blank before it where the repeats differ by more than the gain, or where
    there is only one; else ""."""
    best = results.best_drafting
    if best is None or results.plain is None:
        return ""
    ratios = results.ratios(best, results.plain)
    if len(ratios) == 1:
        return (
            " Each was measured once only: a larger --repeat shows how far that can be relied on."
        )
    low, high, gain = min(ratios), max(ratios), abs((results.speedup or 1.0) - 1)
    if high - low <= gain or high < GAIN:  # where none gains, that is what is said
        return ""
    return (
        f" The repeats of --draft {best} range from {low:.2f} to {high:.2f}, more than it gains or "
        "loses: the texts differ, or the machine was busy."
    )


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
    if auto is not None and auto >= AS_FAST:
        return (
            "Drafting does not pay here, and --draft auto leaves it: it was as fast as plain "
            f"decoding ({auto:.2f})."
        )
    return (
        f"Drafting does not pay here: the fastest setting with drafts, --draft {best}, reached "
        f"{results.speedup:.2f} of the speed of plain decoding; use --draft off."
    )
