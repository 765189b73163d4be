"""What the target's cache holds, and how a new prompt reuses it.

Only what is new is evaluated: the longest common prefix of the transcript and the prompt stays.
Where the cache cannot go back that far, the newest snapshot within the prefix is restored. The
engine fills it with prompts and lets rounds go on from there. Knows segments and positions, no
texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from gemma_mtp.api import (
    SHELF_BYTES,
    SHELF_SHARE,
    SNAPSHOT_BYTES,
    SNAPSHOT_SHARE,
    Keeping,
    Prefill,
)
from gemma_mtp.decoding.rows import Row, Shortlist
from gemma_mtp.decoding.transcript import Position, Tokens, Transcript
from gemma_mtp.engine.shelf import Shelf, Shelved
from gemma_mtp.engine.snapshots import Snapshots
from gemma_mtp.engine.states import KeptStates
from gemma_mtp.engine.template_rendering import never
from gemma_mtp.llama.media import Embedded, Encoder

if TYPE_CHECKING:
    from gemma_mtp.llama.target import LlamaTarget

SNAPSHOT_INTERVAL = 8  # pieces of a long prompt between two snapshots
NEGLIGIBLE = 16  # tokens, left to the next prompt: the end of a turn and the opening of another


# Positions to evaluate again from which on a conversation is set aside. A copy of one costs a
# fraction of evaluating that many.
WORTH_KEEPING = 64


Wanted = Literal["row", "shortlist", "nothing"]
"""What of a prompt's last logits: all, no more than a shortlist tells, or none."""


