"""The words of a command line: which one is the model, and which are the prompt.

Called by `run` and `chat`. Knows neither terminal nor engine.

The model comes first, and all words after it are the prompt, with or without quotes. Where neither
--model nor --prompt says which is which, the first word is read so:

1. a preset's name is the MODEL, and so is one of the catalogue, in any of the ways in which it is
   written elsewhere, and the name of a pair that was pulled or converted here;
2. so is anything without a space that names the hub (`hf:`, `hf.co/`, an address), ends in `.gguf`,
   holds `:` before its end, is the path of a file here, or holds `/` and names a repository of
   models (`gemma` or `gguf` in it); `and/or` and `1/2` are prompts, while `/help` and `./notes` are
   files that are missing;
3. a word that nothing follows and that is nearly a name, is a name with `:` after it (`e2b:`), or
   is that of another family (`llama3.2`), is an error that lists names, rather than a question to
   the wrong model. "Nearly" is two letters for names of six letters and more, one letter for
   shorter ones, and only for words that could be names at all: letters, digits, `.`, `_`, `-`, and
   either a digit or four letters. So `e3b` and `tinny` are mistakes, while `hi`, `why?`, `time` and
   `42` are questions. A `chat` takes every word that could be a name for one, since what it is
   opened with is a model more often than a message;
4. every other word that nothing follows is the PROMPT;
5. of several words, the first has to be a model: `tell me a story` without quotes is an error that
   says how to ask it, since a model that is not known looks the same.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemma_mtp.errors import ModelNotAvailable, UsageError
from gemma_mtp.text import clean, did_you_mean, distance, nearest

if TYPE_CHECKING:
    from gemma_mtp.models.catalogue import Catalogue

PATH_STARTS = ("/", "./", "../", "~/")


@dataclass(frozen=True)
class Words:
    """The positional words, told apart."""

    model: str | None = None
    prompt: str | None = None


def read_words(
    typed: Sequence[str],
    names: Catalogue,
    *,
    command: str = "run",
    named: str | None = None,
    prompt: str | None = None,
) -> Words:
    """Tell MODEL and PROMPT apart by the rule in the module's docstring.

    `named` and `prompt` are what --model and --prompt say.
    """
    from gemma_mtp.chat.attachments import refuse_media
    from gemma_mtp.terminal.console import note

    words = [*typed]
    if command != "chat":  # which shows a picture that a message names
        refuse_media(" ".join(words[1:] or words) if prompt is None else prompt, note)
    if named is None and words:
        if prompt is None and not is_model(words[0], names):
            _refuse_what_may_be_a_model(words, names, command)
        else:
            named = words.pop(0)
    if words and prompt is not None:
        again = f'The prompt is given twice, by --prompt and as "{" ".join(words)}".'
        raise UsageError(again, "Leave one of them out.")
    found = " ".join(words) if words else prompt
    return Words(named, None if found is None else clean(found))


def is_model(word: str, names: Catalogue) -> bool:
    """Whether a word is the name or the path of a model, known or not."""
    from gemma_mtp.chat.attachments import is_file
    from gemma_mtp.models import hub_names, local_names, presets, typed_names

    if local_names.here(word):
        return True
    if word.lower().endswith(".gguf") or hub_names.says_hub(word):
        return not _has_space(word) or is_file(word)
    if names.find(word) is not None or typed_names.FAMILY.fullmatch(word) or presets.exists(word):
        return True
    if _has_space(word):
        return False
    if _is_pulled(word):
        return True
    is_repository = "/" in word and any(mark in word.lower() for mark in ("gemma", "gguf"))
    is_path = is_repository and not word.startswith(PATH_STARTS)
    return ":" in word[:-1] or is_path or ("/" in word and is_file(word))


def _is_pulled(word: str) -> bool:
    """Whether OWNER/REPO is a repository whose pair is here."""
    from gemma_mtp import paths
    from gemma_mtp.models import hub_names, typed_names

    if not typed_names.is_repository(word):
        return False
    return hub_names.find_pulled(hub_names.read(word).name, paths.models_dir()) is not None


def quoted(text: str) -> str:
    """A text as one word of a command line, in the quotes that people type."""
    plain = not re.search(r'["$`\\!]', text)
    return f'"{text}"' if _has_space(text) and plain else shlex.quote(text)


def _refuse_what_may_be_a_model(words: Sequence[str], names: Catalogue, command: str) -> None:
    """Raise ModelNotAvailable unless the words are one that can only be a question."""
    from gemma_mtp.models import presets
    from gemma_mtp.models.typed_names import other_family, unknown

    first, whole = words[0], " ".join(words)
    flag = "" if _has_space(whole) else "-p "
    ask = f"To ask it as a question: gemma-mtp {command} {flag}{quoted(whole)}"
    if first.startswith(PATH_STARTS) and not _has_space(first):
        raise ModelNotAvailable(f"There is no file {first}.", ask)
    slips = nearest(first, presets.names()) if _could_be_name(first) else []
    slips += [name for name in _near(first, names) if _is_slip(first, name, names)]
    opens = command == "chat" and _could_be_name(first)
    other = other_family(first)
    if not (slips or opens or len(words) > 1 or other):
        return
    error = unknown(first, names)
    if other and len(words) > 1:
        raise error
    hint = did_you_mean(slips) or error.hint
    raise ModelNotAvailable(str(error), f"{hint}{'' if hint[-1:] in '.?' else '.'} {ask}")


def _near(word: str, names: Catalogue) -> list[str]:
    """The names a word that is meant as one may be."""
    bare = word.rstrip(":")
    return [bare] if bare != word and names.find(bare) is not None else names.nearest(word)


def _is_slip(word: str, name: str, names: Catalogue) -> bool:
    """Whether `word` is `name` written wrongly, rather than a question."""
    if word.rstrip(":") == name:
        return True
    entry = names.find(name)
    spellings = entry.spellings if entry and _could_be_name(word) else ()
    return any(distance(word.lower(), s) <= (2 if len(s) > 5 else 1) for s in spellings)


def _could_be_name(word: str) -> bool:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", word):
        return False
    return len(word) >= 4 or any(letter.isdigit() for letter in word)


def _has_space(word: str) -> bool:
    return any(letter.isspace() for letter in word)
