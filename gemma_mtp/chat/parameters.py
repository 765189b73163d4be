"""The parameters of a chat, changed and shown: the words around the table of settings.

Used by `/set parameter` and `/show parameters`. Pure: takes options, gives changed options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gemma_mtp.api import PairFiles
from gemma_mtp.errors import UsageError
from gemma_mtp.options import PARAMETERS, Options
from gemma_mtp.setting import Setting

_FLAG = re.compile(rf"--({'|'.join(name.replace('_', '-') for name in PARAMETERS)})(?![\w-])")
RANDOM = (["random"], ["-1"])  # words for no seed of one's own; llama.cpp's is -1


def changed(options: Options, known: Setting, words: list[str], files: PairFiles | None) -> Options:
    """The options with one parameter set to the value that is typed.

    The word `default` goes back to what comes with the model. Raises UsageError and changes nothing
    for a value that is out of range.
    """
    if known.name == "seed" and words in RANDOM:
        words = ["none"]
    if words == ["default"]:
        back = options.without(known)
        return files.fill(back) if files else back
    if len(words) > 1 and known.kind is not tuple:
        raise UsageError(f"{known.name} takes one value, not {len(words)}.")
    value = known.parse(words[0]) if len(words) == 1 else known.accept(words)
    after = options.with_values(**{known.field: value})
    after.check()
    return after


@dataclass(frozen=True)
class InUse:
    """The options that the loaded pair was loaded with, and what came of them, by field."""

    options: Options
    values: Mapping[str, int]


def shown(options: Options, in_use: InUse | None = None) -> Iterator[tuple[str, str]]:
    """Every parameter and its value; of those that count from the next load on, both values."""
    for name, known in PARAMETERS.items():
        value = getattr(options, known.field)
        wanted = known.shown(value)
        if in_use is None or not known.at_load:
            yield name, wanted
            continue
        loaded = getattr(in_use.options, known.field)
        number = str(in_use.values.get(known.field, known.shown(loaded)))
        if loaded != value:
            yield name, f"{number}; from the next load on: {wanted}"
        else:
            yield name, f"{number}, {wanted}" if value is None else number


def in_chat_words(hint: str) -> str:
    """A hint with `/set ctx` in the place of --ctx, unless it tells of a whole command; what shows
    a picture is a verb here."""
    if "gemma-mtp " in hint:
        return hint
    hint = re.sub(r"--(image|audio)\b", r"/\1", hint)
    return _FLAG.sub(lambda flag: f"/set {flag[1].replace('-', '_')}", hint)


def told(options: Options, known: Setting, when: str = "") -> str:
    """A sentence about one parameter; `when` it counts is put into it."""
    value = getattr(options, known.field)
    if value in (None, ()):
        word = next((word for word, meant in known.words.items() if meant is None), "not set")
        return f"{known.name} is {word}{when}: {known.unset}."
    quoted = f'"{value}"' if known.kind is str and not known.choices else known.shown(value)
    return f"{known.name} is {quoted}{when}."
