"""What the cache held of a conversation, kept from one run of the program to the next.

The prompt cache looks for a state before it evaluates a prompt, and has one kept when nobody asks
for anything or the conversation has to make room. Knows transcripts and copies, and no disk: who
loads the pair says how states are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from gemma_mtp.api import Keeping
from gemma_mtp.decoding.transcript import Segment, Tokens, Transcript
from gemma_mtp.engine.shelf import Shelved
from gemma_mtp.engine.snapshots import Snapshot, Snapshots
from gemma_mtp.llama.media import Embedded
from gemma_mtp.llama.shortlist import Shortlist
from gemma_mtp.llama.target import SavedCache, SavedTarget


class States(Protocol):
    """Keeps states as far as it can: what is missing, damaged or another pair's is not there."""

    def about(self, name: str) -> dict[str, Any] | None:
        """What was said about the state of a conversation."""

    def read(self, name: str) -> tuple[dict[str, Any], list[memoryview]] | None:
        """The same, and the parts of the state."""

    def keep(self, keep: Keeping, about: dict[str, Any], parts: Sequence[memoryview]) -> None:
        """Write a state while the caller goes on; `about` is JSON."""

    def close(self) -> None:
        """Wait until all is written."""


class KeptStates:
    """The states of this pair, which fit its cache and no other; none are where `states` is None.

    `layout` is what else decides how the cache of so many tokens lies, besides what `states` knows
    of the pair: plain values.
    """

    def __init__(
        self,
        states: States | None = None,
        context_size: int = 0,
        layout: Sequence[object] = (),
        encoder: object = None,
    ) -> None:
        """`encoder` tells what read pictures and recordings from all others: a plain value."""
        self._states, self._context_size, self._layout = states, context_size, [*layout]
        self._encoder = encoder
        self._known: dict[str, Transcript] = {}  # conversations, as they are on the disk

    def find(self, keep: Keeping | None, prompt: Transcript, least: int) -> Shelved | None:
        """What was kept of a conversation, if at least so many positions of `prompt` are in it."""
        if self._states is None or keep is None:
            return None
        known = self._known.get(keep.name) or self._look(keep.name)
        if known is None or known.shared(prompt) < least:
            return None
        found = self._states.read(keep.name)
        kept = _unpacked(*found) if found and self._fits(found[0]) else None
        if kept is None:
            self._known.pop(keep.name, None)
        else:
            self._known[keep.name] = kept.transcript
        return kept

    def _look(self, name: str) -> Transcript | None:
        assert self._states is not None
        about = self._states.about(name)
        return _transcript(about.get("ids")) if about and self._fits(about) else None

    def _fits(self, about: dict[str, Any]) -> bool:
        known = _transcript(about.get("ids"))
        if known is None or known.end >= self._context_size:
            return False
        same_eyes = not known.has_others or about.get("encoder") == self._encoder
        return same_eyes and about.get("layout") == self._layout

    def is_kept(self, keep: Keeping | None, transcript: Transcript, grown: int = 0) -> bool:
        """Whether there is nothing to keep: the state on the disk lacks no more than `grown`
        positions."""
        if self._states is None or keep is None or not transcript.end:
            return True
        known = self._known.get(keep.name)
        if known is None:
            return False
        return known.shared(transcript) == known.end >= transcript.end - grown

    def keep(self, keep: Keeping, shelved: Shelved) -> None:
        """Have a copy of the cache written, if it is not too large."""
        assert self._states is not None
        if shelved.nbytes > keep.limit:
            return
        about, parts = _packed(shelved)
        about |= {"layout": self._layout, "encoder": self._encoder}
        self._states.keep(keep, about, parts)
        self._known[keep.name] = shelved.transcript

    def close(self) -> None:
        """Wait until all is written."""
        if self._states is not None:
            self._states.close()


def _packed(shelved: Shelved) -> tuple[dict[str, Any], list[memoryview]]:
    """A state as JSON and bytes."""
    arrays: list[np.ndarray[Any, Any]] = [shelved.saved.cells]
    snapshots = []
    for each in shelved.snapshots.all:
        row = each.saved.row
        parts = [row.ids, row.logits] if isinstance(row, Shortlist) else [row]
        rows = [part for part in (*parts, each.saved.hidden) if part is not None]
        snapshots.append([each.length, len(rows), isinstance(row, Shortlist)])
        arrays += [each.saved.window, *rows]
    shared = shelved.expected.shared(shelved.transcript)
    about = {
        "ids": _listed(shelved.transcript.segments()),
        "expected": [shared, *_listed(shelved.expected.segments(shared))],
        "window": shelved.saved.window,
        "snapshots": snapshots,
        "room": shelved.snapshots.limit,
        "ring": shelved.ring,
    }
    return about, [np.ascontiguousarray(array).data.cast("B") for array in arrays]


def _unpacked(about: dict[str, Any], parts: list[memoryview]) -> Shelved | None:
    """What `_packed` packed; None where that cannot be."""
    try:
        arrays = iter(np.frombuffer(part, np.uint8) for part in parts)
        cells = next(arrays)
        snapshots = Snapshots(int(about["room"]))
        snapshots.extend(_snapshots(about["snapshots"], arrays))
        shared, *rest = about["expected"]
        transcript = Transcript(_segments(about["ids"]))
        expected = transcript.copy()
        expected.truncate(shared)
        for segment in _segments(rest):
            expected.extend(segment)
        saved = SavedCache(cells, int(about["window"]))
        return Shelved(transcript, saved, snapshots, expected, int(about.get("ring", 0)))
    except (KeyError, TypeError, ValueError, StopIteration):
        return None


def _snapshots(found: list[list[int]], arrays: Iterator[np.ndarray[Any, Any]]) -> list[Snapshot]:
    snapshots = []
    for length, n_rows, short in found:
        window = next(arrays)
        rows: list[Any] = [next(arrays) for _ in range(n_rows)]
        if short:
            rows[:2] = [Shortlist(rows[0].view(np.int64), rows[1].view(np.float32))]
        rows = [row if isinstance(row, Shortlist) else row.view(np.float32) for row in rows]
        snapshots.append(Snapshot(length, SavedTarget(window, *rows)))
    return snapshots


def _listed(segments: Iterable[Segment]) -> list[object]:
    """Segments as JSON: tokens are numbers, and others their digest and positions."""
    found: list[object] = []
    for segment in segments:
        if isinstance(segment, Tokens):
            found += segment.ids
        else:
            assert isinstance(segment, Embedded)
            found.append([segment.digest, segment.positions])
    return found


def _segments(listed: Sequence[Any]) -> Iterator[Segment]:
    """What `_listed` listed. Raises TypeError and ValueError for anything else."""
    for kind, parts in groupby(listed, type):
        if kind is int:
            yield Tokens(tuple(parts))
            continue
        for digest, positions in parts:
            if type(digest) is not str or type(positions) is not int:
                raise ValueError("no segment")
            yield Embedded(digest, positions)


def _transcript(listed: Any) -> Transcript | None:
    try:
        return Transcript(_segments(listed))
    except (TypeError, ValueError):
        return None
