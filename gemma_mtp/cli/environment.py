"""What lies beyond the command line: model names, files, the engine, the hub, the state folder.

The one seam between the command line and the rest; tests put a scripted environment in its place.
Everything is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gemma_mtp.api import LoadOptions, PairFiles, Replies, Stats
    from gemma_mtp.cli.finding import Finding
    from gemma_mtp.cli.positionals import Words
    from gemma_mtp.conversations.archive import Archive
    from gemma_mtp.files.media import Kind
    from gemma_mtp.models.catalogue import Catalogue
    from gemma_mtp.models.machine import Machine
    from gemma_mtp.models.pull.events import OnEvent
    from gemma_mtp.models.pull.request import PullRequest
    from gemma_mtp.models.store import Store
    from gemma_mtp.options import Options


class Environment:
    """The real one."""

    @cached_property
    def catalogue(self) -> Catalogue:
        from gemma_mtp.models.catalogue import load_catalogue
        from gemma_mtp.paths import own_models

        return load_catalogue(own_models())

    @cached_property
    def store(self) -> Store:
        from gemma_mtp.models.store import Store

        return Store(self.catalogue)

    def names(self) -> Catalogue:
        return self.catalogue

    def is_built_in(self, name: str) -> bool:
        entry = self.catalogue.find(name)
        return entry is not None and entry.builtin

    def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
        return self.store.resolve(model, drafter)

    def resolve_or_offer(
        self, model: str | None, options: Options, kinds: Sequence[Kind] = ()
    ) -> PairFiles:
        """The pair to load, with an encoder of these kinds; what is not here is pulled if somebody
        at a terminal says so."""
        from gemma_mtp.cli.find_pair import resolve_or_offer

        return resolve_or_offer(self, model, options, kinds)

    def words(
        self, typed: Sequence[str], command: str, named: str | None, prompt: str | None
    ) -> Words:
        """Tell MODEL and PROMPT apart. Raises UsageError and ModelNotAvailable."""
        from gemma_mtp.cli.positionals import read_words

        return read_words(typed, self.names(), command=command, named=named, prompt=prompt)

    def who_answers(self, name: str) -> str:
        """A sentence about the model that is taken where none was named."""
        if self.is_built_in(name):
            return (
                f"{name}, the built-in toy model, answers; gemma-mtp pull e2b fetches a real one."
            )
        why = "the default model" if "model" in self.settings() else "the model used last"
        return f"{name}, {why}, answers."

    def meant(self, typed: str) -> str:
        return self.store.meant(typed).note

    def models_here(self) -> Iterator[tuple[str, str]]:
        from gemma_mtp.chat import models

        return models.here(self.store)

    def models_elsewhere(self) -> Iterator[tuple[str, str]]:
        from gemma_mtp.chat import models

        return models.elsewhere(self.store)

    def described(self, name: str, given: Options, width: int) -> list[str]:
        from gemma_mtp.chat import models

        return models.described(self.store, self.machine, name, given, width)

    def header_text(self, files: PairFiles, key: str) -> str:
        from gemma_mtp.chat import models

        return models.from_header(files, key)

    def remember_used(self, name: str) -> None:
        self.store.remember_used(name)

    def remember_speed(self, name: str, stats: Stats) -> None:
        """Keep what a chat measured, for `show` and for the next chat."""
        from gemma_mtp.models import speeds

        speeds.remember(name, stats)

    def known_speedup(self, name: str) -> float | None:
        from gemma_mtp.models import speeds

        known = speeds.recall(name)
        return known["speedup"] if known else None

    def load(
        self, files: PairFiles, options: LoadOptions, progress: Callable[[float], bool]
    ) -> Replies:
        from gemma_mtp.resident.attach import make_room
        from gemma_mtp.resident.pairs import load
        from gemma_mtp.terminal.console import note
        from gemma_mtp.terminal.interrupts import breakable

        with breakable():
            make_room(note, _waits)
        return load(files, options, progress, measuring=True)

    def attach(
        self, files: PairFiles, options: Options, progress: Callable[[float], bool]
    ) -> Replies:
        from gemma_mtp.resident.attach import attach
        from gemma_mtp.terminal.console import note

        return attach(files, options, progress, note)

    def stay(self, pair: Replies, options: Options) -> bool:
        from gemma_mtp.resident.attach import stay

        return stay(pair, options)

    def pull(self, name: str | None, on_event: OnEvent, request: PullRequest | None = None) -> str:
        """Fetch a pair and return its name in the catalogue."""
        from gemma_mtp.models.pull.request import PullRequest, fulfil

        return fulfil(name, request or PullRequest(), self.store, on_event)

    def settings(self) -> dict[str, Any]:
        """What the user's config.toml says."""
        from gemma_mtp import paths
        from gemma_mtp.files import config_file

        return config_file.read(paths.config_file())

    def remember_setting(self, name: str, value: Any) -> Path:
        """Write a setting into the user's config.toml, and say where that is. Raises
        GemmaMtpError."""
        from gemma_mtp import paths
        from gemma_mtp.files import config_file

        config_file.write(paths.config_file(), name, value)
        return paths.config_file()

    def misspelt_settings(self) -> str:
        """A sentence about keys of config.toml that mean nothing, if there are any."""
        from gemma_mtp import paths
        from gemma_mtp.files import config_file

        return config_file.misspelt(paths.config_file())

    def trouble(self) -> str:
        """A sentence about a folder in which nothing can be kept, if there is one."""
        from gemma_mtp import paths
        from gemma_mtp.files import places

        for folder in (paths.state_dir(), paths.cache_dir()):
            if obstacle := places.folder_obstacle(folder):
                return f"Nothing can be kept in {folder}: {obstacle}."
        return ""

    def machine(self) -> Machine:
        """What is free here just now."""
        from gemma_mtp.models.machine import this_machine

        return this_machine()

    def memory_speed(self) -> float | None:
        """Bytes per second that memory is read with, as measured now; None where it cannot be."""
        from gemma_mtp.llama import threads
        from gemma_mtp.models.memory_speed import memory_speed

        try:
            return memory_speed(threads.usable_threads())
        except (OSError, RuntimeError, MemoryError):
            return None

    def findings(self, offline: bool) -> list[Finding]:
        """What `doctor` has to say but for the models; asks the hub unless `offline`."""
        from gemma_mtp.cli.findings import examine

        return examine(offline)

    def history(self) -> Path | None:
        from gemma_mtp.paths import state_dir

        return state_dir() / "history"

    def archive(self) -> Archive:
        from gemma_mtp.conversations.archive import Archive
        from gemma_mtp.models import chat_states
        from gemma_mtp.paths import state_dir

        return Archive(state_dir() / "chats.db", chat_states.remove)

    def versions(self) -> tuple[str, str]:
        from gemma_mtp.llama import versions

        return versions()


def _waits(busy: str) -> bool:
    """Whether to measure only when the engine has written the reply that it is busy with."""
    from gemma_mtp.terminal.console import agreed, can_ask, note

    if not can_ask():
        note(f"{busy} gets a reply first; what is measured begins after it.")
        return True
    return agreed(f"The engine writes a reply for {busy}. Wait for its end?", default=True)
