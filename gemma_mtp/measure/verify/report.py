"""What `verify` prints: the verdict in one sentence, and the receipt as JSON or as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemma_mtp.measure.verify.comparison import Comparison, Probe
from gemma_mtp.measure.verify.difference import Difference
from gemma_mtp.terminal.tables import Block, Table
from gemma_mtp.text import counted, percent

HEADS = ("text", "temperature", "draft", "tokens", "accepted", "exact", "not exact")
FOLDED = ("accepted", "tokens")
"""Columns that go below their row first where the window is too narrow for all of them."""
LEGEND = (
    "Each reply was written with drafts and without, and compared. draft: how many tokens are "
    "drafted in a round. accepted: the share of drafts that were right. exact: with --exact or a "
    "seed. not exact: otherwise, where rounding may decide between two tokens that are nearly tied."
)


@dataclass(frozen=True)
class Receipt:
    """All that was found, and the conditions it was found under."""

    probes: Sequence[Probe]
    comparisons: Sequence[Comparison]
    conditions: Mapping[str, Any]

    @property
    def exact_holds(self) -> bool:
        """Logits do not depend on the width, drafts were accepted, and every reply in exact mode
        was the same with drafts and without."""
        exact = [c for c in self.comparisons if c.exact]
        return self.rows_equal and not _parted(exact) and any(c.accepted for c in exact)

    @property
    def rows_equal(self) -> bool:
        """Logits are the same bits at all widths that exact mode uses."""
        return all(probe.equal for probe in self.probes)

    @property
    def broken(self) -> list[Comparison]:
        """Replies that differ by more than rounding explains.

        A near-tie explains a difference, but not in exact mode where logits are equal at all of
        its widths: then there is no rounding.
        """
        return [
            c
            for c in self.comparisons
            if c.difference is not None
            and (not c.difference.near_tie or (c.exact and self.rows_equal))
        ]

    @property
    def ok(self) -> bool:
        return not self.broken


def verdict(receipt: Receipt) -> str:
    """What follows from the receipt, in one sentence."""
    if receipt.broken:
        return f"Drafting changes the text here, by more than rounding: {_first(receipt)}."
    if not any(c.drafted for c in receipt.comparisons):
        return "Nothing was drafted here, so there is nothing to say about drafts."
    exact = [c for c in receipt.comparisons if c.exact]
    parted = _parted(exact)
    same = f"{len(exact) - len(parted)} of {len(exact)} replies are the same with drafts"
    if idle := sum(not c.drafted for c in exact):
        same += f" ({idle} of them had none)"
    if not any(c.accepted for c in exact):
        rejected = "no draft was accepted in exact mode, so only their rejection was checked"
        return f"Exact mode is not proved here, {rejected}: {same}; {_outside(receipt)}."
    if receipt.exact_holds:
        return f"Exact mode holds here: {same}; {_outside(receipt)}."
    widths = (
        f"logits depend on how many tokens are checked together (by up to {_moved(receipt):.2g})"
    )
    if not parted:
        return f"Exact mode is not assured here, {widths}, though {same}; {_outside(receipt)}."
    return (
        f"Exact mode does not hold here, {widths}: {same}, the others part at a near-tie; "
        f"{_outside(receipt)}."
    )


def _outside(receipt: Receipt) -> str:
    other = [c for c in receipt.comparisons if not c.exact]
    if not any(c.drafted for c in other):
        return "outside it nothing was drafted"
    parted = _parted(other)
    if not parted:
        return f"outside it {len(other)} of {len(other)} are, too"
    gap = max(c.difference.gap for c in parted if c.difference)
    return f"outside it {len(parted)} of {len(other)} part at a near-tie (gap {gap:.2g})"


def _first(receipt: Receipt) -> str:
    """Which reply went wrong first, and how."""
    c = receipt.broken[0]
    mode = "in exact mode" if c.exact else "outside exact mode"
    where = f"{mode}, text {c.text}, temperature {c.temperature:g}, draft {c.draft}"
    excuse = ", but logits are equal at all widths" if c.exact and receipt.rows_equal else ""
    return f"{where}: {_told(c.difference)}{excuse}"


def _told(difference: Difference | None) -> str:
    if difference is None:
        return "equal"
    if math.isinf(difference.gap):
        return f"one reply ends at token {difference.token}, the other goes on"
    return (
        f"token {difference.token} differs, the two {difference.gap:.2g} apart, while rounding "
        f"moves logits by {difference.rounding:.2g}"
    )


def as_json(receipt: Receipt) -> dict[str, Any]:
    """The object of `verify --json`. `gap` is null where one reply ended and the other went on."""
    return {
        "ok": receipt.ok,
        "verdict": verdict(receipt),
        "exact_holds": receipt.exact_holds,
        "rows_equal": receipt.rows_equal,
        "probe": [
            {"position": p.position, "differences": {str(w): d for w, d in p.differences.items()}}
            for p in receipt.probes
        ],
        "comparisons": [_comparison(c) for c in receipt.comparisons],
        **receipt.conditions,
    }


def _comparison(c: Comparison) -> dict[str, Any]:
    difference = c.difference and {
        "token": c.difference.token,
        "gap": None if math.isinf(c.difference.gap) else c.difference.gap,
        "rounding": c.difference.rounding,
        "repeated": c.difference.repeated,
        "edge": c.difference.edge,
        "near_tie": c.difference.near_tie,
    }
    return {
        "text": c.text,
        "temperature": c.temperature,
        "draft": c.draft,
        "exact": c.exact,
        "tokens": c.tokens,
        "drafted": c.drafted,
        "accepted": c.accepted,
        "equal": c.difference is None,
        "first_difference": difference,
    }


def blocks(receipt: Receipt) -> list[Block]:
    """Files, versions, probe, replies, verdict."""
    about, settings = receipt.conditions, receipt.conditions["settings"]
    versions, name = about["versions"], Path(about["model"]).name
    found: list[Block] = [
        f"{name}, {counted(settings['threads'], 'thread')}, KV cache {settings['kv_type']}",
        f"gemma-mtp {versions['gemma_mtp']}, llama-cpp-python {versions['llama_cpp_python']}",
    ]
    for file in about["files"]:
        found += [f"{file['name']} ({file['weights']})", f"  {file['sha256']}"]
    found += ["", *_probe_lines(receipt.probes), "", _replies(receipt), LEGEND, ""]
    return [*found, verdict(receipt)]


def _probe_lines(probes: Sequence[Probe]) -> list[Block]:
    heads = ["at once", *(f"{p.position} tokens" for p in probes)]
    widths = sorted({w for p in probes for w in p.differences})
    rows = [(str(w), *(_bits(p.differences.get(w)) for p in probes)) for w in widths]
    title = (
        "Do the model's scores (logits) depend on how many tokens are checked at once? The largest "
        "difference from two at once, with so many tokens of context:"
    )
    return [title, Table(heads, rows, right=heads[1:])]


def _bits(difference: float | None) -> str:
    return "-" if difference is None else "none" if difference == 0 else f"{difference:.2g}"


def _replies(receipt: Receipt) -> Table:
    """One line for each text, temperature and draft, with both modes side by side."""
    rows: dict[tuple[str, str, str], list[Comparison]] = {}
    for c in receipt.comparisons:
        rows.setdefault((c.text, f"{c.temperature:g}", c.draft), []).append(c)
    body = [(*key, *_cells(both)) for key, both in rows.items()]
    return Table(HEADS, body, right=HEADS[1:], below=FOLDED)


def _cells(both: Sequence[Comparison]) -> tuple[str, str, str, str]:
    drafted, accepted = sum(c.drafted for c in both), sum(c.accepted for c in both)
    modes = {c.exact: _short(c.difference) for c in both}
    share = percent(accepted / drafted) if drafted else "-"
    return str(both[0].tokens), share, modes.get(True, "-"), modes.get(False, "-")


def _short(difference: Difference | None) -> str:
    if difference is None:
        return "same"
    if not difference.near_tie:
        return f"DIFFERS at {difference.token}"
    return f"near-tie at {difference.token} ({difference.gap:.2g})"


def _parted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    return [c for c in comparisons if c.difference is not None]


def _moved(receipt: Receipt) -> float:
    """The largest difference of logits at the widths that exact mode uses."""
    return max((d for p in receipt.probes for w, d in p.differences.items() if w > 1), default=0.0)
