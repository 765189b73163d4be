"""One sentence: the best setting here, or why drafting does not pay and what could be done.

Knows results and costs as numbers, and how the costs of other quantizations run; no engine.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemma_mtp.decoding.costs import Costs
from gemma_mtp.measure.bench.break_even import break_even, round_cost, tokens_by_length
from gemma_mtp.measure.bench.results import Results
from gemma_mtp.measure.bench.runs import setting
from gemma_mtp.text import percent

GAIN = 1.03  # a smaller speedup is within what two measurements differ by
AS_GOOD = 0.97  # of the best fixed length; then nothing need be set

# Verifying widths 1 to 9 in plain steps, E2B's shape on two cores of an x86-64 server with AVX-512.
ON_TWO_CORES = {
    "Q4_0": (1.00, 2.05, 2.86, 1.86, 2.72, 3.70, 4.00, 3.01, 4.16),
    "Q8_0": (1.00, 2.64, 2.99, 3.09, 5.05, 5.54, 6.20, 3.81, 6.03),
    "Q4_K": (1.00, 1.89, 2.54, 3.04, 4.15, 4.83, 5.13, 3.81, 5.85),
    "IQ4_NL": (1.00, 1.85, 2.55, 2.31, 3.43, 3.64, 4.17, 3.20, 5.26),
    "Q4_1": (1.00, 2.03, 2.68, 3.23, 4.07, 4.68, 6.42, 6.36, 7.07),
}
DRAFT_STEP = 0.12  # plain steps, measured there with a Q8_0 drafter
ALIKE = 0.25  # relative difference up to which a cost measured here is as it was there


@dataclass(frozen=True)
class Weights:
    """What the target's weights are, and where they are computed with."""

    quantization: str
    on_cpu: bool


@dataclass(frozen=True)
class _Length:
    """A draft length: tokens a round brings, plain steps it costs."""

    drafts: int
    tokens: float
    cost: float

    @property
    def speedup(self) -> float:
        return self.tokens / self.cost


def advise(results: Results, weights: Weights, costs: Costs | None = None) -> str:
    """The sentence; for what was measured before an interruption, too."""
    if not results.drafts:
        return "Nothing was measured."
    best = results.best_drafting
    if best is None:
        return "Measure some draft lengths as well to see what drafting brings here."
    if results.plain is None:
        return f"Fastest here is {_option(best)}; measure off as well to see what drafting brings."
    if (results.speedup or 0.0) >= GAIN:
        return _gains(results)
    return _loses(results, weights, costs)


def _gains(results: Results) -> str:
    fixed, auto, against = results.best_fixed, results.auto, results.auto_vs_best
    if auto is not None and (against is None or against >= AS_GOOD):
        compared = f" and {against:.2f} of the best fixed length, {fixed}" if against else ""
        if fixed == results.plain:
            compared = ", where no fixed length that was tried gains"
        return f"Leave --draft at auto: {_times(results, auto)} plain decoding here{compared}."
    assert fixed is not None
    behind = f", of which auto reached {against:.2f}" if against is not None else ""
    return f"Use {_option(fixed)}: {_times(results, fixed)} plain decoding here{behind}."


def _loses(results: Results, weights: Weights, costs: Costs | None) -> str:
    assert results.plain is not None
    against = results.faster(results.auto, results.plain) if results.auto else None
    if against is not None and against >= AS_GOOD:
        use = f"leave --draft at auto, which reached {against:.2f} of plain decoding"
    else:
        use = "use --draft off"
    lengths = _measured(results) + _by_costs(results, costs)
    if not lengths:
        return f"Drafting does not pay here: {use}."
    nearest = max(lengths, key=lambda length: length.speedup)
    reason = (
        f"at {_drafts(nearest)} a round brings {nearest.tokens:.1f} tokens and costs "
        f"{nearest.cost:.1f} plain steps{_needed(nearest)}"
    )
    similar = weights.on_cpu and _resembles(results, weights, costs)
    other = _variant(results, weights) if similar else ""
    return f"Drafting does not pay here, {reason}: {use}{other}."


def _needed(length: _Length) -> str:
    """What acceptance would do."""
    chance = break_even(length.cost, length.drafts)
    if chance is None:
        return ", which even perfect drafts would not repay"
    return f", which drafts accepted with a chance of {percent(chance)} each would repay"


def _measured(results: Results) -> list[_Length]:
    """The fixed draft lengths that were run."""
    found = []
    for draft in results.fixed:
        cost, tokens = results.round_cost(draft), results[draft].total.mean_accepted_length
        if draft != results.plain and cost and tokens:
            found.append(_Length(int(setting(draft)), tokens, cost))
    return found


def _by_costs(results: Results, costs: Costs | None) -> list[_Length]:
    """Shorter lengths that were not run, by the cost curve."""
    if costs is None:
        return []
    priced = [(k, tokens, round_cost(costs, k)) for k, tokens in _tokens(results)]
    return [_Length(k, tokens, cost) for k, tokens, cost in priced if cost]


def _resembles(results: Results, weights: Weights, costs: Costs | None) -> bool:
    """Whether widths cost about as much here as they did where the variants were measured."""
    known = ON_TWO_CORES.get(weights.quantization)
    here = _costs_here(results, costs)
    if known is None or not here:
        return False
    there = {k: known[k] + k * DRAFT_STEP for k in here if k < len(known)}
    return bool(there) and all(abs(here[k] / there[k] - 1) <= ALIKE for k in there)


def _costs_here(results: Results, costs: Costs | None) -> dict[int, float]:
    """Plain steps of a round by drafts: as verifying was timed, or else as runs took."""
    if costs is None or 1 not in costs.verify:
        return {length.drafts: length.cost for length in _measured(results)}
    plain = costs.verify[1]
    return {w - 1: s / plain + (w - 1) * DRAFT_STEP for w, s in costs.verify.items() if w > 1}


def _variant(results: Results, weights: Weights) -> str:
    """The quantization that would have gained the most with drafts accepted like these."""
    best: _Length | None = None
    name = ""
    for quantization, verify in ON_TWO_CORES.items():
        for k, tokens in _tokens(results):
            cost = min(verify[k:], default=0.0) + k * DRAFT_STEP
            length = _Length(k, tokens, cost)
            known = quantization != weights.quantization and k < len(verify)
            if known and length.speedup > (best.speedup if best else GAIN):
                best, name = length, quantization
    if best is None:
        return ""
    article = "an" if name.startswith("I") else "a"
    return (
        f"; {article} {name} target could gain: on a similar machine its rounds of "
        f"{_drafts(best)} cost {best.cost:.1f} plain steps"
    )


def _tokens(results: Results) -> list[tuple[int, float]]:
    """(k, tokens per round) as the longest fixed length that was run tells, k = 1, 2, ..."""
    lengths = [d for d in results.fixed if setting(d) != 0]
    if not lengths:
        return []
    longest = max(lengths, key=lambda draft: int(setting(draft)))
    return list(enumerate(tokens_by_length(results[longest].total.accepted_histogram)))[1:]


def _drafts(length: _Length) -> str:
    return "1 draft" if length.drafts == 1 else f"{length.drafts} drafts"


def _option(draft: str) -> str:
    return f"--draft {draft}"


def _times(results: Results, draft: str) -> str:
    return f"{results[draft].speedup or 0.0:.2f} times"
