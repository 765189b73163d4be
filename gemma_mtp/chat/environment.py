"""What a chat needs from outside: pairs, their engine, the saved conversations, and the history.

Only the protocol is here. The command line builds the real one, tests a scripted one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gemma_mtp.api import LoadOptions, PairFiles, Replies, Stats

if TYPE_CHECKING:
    from gemma_mtp.conversations.archive import Archive
    from gemma_mtp.files.media import Kind
    from gemma_mtp.models.machine import Machine
    from gemma_mtp.options import Options


class Environment(Protocol):
    """All that a chat reaches for outside of itself."""

    def is_built_in(self, name: str) -> bool: ...

    def meant(self, typed: str) -> str:
        """A sentence where a name means something else than the very thing it names, else ""."""

    def models_here(self) -> Iterator[tuple[str, str]]:
        """Names that can be loaded at once, each with a description."""

    def models_elsewhere(self) -> Iterator[tuple[str, str]]:
        """Names of those that would have to be fetched, each with how."""

    def described(self, name: str, given: Options, width: int) -> list[str]:
        """All there is to say about a model, in lines of `width` columns."""

    def header_text(self, files: PairFiles, key: str) -> str:
        """A text of the target's header; "" where it has none."""

    def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
        """The pair that is meant. Raises ModelNotAvailable, and NotPulled for one not here."""

    def resolve_or_offer(
        self, model: str | None, options: Options, kinds: Sequence[Kind] = ()
    ) -> PairFiles:
        """As `resolve`, but offers to pull what is not here of a pair, a drafter for a file without
        one, or an encoder of these kinds, and says what may go wrong. Raises ModelNotAvailable
        where there is no such encoder."""

    def load(
        self, files: PairFiles, options: LoadOptions, progress: Callable[[float], bool]
    ) -> Replies:
        """Load a pair in this process; `progress` gets the share that is done, and stops it by
        returning False."""

    def attach(
        self, files: PairFiles, options: Options, progress: Callable[[float], bool]
    ) -> Replies:
        """A pair as `load` has it, in the process that stays between commands if one is wanted."""

    def stay(self, pair: Replies, options: Options) -> bool:
        """Have a pair that was attached to stay loaded as `options` say; False where it is not one
        that stays."""

    def remember_used(self, name: str) -> None:
        """Make this pair the one that is used where no model is named."""

    def remember_speed(self, name: str, stats: Stats) -> None:
        """Keep what a chat measured, for `show` and for the next chat."""

    def known_speedup(self, name: str) -> float | None:
        """The speedup that drafts brought in the last chat here, if it was measured."""

    def remember_setting(self, name: str, value: Any) -> Path:
        """Write a setting into the user's config.toml, and say where that is. Raises
        GemmaMtpError."""

    def history(self) -> Path | None:
        """The file of lines typed earlier; None keeps them in memory."""

    def archive(self) -> Archive:
        """The saved conversations."""

    def machine(self) -> Machine:
        """What is free here just now."""
