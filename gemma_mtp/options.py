"""All settings together as one set of options, where each comes from, and how they are found.

Read by the command line, the chat, config.toml and models.toml. Pure: knows no terminal, no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from gemma_mtp.errors import UsageError
from gemma_mtp.setting import Setting, setting, settings_of
from gemma_mtp.settings import (
    SHORTEST_THOUGHT,
    ChatSettings,
    Elsewhere,
    LoadOptions,
    ReplySettings,
    Sampling,
    View,
)
from gemma_mtp.text import suggestion

Part = TypeVar("Part")


@dataclass(frozen=True)
class Options(ChatSettings, View, Elsewhere, LoadOptions, ReplySettings, Sampling):
    """All settings of a chat or a run.

    `given` names the fields that a person has set, on the command line, in config.toml or with
    /set, and `written` those of config.toml alone, with their values. What comes with a model takes
    the place of the others, as `for_model` says; `brought` names the fields of which it did.
    """

    system: str | None = setting(None, "System prompt.", str, unset="no system prompt")
    keep_alive: int | None = setting(
        None,
        "How long the model stays loaded after a reply, for the next command.",
        int,
        least=-1,
        most=10**9,
        words={"off": 0, "forever": -1},
        unset="5m at a terminal, else off",
        alias="keepalive",
        is_time=True,
        variable="GEMMA_MTP_KEEP_ALIVE",
    )
    fetch_drafter: Literal["ask", "yes", "no"] = setting(
        "ask",
        "Download the drafter of its size for a file that has none.",
        choices=("ask", "yes", "no"),
    )
    drafter: Path | None = None
    yes: bool = False  # to every question before a download
    given: frozenset[str] = frozenset()
    written: Mapping[str, Any] = field(default_factory=dict)
    brought: frozenset[str] = frozenset()

    def with_values(self, **values: Any) -> Options:
        """The options with fields set by a person. What is said of thinking later holds: a budget
        for thoughts turns them on, and who turns them off has no budget any more.

        Raises UsageError where both are set and contradict each other.
        """
        given = self.given | values.keys()
        think, budget = values.get("think"), values.get("think_budget")
        if budget is not None:
            if think not in (None, budget > 0):
                said = f"think {'on' if think else 'off'} and a think_budget of {budget}"
                raise UsageError(f"{said} contradict each other.", "Leave one of them out.")
            values["think"] = budget >= SHORTEST_THOUGHT
        elif think is False or (think and self.think_budget == 0):
            values.setdefault("think_budget", None)
        written = {name: value for name, value in self.written.items() if name not in values}
        return replace(self, given=given, written=written, **values)

    def configured(self, **values: Any) -> Options:
        """The options with what config.toml says, before anything else is set."""
        found = self.with_values(**values)
        return replace(found, written={name: getattr(found, name) for name in whole(values)})

    def without(self, known: Setting) -> Options:
        """The options as if nobody had set that one."""
        written = {name: value for name, value in self.written.items() if name != known.field}
        given = self.given - {known.field}
        return replace(self, given=given, written=written, **{known.field: known.default})

    def for_model(
        self, recommended: Mapping[str, Any], preset: Mapping[str, Any] = MappingProxyType({})
    ) -> Options:
        """The options with what comes with a model, by field: a `preset` of the user's counts more
        than config.toml, and what is `recommended` less. What was typed counts more than both, and
        what came with another model before is gone."""
        typed = whole(self.given - self.written.keys())
        names = whole({*recommended, *preset})
        values = {
            name: preset.get(name, self.written.get(name, recommended.get(name, default)))
            for name, default in _DEFAULTS.items()
            if name in names | self.brought and name not in typed
        }
        return replace(self, brought=frozenset(names), **values)

    def seeded(self, seed: int) -> Options:
        """The options with a seed, which by itself makes no reply exact."""
        return replace(self, seed=seed, exact=self.is_exact)

    def part(self, kind: type[Part]) -> Part:
        """The fields of one of the classes that options are made of."""
        return kind(**{f.name: getattr(self, f.name) for f in fields(kind)})  # type: ignore[arg-type]


def whole(names: Iterable[str]) -> set[str]:
    """Fields, with those that are set together: whether to think, and how long."""
    thinking = {"think", "think_budget"}
    found = set(names)
    return found | thinking if found & thinking else found


_DEFAULTS = {known.field: known.default for known in settings_of(Options)}

PARAMETERS = {
    known.name: known
    for kind in (Sampling, ReplySettings, LoadOptions)
    for known in settings_of(kind)
}
"""What `/set parameter` knows, by name."""

PARAMETER_NAMES = {
    name: known for known in PARAMETERS.values() for name in (known.name, known.alias) if name
}
"""The same under Ollama's names, too."""

CHAT_SETTINGS = {known.name: known for known in settings_of(ChatSettings)}
"""What only a chat knows, by name."""

TASTE = {**{known.name: known for known in settings_of(View)}, **CHAT_SETTINGS}
"""What `/set` knows besides, by name."""

SETTINGS = {known.name: known for known in settings_of(Options) if known.name not in TASTE} | TASTE
"""All that flags and config.toml know, by name."""


def find(
    name: str, names: Mapping[str, Setting] = PARAMETER_NAMES, what: str = "parameter"
) -> Setting:
    """The one that a person means, of those in `names`; raises UsageError with the nearest one."""
    word = name.lower().replace("-", "_")
    if word in names:
        return names[word]
    known = dict.fromkeys(known.name for known in names.values())
    hint = suggestion(word, names) or f"Known: {', '.join(known)}."
    raise UsageError(f'There is no {what} "{name}".', hint)
