"""Parameters by the names people type, among them Ollama's; one table for setting and showing.

Pure: takes options, gives changed options. Knows no terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from gemma_mtp.errors import UsageError
from gemma_mtp.settings import Options

NONE = ("none", "off", "default")
CHOSEN = "chosen for this machine"


@dataclass(frozen=True)
class Parameter:
    """A field of `Options`. `unset`: what it means to have none, if that is possible; `reload`:
    it counts from the next load on."""

    field: str
    kind: type
    summary: str
    unset: str = ""
    reload: bool = False


PARAMETERS = {
    p.field: p
    for p in (
        Parameter("temperature", float, "randomness; 0 takes the likeliest token"),
        Parameter("top_k", int, "keep the K likeliest tokens; 0 keeps all"),
        Parameter("top_p", float, "keep the likeliest tokens up to this total"),
        Parameter("min_p", float, "drop tokens below this share of the likeliest one"),
        Parameter("repeat_penalty", float, "above 1 discourages repetition"),
        Parameter("seed", int, "same seed, same text; or none", "another for each reply"),
        Parameter("max_tokens", int, "longest reply; or none", "no limit"),
        Parameter("stop", str, "texts at which a reply ends; or none", "no text ends a reply"),
        Parameter("draft", str, "draft length: auto, off or a number"),
        Parameter("ctx", int, "context in tokens", CHOSEN, reload=True),
        Parameter("threads", int, "CPU threads; else as many as others leave", CHOSEN, reload=True),
        Parameter("gpu_layers", int, "layers on the GPU; -1 is all", CHOSEN, reload=True),
    )
}
ALIASES = {
    "num_predict": "max_tokens",
    "num_ctx": "ctx",
    "num_thread": "threads",
    "num_gpu": "gpu_layers",
}


def find(name: str) -> Parameter:
    """The parameter meant by `name`."""
    word = name.lower().replace("-", "_")
    known = PARAMETERS.get(ALIASES.get(word, word))
    if known is None:
        names = [*PARAMETERS, *ALIASES]
        raise UsageError(f'There is no parameter "{name}".', advice(word, names, PARAMETERS))
    return known


def advice(word: str, names: Iterable[str], told: Iterable[str] = ()) -> str:
    """What a name that does not exist may have been meant to be; else the names, or those that are
    `told`."""
    names = [*names]
    near = get_close_matches(word.lower(), names, 1)
    return f"Did you mean {near[0]}?" if near else f"Known: {', '.join(told or names)}."


def changed(options: Options, name: str, words: list[str]) -> Options:
    """The options with one parameter set; raises `UsageError` and changes nothing otherwise."""
    known = find(name)
    if not words:
        raise UsageError(f"{known.field} needs a value.", f"/set parameter {known.field} VALUE")
    value: dict[str, Any] = {known.field: _value(known, words)}
    after = replace(options, **value)
    try:
        after.check()
    except UsageError as error:
        flag = f"--{known.field.replace('_', '-')}"
        raise UsageError(str(error).replace(flag, known.field), error.hint) from error
    return after


def _value(known: Parameter, words: list[str]) -> Any:
    if known.unset and len(words) == 1 and words[0].lower() in NONE:
        return None
    if known.field == "stop":
        return words
    if len(words) > 1:
        raise UsageError(f"{known.field} takes one value, not {len(words)}.")
    try:
        return known.kind(words[0])
    except ValueError as error:
        kind = "a whole number" if known.kind is int else "a number"
        raise UsageError(f'{known.field} must be {kind}, not "{words[0]}".') from error


@dataclass(frozen=True)
class InUse:
    """The options that the loaded pair was loaded with, and what came of them."""

    options: Options
    values: Mapping[str, int]


def shown(options: Options, in_use: InUse | None = None) -> Iterator[tuple[str, str]]:
    """Every parameter and its value; of those that count from the next load on, both values."""
    for field, known in PARAMETERS.items():
        wanted = _words(known, getattr(options, field))
        if in_use is None or not known.reload:
            yield field, wanted
        elif getattr(in_use.options, field) == getattr(options, field):
            number = str(in_use.values[field])
            yield field, f"{number}, {wanted}" if wanted == known.unset else number
        else:
            yield field, f"{in_use.values[field]}; from the next load on: {wanted}"


def told(options: Options, known: Parameter, when: str = "") -> str:
    """A sentence about one parameter; `when` it counts is put into it."""
    value = getattr(options, known.field)
    if value in (None, []):
        return f"{known.field} is not set{when}: {known.unset}."
    return f"{known.field} is {_words(known, value)}{when}."


def _words(known: Parameter, value: object) -> str:
    if value in (None, []):
        return known.unset
    return " ".join(f'"{v}"' for v in value) if isinstance(value, list) else str(value)