class PromptCache:
    """The one sequence in the cache, the transcript of it, and copies of other conversations."""

    def __init__(
        self,
        target: LlamaTarget,
        states: KeptStates | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        """`encoder` reads the pictures and recordings of prompts."""
        self.target, self.encoder = target, encoder
        self.states = states or KeptStates()
        self.keeping: Keeping | None = None  # how what is in the cache is kept on the disk
        self.transcript = Transcript()
        self.last_row: Row | Shortlist | None = None
        self.expected = Transcript()  # what a later prompt will begin with
        self.snapshots = self._no_snapshots()
        self._ring = target.ring_size  # in which what is cached was evaluated
        self.shelf = Shelf(max(SHELF_BYTES, target.model_bytes // SHELF_SHARE))

    def _no_snapshots(self) -> Snapshots:
        return Snapshots(max(SNAPSHOT_BYTES, self.target.model_bytes // SNAPSHOT_SHARE))

    @property
    def tokens(self) -> list[int]:
        """The ids that are cached."""
        return self.transcript.tokens(0, self.transcript.cached)

    def prefill(
        self,
        prompt: Transcript,
        exact: bool = False,
        lasting: Position | None = None,
        keep: Keeping | None = None,
        wanted: Wanted = "row",
        stopped: Callable[[], bool] = never,
    ) -> Iterator[Prefill]:
        """Evaluate what is new of `prompt` piece by piece; then `last_row` holds its last logits,
        as far as they are `wanted`.

        `exact`: a cache whose cells are out of order is not reused, since the text would show it.
        `lasting`: how much of it a later prompt begins with as well; there a snapshot is taken (at
        its end by default). The same prompt again starts from it, so that the same seed gives the
        same text: evaluated in other pieces, the rows would have other last bits.
        `keep`: how the conversation is kept on the disk, and found there.
        May be abandoned between pieces: the transcript holds what the cache does. `stopped` says so
        while a picture or a recording is encoded.
        """
        self._turn_to(prompt, keep)
        transcript, total = self.transcript, prompt.end
        lasting = total if lasting is None else lasting
        cached = self._reuse(prompt, exact, lasting, wanted)
        begins = prompt.shared(self.expected) == self.expected.end
        expected = self.expected.end if begins else 0
        yield Prefill(cached, total, cached)
        while (done := transcript.end) < total:
            self._remember(done == max(cached, expected), done == lasting)
            ends = (end for end in (expected, lasting, total) if end > done)
            piece = prompt.piece(done, min(done + self.target.piece_size, *ends))
            last = done + piece.positions == total
            outputs, short = int(last and wanted != "nothing"), wanted == "shortlist"
            if isinstance(piece, Tokens):
                rows = self.target.decode(piece.ids, done, outputs, short)
            else:
                assert isinstance(piece, Embedded)
                assert self.encoder is not None
                seen = self.encoder.rows(piece, stopped)
                yield Prefill(done, total, cached)  # that may have taken seconds
                if seen is None:
                    continue
                rows = self.target.decode_embedded(seen, done, outputs, piece.at_once)
                piece = replace(piece, data=b"")
            transcript.extend(piece)
            transcript.cached = transcript.end
            if outputs:
                self.last_row = rows[0]
                if total == lasting:
                    self._snapshot(complete=True)
            yield Prefill(transcript.end, total, cached)

    def prepare(
        self, expected: Transcript, exact: bool = False, keep: Keeping | None = None
    ) -> Iterator[Prefill]:
        """Evaluate what a later prompt will begin with, unless that is cached but for a few tokens.

        May be abandoned like `prefill`, which then evaluates the rest in the pieces that were left:
        how far this came must not show in the last bits.
        """
        self._turn_to(expected, keep)
        shared = self.transcript.shared(expected)
        all_cached = shared == self.transcript.end and shared >= expected.end - NEGLIGIBLE
        if shared < expected.end and not all_cached:
            self.expected = expected
            yield from self.prefill(expected, exact, lasting=0, keep=keep, wanted="nothing")

    def rewind(self, length: Position) -> Position:
        """Forget positions from `length` on; returns how many are left.

        They are fewer where the cache has lost what it needs to go on from there.
        """
        if length < self.transcript.end:
            self._forget(length)
            length = self.transcript.end  # less, where a picture or a recording would have been cut
            if self.target.can_rewind(length):
                self.target.rewind(length)
            else:
                self._restore(length)
        return self.transcript.end

    def settle(self) -> None:
        """Whatever happened: forget what is not cached, and let the cache forget what is not in the
        transcript."""
        self.transcript.truncate(self.transcript.cached)
        self.target.keep(self.transcript.end)

    def keep(self, grown: int = 0) -> None:
        """Have what is in the cache kept on the disk, if that is wanted; not if the state there
        lacks no more than `grown` positions."""
        if not self.states.is_kept(self.keeping, self.transcript, grown):
            self._keep(self._copied())

    @property
    def state_bytes(self) -> int:
        """What a copy of the conversation in the cache takes."""
        return self.target.saved_cache_bytes() + self.snapshots.nbytes

    def lift(self) -> Shelved | None:
        """Take the conversation out of the cache, which is about to be made anew; None where there
        is nothing, or no copy to be had."""
        copy = self._copied() if self.transcript.end else None
        self.last_row = None  # it is memory of the context that goes
        self._forget(0)
        return copy

    def put_back(self, lifted: Shelved | None) -> None:
        """Have in the cache, which was made anew, what `lift` gave."""
        self._ring = self.target.ring_size
        if lifted is not None:
            self._take_up(lifted)

    def _turn_to(self, prompt: Transcript, keep: Keeping | None) -> None:
        """Have in the cache the conversation that has most of `prompt`, and set that aside which is
        there, if much of it would have to be evaluated again."""
        shared = self.transcript.shared(prompt)
        theirs, other = self.shelf.best(prompt)
        if other is not None and theirs >= shared + WORTH_KEEPING:
            self.shelf.take(other)
        else:
            theirs, other = shared, None
        # A state is read in less time than a token is evaluated.
        other = self.states.find(keep, prompt, theirs + 1) or other
        if self.transcript.end >= (0 if other else shared) + WORTH_KEEPING:
            self._set_aside(keep)
        if other is not None:
            self._take_up(other)
        self.keeping = keep

    def _set_aside(self, keep: Keeping | None) -> None:
        """Keep a copy of the conversation in the cache: in memory if there is room for one, and on
        the disk unless the conversation itself goes on, as `keep` says."""
        same = keep is not None and self.keeping is not None and keep.name == self.keeping.name
        to_disk = not same and not self.states.is_kept(self.keeping, self.transcript)
        room = self.target.saved_cache_bytes() <= self.shelf.limit
        copy = self._copied() if room or to_disk else None
        if copy is not None and room:
            self.shelf.put(copy)
        if to_disk:
            self._keep(copy)

    def _copied(self) -> Shelved | None:
        saved = self.target.save_cache()
        if saved is None:
            return None
        others = self.snapshots.copy(), self.expected.copy(), self._ring
        return Shelved(self.transcript.copy(), saved, *others)

    def _keep(self, copy: Shelved | None) -> None:
        if copy is not None and self.keeping is not None:
            self.states.keep(self.keeping, copy)

    def _take_up(self, other: Shelved) -> None:
        if self.target.restore_cache(other.saved, other.transcript.end):
            self.transcript.become(other.transcript)
            self.snapshots, self.expected = other.snapshots, other.expected
            self._ring = other.ring or self._ring
        else:
            self.target.rewind(0)
            self._forget(0)

    def _reuse(
        self, prompt: Transcript, exact: bool, lasting: Position, wanted: Wanted
    ) -> Position:
        """Keep what is cached of `prompt`; returns how many positions that is."""
        if exact and not self._is_of_this_ring:
            self.rewind(0)
        shared, total = self.transcript.shared(prompt), prompt.end
        newest = self.snapshots.cut(shared)
        again = newest is not None and newest.length == lasting <= shared
        row = newest.saved.row if newest else None
        told = isinstance(row, np.ndarray) or (row is not None and wanted == "shortlist")
        if newest and again and (lasting < total or told):
            self._restore(lasting)
            self.last_row = row
            return self.transcript.end
        # Without a snapshot the last token is evaluated again: its row chooses the first token.
        self.rewind(min(shared, total - 1))
        if exact and not self.target.in_order:
            self._restore(self.transcript.end)
        return self.transcript.end

    def _remember(self, first: bool, lasting: bool) -> None:
        """Take a snapshot before a piece where people are likely to come back to.

        That is the end of the reply before, the lasting part of a prompt, and in a long prompt one
        place now and then, if it need not make room for the next one.
        """
        pieces = (self.transcript.end - self.snapshots.newest) / self.target.piece_size
        room = 2 * self.target.saved_bytes() <= self.snapshots.limit
        if (lasting and pieces > 0) or (room and pieces >= (1 if first else SNAPSHOT_INTERVAL)):
            self._snapshot(complete=False)

    def _snapshot(self, complete: bool) -> None:
        """`complete`: with the last row, so that nothing is left to evaluate."""
        size = self.target.saved_bytes()
        self.snapshots.add(self.transcript.end, size, lambda: self.target.save(complete))

    def _restore(self, length: Position) -> None:
        """Go back to the newest snapshot of at most `length` positions, or else to nothing."""
        newest = self.snapshots.cut(length)
        if newest and self.target.restore(newest.saved, newest.length):
            self._forget(newest.length)
        else:
            self.target.rewind(0)
            self._forget(0)

    def _forget(self, length: Position) -> None:
        self.transcript.truncate(length)
        self.snapshots.cut(self.transcript.end)
        if not self.transcript.end:
            self._ring = self.target.ring_size

    @property
    def _is_of_this_ring(self) -> bool:
        """Whether what is cached has the bits that evaluating it anew would give: before the
        contexts were made anew, the window may have gone around a ring of another size."""
        ring = self.target.ring_size
        return self._ring == ring or self.transcript.end <= min(self._ring, ring)
