"""The words of a command line: which one is the model, and what the parser's complaints mean.

Knows neither terminal nor engine.

How a single word after `chat` or `run` is read (two words are always MODEL and PROMPT):

1. a name of the catalogue is the MODEL;
2. so is anything without a space that starts with `hf:`, ends in `.gguf`, holds `:` before its end,
   is the path of a file here, or holds `/` and names a repository of models (`gemma` or `gguf` in
   it); `and/or` and `1/2` are prompts, while `/help` and `./notes` are files that are missing;
3. a name with `:` after it (`e2b:`), and a word that is nearly a name, are errors that list the
   names, rather than a question to the wrong model. "Nearly" is two letters for names of six
   letters and more, one letter for shorter ones, and only for words that could be names at all:
   letters, digits, `.`, `_`, `-`, and either a digit or four letters. So `e3b` and `tinny` are
   mistakes, while `hi`, `why?`, `time` and `42` are questions. A `chat` takes every word that could
   be a name for one, since what it is opened with is a model more often than a message;
4. everything else is the PROMPT.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from gemma_mtp.errors import GemmaMtpError, ModelNotAvailable
from gemma_mtp.text import clean, did_you_mean, distance


class Names(Protocol):
    """The part of the catalogue that reading a command line needs."""

    def find(self, name: str) -> Any: ...

    def nearest(self, word: str) -> list[str]: ...


PATH_STARTS = ("/", "./", "../", "~/")


@dataclass(frozen=True)
class Words:
    """The positional words, told apart."""

    model: str | None = None
    prompt: str | None = None


def read_words(first: str | None, second: str | None, names: Names, *, chat: bool = False) -> Words:
    """Tell MODEL and PROMPT apart by the rule in the module's docstring."""
    if first is None:
        return Words()
    from gemma_mtp.chat.attachments import refuse_image

    refuse_image(first if second is None else second)
    if second is not None:
        if not _is_model(first, names):
            raise _no_such_model(first, did_you_mean(_near(first, names)) or _otherwise(second))
        return Words(first, clean(second))
    if _is_model(first, names):
        return Words(model=first)
    ask = f'To ask it as a question: gemma-mtp {"chat" if chat else "run"} tiny "{first}".'
    if first.startswith(PATH_STARTS) and not _has_space(first):
        raise ModelNotAvailable(f"There is no file {first}.", ask)
    slips = [name for name in _near(first, names) if _is_slip(first, name)]
    if slips or (chat and _could_be_name(first)):
        raise _no_such_model(first, f"{did_you_mean(slips)} {ask}".strip())
    return Words(prompt=clean(first))


def _no_such_model(word: str, hint: str) -> ModelNotAvailable:
    return ModelNotAvailable(f'There is no model called "{word}".', hint)


def _otherwise(prompt: str) -> str:
    """The hint for two words that are nothing like MODEL and PROMPT."""
    if _has_space(prompt):
        return "gemma-mtp list --all names the models."
    return "A prompt of several words needs quotes."


def _is_model(word: str, names: Names) -> bool:
    from gemma_mtp.chat.attachments import is_file

    if word.lower().endswith(".gguf"):
        return not _has_space(word) or is_file(word)
    if names.find(word) is not None:
        return True
    if _has_space(word):
        return False
    is_repository = "/" in word and any(mark in word.lower() for mark in ("gemma", "gguf"))
    is_path = is_repository and not word.startswith(PATH_STARTS)
    return ":" in word[:-1] or is_path or ("/" in word and is_file(word))


def _near(word: str, names: Names) -> list[str]:
    """The names a word that is meant as one may be."""
    bare = word.rstrip(":")
    return [bare] if bare != word and names.find(bare) is not None else names.nearest(word)


def _is_slip(word: str, name: str) -> bool:
    """Whether `word` is `name` written wrongly, rather than a question."""
    most = 2 if len(name) > 5 else 1
    is_near = _could_be_name(word) and distance(word.lower(), name) <= most
    return word.rstrip(":") == name or is_near


def _could_be_name(word: str) -> bool:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", word):
        return False
    return len(word) >= 4 or any(letter.isdigit() for letter in word)


def _has_space(word: str) -> bool:
    return any(letter.isspace() for letter in word)


def in_our_words(
    message: str, command: str, words: list[str], names: Callable[[], Names]
) -> tuple[str, str]:
    """What the parser of the command line has to say, as a sentence and a hint of ours."""
    number = re.search(r"'(--[\w-]+)'.* valid (integer|number)", message)
    if number:
        flag, kind = number[1], {"integer": "a whole number"}.get(number[2], "a number")
        typed = " ".join(words).partition(flag)[2][1:].partition(" ")[0]
        return f'{flag} must be {kind}, not "{typed}".', f"{command} --help says more."
    if re.search(r"'ID(\.\.\.)?'.* valid integer", message):
        return "A conversation is named by its number.", "gemma-mtp chats lists them."
    if "unexpected extra argument" in message and command.split()[-1] in ("chat", "run"):
        pieces = [word for word in words[1:] if not word.startswith("-")]
        model = ""
        with suppress(GemmaMtpError):  # a broken list of models is not what this is about
            model = f"{pieces.pop(0)} " if _is_model(pieces[0], names()) else ""
        prompt = " ".join(pieces)
        return "The prompt is in several pieces.", f'It needs quotes: {command} {model}"{prompt}"'
    return message, f"{command} --help lists what there is."
