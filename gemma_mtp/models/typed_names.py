"""What a person means by the name of a model, however it is written elsewhere.

Names come from the pages of a hub, from commands of Ollama, LM Studio and llama.cpp, and from
memory. `understand` is the one place where they become ours; `store` asks it for every command and
for `/model`. Knows the catalogue; asks neither hub nor disk.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from gemma_mtp.errors import ModelNotAvailable
from gemma_mtp.models import gguf_names, hub_names, kaggle_names, local_names, ollama_names
from gemma_mtp.models.catalogue import Catalogue, Entry
from gemma_mtp.text import did_you_mean

FAMILY = re.compile(r"gemma[-_ ]?4(:latest)?", re.IGNORECASE)
FAMILY_SIZE = "e4b"  # what Ollama's library has under gemma4:latest
PUBLISHERS = ("google", "unsloth")
"""Owners whose repositories without GGUF hold the models of the catalogue in another format."""

OTHERS = re.compile(
    r"(code|tiny|meta-?|open)?llama|llava|vicuna|"
    r"qwen|qwq|(mi|mini|magi|code|dev|pix)stral|mixtral|voxtral|"
    r"gpt-?oss|gpt-|deepseek|phi-?\d|smollm|granite|command-?r|aya|olmo|nemotron|glm|kimi|"
    r"minimax|falcon|starcoder|bonsai|ernie|hermes|moondream|nomic-embed|"
    r"(code|embedding|shield|med|function|translate|pali)gemma|gemma",
    re.IGNORECASE,
)
"""How names of other models begin; those of Gemma 4 are found before."""

_LIBRARY = re.compile(r"(https?://)?(registry\.)?ollama\.(com|ai)/(library/)?", re.IGNORECASE)
_SIZE = re.compile(r"(?<![a-z0-9.])(e?)(\d+(?:\.\d+)?)b(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Meant:
    """A name of the catalogue, `hf:OWNER/REPO[:QUANT]` or the path of a file; `note` is a sentence
    where that is not the very thing that was asked for."""

    name: str
    note: str = ""


def understand(typed: str, catalogue: Catalogue) -> Meant:
    """What is meant by `typed`; what means nothing stays as it is.

    Raises UsageError for what names the hub and no repository.
    """
    if ollama_names.is_ollama_name(typed.strip()):
        return Meant(ollama_names.read(typed.strip()).name)
    if kaggle_names.is_kaggle_name(typed.strip()):
        return Meant(kaggle_names.read(typed.strip()).name)
    if local_names.is_local(typed.strip()):
        return Meant(local_names.read(typed.strip()))
    word = _LIBRARY.sub("", typed.strip(), count=1)
    entry = catalogue.find(word)
    if entry is not None:
        return Meant(entry.name)
    if FAMILY.fullmatch(word) and (size := catalogue.find(FAMILY_SIZE)):
        note = (
            f"{word} is taken as {size.name}, as in Ollama; gemma-mtp list --all names all sizes."
        )
        return Meant(size.name, note)
    if hub_names.says_hub(word) or is_repository(word):
        return _of_repository(hub_names.read(word), catalogue)
    return Meant(word)


def is_repository(word: str) -> bool:
    """Whether this is OWNER/REPO as on the hub, and cannot be the path of a file."""
    if word.startswith(("/", ".", "~")) or word.lower().endswith(".gguf"):
        return False
    return hub_names.is_bare(word)


def _of_repository(hub: hub_names.HubName, catalogue: Catalogue) -> Meant:
    """The catalogue's pair where it has this one, else whatever the hub has."""
    for known in catalogue.of_repository(hub.repo):
        if _is_wanted(hub, known):
            return Meant(known.name)
    owner, _, repo = hub.repo.partition("/")
    entry = catalogue.find(f"{repo}:{hub.quantization}" if hub.quantization else repo)
    if entry is None or entry.builtin or owner.lower() not in PUBLISHERS or "gguf" in repo.lower():
        return Meant(hub.name)
    note = f"{hub.repo} holds no GGUF files; {entry.name} is taken instead, from {entry.repo}."
    return Meant(entry.name, note)


def _is_wanted(hub: hub_names.HubName, entry: Entry) -> bool:
    if hub.file:
        return hub.file in (part.path for part in entry.target.parts)
    named = (entry.target.quantization, gguf_names.quantization(entry.target.path))
    return not hub.quantization or hub.quantization.lower() in (name.lower() for name in named)


