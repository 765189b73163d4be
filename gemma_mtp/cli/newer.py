"""`list --check`: asks the places that models were pulled from whether newer files are there.

`list` calls it and shows the answers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemma_mtp.errors import ExitStatus, GemmaMtpError
from gemma_mtp.terminal.console import note

if TYPE_CHECKING:
    from gemma_mtp.models.catalogue import Entry
    from gemma_mtp.models.inventory import StoredPair

NOTHING_TO_ASK = (
    "No model here has a place to ask: newer files are looked for where a model was pulled from a "
    "repository or a registry, and all others are pinned."
)


@dataclass
class Answers:
    """`roles` has the files of each pair that were published anew, of those that were asked about.
    `problems` has the sentence for those of which nothing could be found out."""

    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def newer(self) -> list[str]:
        """The names of pairs with newer files."""
        return [name for name, roles in self.roles.items() if roles]

    @property
    def status(self) -> ExitStatus:
        """A failure where there was something to ask and nobody answered."""
        return ExitStatus.HUB if self.problems and not self.roles else ExitStatus.OK

    def as_json(self, name: str) -> dict[str, object]:
        """What `list --json` says of a model: null where it is not known."""
        if name in self.problems:
            return {"newer": None, "not_checked": self.problems[name]}
        return {"newer": self.roles.get(name, ())}

    @property
    def conclusion(self) -> str:
        """A sentence about all of them; "" where each has one of its own."""
        if not self.roles:
            return "" if self.problems else NOTHING_TO_ASK
        of = " of the others" if self.problems else ""
        return "" if self.newer else f"Nothing newer was published{of}."

    def warn(self) -> None:
        """A note for each pair with newer files, and for each kind of problem."""
        for name in self.newer:
            roles = " and ".join(self.roles[name])
            note(f"{name}: its {roles} changed since; gemma-mtp pull {name} --update")
        for problem in dict.fromkeys(self.problems.values()):
            names = [name for name, said in self.problems.items() if said == problem]
            note(f"{', '.join(names)}: {problem}")


def ask(here: Sequence[StoredPair]) -> Answers:
    """What the places say; one that cannot be reached is asked once."""
    from gemma_mtp.models.pull.freshness import changed
    from gemma_mtp.models.pull.hub_errors import TransientError
    from gemma_mtp.terminal.screen import Screen

    show = Screen(sys.stdout, sys.stderr).transient
    found, lost = Answers(), dict[str, str]()
    try:
        for entry in _pulled(here):
            place = entry.name.partition(":")[0]
            if place in lost:
                found.problems[entry.name] = lost[place]
                continue
            show(f"asking about {entry.name}")
            try:
                found.roles[entry.name] = changed(entry, lambda event: None)
            except GemmaMtpError as error:  # also where a library is missing that asks
                found.problems[entry.name] = f"{error} {error.hint}".rstrip()
                cause = error.__cause__
                if isinstance(cause, TransientError) and not cause.answered:
                    lost[place] = found.problems[entry.name]
    finally:
        show("")
    return found


def _pulled(here: Sequence[StoredPair]) -> Iterator[Entry]:
    """Those that came from a place that can be asked."""
    from gemma_mtp import paths
    from gemma_mtp.models.hub_names import find_pulled
    from gemma_mtp.models.local_names import is_local

    for item in here:
        if item.ready and not item.preset_of and not is_local(item.name):
            entry = find_pulled(item.name, paths.models_dir())
            if entry is not None:
                yield entry
