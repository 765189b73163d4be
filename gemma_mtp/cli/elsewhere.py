"""What lies beyond the command line where a server writes the replies: --server.

`chat` and `run` ask `environment_of` which of the two worlds it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gemma_mtp.cli.environment import Environment
from gemma_mtp.cli.flags import flag_of
from gemma_mtp.errors import ModelNotAvailable, UsageError
from gemma_mtp.setting import settings_of
from gemma_mtp.settings import LoadOptions
from gemma_mtp.text import clean, suggestion

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles, Replies, Stats
    from gemma_mtp.cli.positionals import Words
    from gemma_mtp.conversations.archive import Archive
    from gemma_mtp.files.media import Kind
    from gemma_mtp.options import Options
    from gemma_mtp.remote.server import Model, Server


def environment_of(here: Environment, options: Options, typed: dict[str, Any]) -> Environment:
    """The world that replies come from. Raises UsageError for what was `typed` on the command line
    and is the server's to decide."""
    if options.server is None:
        return here
    for known in settings_of(LoadOptions):
        if typed.get(known.name) is not None:
            raise UsageError(f"{flag_of(known.name)} is for this machine; the server has its own.")
    if options.drafter is not None:
        raise UsageError("--drafter is for this machine; the server has its own.")
    return ServerEnvironment(here, options.server, options.api_key)


class ServerEnvironment(Environment):
    """The models are a server's, all else is this machine's."""

    def __init__(self, here: Environment, address: str, api_key: str | None) -> None:
        self._here, self._address, self._api_key = here, address, api_key

    @cached_property
    def _server(self) -> Server:
        from gemma_mtp.remote.server import Server

        return Server(self._address, self._api_key)

    @cached_property
    def _models(self) -> list[Model]:
        found = self._server.models()
        if not found:
            raise ModelNotAvailable(f"{self._server.address} has no model.")
        return found

    def words(
        self, typed: Sequence[str], command: str, named: str | None, prompt: str | None
    ) -> Words:
        """The first word is the model if the server has one of that name."""
        from gemma_mtp.cli.positionals import Words

        words = [*typed]
        if named is None and words and self._find(words[0]) is not None:
            named = words.pop(0)
        if words and prompt is not None:
            raise UsageError("The prompt is given twice.", "Leave one of them out.")
        found = " ".join(words) if words else prompt
        return Words(named, None if found is None else clean(found))

    def _find(self, name: str) -> Model | None:
        """The model of that name, with or without what Ollama writes behind it."""
        wanted = name.removesuffix(":latest").lower()
        found = (m for m in self._models if m.name.removesuffix(":latest").lower() == wanted)
        return next(found, None)

    def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
        from gemma_mtp.api import PairFiles

        names = [each.name for each in self._models]
        if model is None:
            model = next((each.name for each in self._models if each.default), None)
        if model is None and len(names) > 1:
            raise UsageError(
                f"{self._server.address} has several models: {', '.join(names)}.",
                f"Name one, as in --model {names[0]}.",
            )
        found = self._models[0] if model is None else self._find(model)
        if found is None:
            hint = suggestion(model or "", names) or f"It has: {', '.join(names)}."
            raise ModelNotAvailable(f'{self._server.address} has no model "{model}".', hint)
        return PairFiles(found.name, Path(found.name), None)

    def resolve_or_offer(
        self, model: str | None, options: Options, kinds: Sequence[Kind] = ()
    ) -> PairFiles:
        return self.resolve(model)

    def attach(
        self, files: PairFiles, options: Options, progress: Callable[[float], bool]
    ) -> Replies:
        from gemma_mtp.remote.client import RemotePair

        found = self._find(files.name)
        assert found is not None, "what was resolved is there"
        return RemotePair(self._server, found)

    def is_built_in(self, name: str) -> bool:
        return False

    def who_answers(self, name: str) -> str:
        return f"{name} of {self._server.address} answers."

    def meant(self, typed: str) -> str:
        return ""

    def models_here(self) -> Iterator[tuple[str, str]]:
        for each in self._server.models():
            context = f", context {each.context}" if each.context else ""
            yield each.name, f"at {self._server.address}{context}"

    def models_elsewhere(self) -> Iterator[tuple[str, str]]:
        return iter(())

    def described(self, name: str, given: Options, width: int) -> list[str]:
        return [f"{each}: {text}" for each, text in self.models_here() if each == name]

    def header_text(self, files: PairFiles, key: str) -> str:
        return ""

    def remember_used(self, name: str) -> None:
        """What is loaded here next time is not the server's model."""

    def remember_speed(self, name: str, stats: Stats) -> None:
        """Nor is its speed this machine's."""

    def known_speedup(self, name: str) -> float | None:
        return None

    def settings(self) -> dict[str, Any]:
        return self._here.settings()

    def misspelt_settings(self) -> str:
        return self._here.misspelt_settings()

    def history(self) -> Path | None:
        return self._here.history()

    def archive(self) -> Archive:
        return self._here.archive()