def unknown(typed: str, catalogue: Catalogue) -> ModelNotAvailable:
    """The error about a name that means nothing here, with the nearest that does."""
    if others := other_family(typed):
        near = _near_in_size(others, catalogue)
        hint = "To see which sizes of it run here: gemma-mtp pull"
        if near is not None:
            hint = f"Near in size is {near.name}: gemma-mtp pull {near.name}"
        return ModelNotAvailable(f'"{typed}" is another model; gemma-mtp runs Gemma 4 only.', hint)
    return ModelNotAvailable(f'There is no model called "{typed}".', _other_names(typed, catalogue))


def refuse_other_family(name: str, catalogue: Catalogue) -> None:
    """Raise ModelNotAvailable for a repository that is named after another family."""
    if other_family(name):
        raise unknown(name, catalogue)


def other_family(typed: str) -> str:
    """The part of a name that is one of another family of models, else ""."""
    bare = _bare(typed.strip())
    name = _LIBRARY.sub("", bare, count=1).rpartition("/")[2]
    if re.search(r"gemma[-_ ]?4(?!\d)", name, re.IGNORECASE) or any(c.isspace() for c in name):
        return ""
    match = OTHERS.match(name)
    return name if match and _is_end(name[match.end() :]) else ""


def nearest_of_ours(text: str, catalogue: Catalogue) -> Entry | None:
    """The pair of the catalogue that a repository or a file is named after, if it is."""
    words = re.sub(r"^.*/", "", _bare(text))
    if re.search(r"gemma[-_ ]?4(?!\d)", words, re.IGNORECASE):
        return _size_named(words, catalogue)
    return None


def _bare(name: str) -> str:
    """A name without its prefix; of Kaggle's, model and variation, of which either tells."""
    if kaggle_names.is_kaggle_name(name):
        about = kaggle_names.read(name)
        return f"{about.model}-{about.variation.removeprefix(f'{about.model}-')}"
    return name.removeprefix(ollama_names.PREFIX)


def _is_end(rest: str) -> bool:
    """Whether a family's name may go on like this: with a version or a tag, not with a word."""
    return re.match(r"$|[a-z]{0,12}[\d.:_-]", rest, re.IGNORECASE) is not None


def _near_in_size(name: str, catalogue: Catalogue) -> Entry | None:
    """The size nearest to the one that a name states, in parameters."""
    size = _SIZE.search(name)
    if size is None:
        return None
    wanted = max(float(size[2]), 0.1)
    same = catalogue.find(size[0]) if size[1] else None
    named = [entry for entry in catalogue.entries if entry.default and not entry.builtin]
    return same or min(named, key=lambda e: abs(math.log(_parameters(e) / wanted)), default=None)


def _parameters(entry: Entry) -> float:
    """In billions; 1 where the catalogue does not say."""
    number = re.match(r"\d+(\.\d+)?", entry.parameters)
    return float(number[0]) if number else 1.0


def _other_names(typed: str, catalogue: Catalogue) -> str:
    """What to type instead of a name that means nothing."""
    size = _size_named(typed, catalogue)
    if size is None:
        near = did_you_mean(catalogue.nearest(typed))
        sizes = ", ".join(entry.name for entry in catalogue.entries if entry.default)
        return near or f"Known models: {sizes}."
    variants = catalogue.variants(size.name)
    if len(variants) == 1:
        return f"{size.name} comes in one variant only, under that name."
    names = ", ".join(entry.name for entry in variants)
    near_one = _near_in_bits(typed, variants).name
    return f"{size.size} comes as {names}. Nearest: gemma-mtp pull {near_one}"


def _size_named(typed: str, catalogue: Catalogue) -> Entry | None:
    """The size that a name begins with, whatever follows: 26b of gemma4:26b-a4b-it-mlx."""
    words = re.split(r"[:_\s-]", re.sub(r"^gemma[-_ ]?4[:_ -]", "", typed.strip().lower()))
    return catalogue.find(words[0]) if words[0] else None


def _near_in_bits(typed: str, variants: list[Entry]) -> Entry:
    """The variant whose weights take about as many bits as the name says; else the default."""
    tag = typed.lower()
    number = re.search(r"(?<=[fp])16|(?<=[qp])\d|\d(?=-?bit)|(?<=int)\d", tag)
    if number is None:
        return variants[0]
    bits = {"16": 8}.get(number[0], int(number[0]))
    return min(variants, key=lambda entry: abs(_bits(entry) - bits))


def _bits(entry: Entry) -> int:
    number = re.search(r"\d", entry.target.quantization)
    return int(number[0]) if number else 4
