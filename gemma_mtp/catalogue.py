"""The models gemma-mtp knows by name, read from models.toml.

Knows what should exist and where on the hub, not what is on this machine.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.events import Sampling


@dataclass(frozen=True)
class RemoteFile:
    """One file of a pair. `bytes` None: not known; `sha256` "": comes with the program."""

    path: str
    quantization: str
    sha256: str
    bytes: int | None


@dataclass(frozen=True)
class Entry:
    """A pair with a name. `default`: what the bare size name stands for."""

    name: str
    title: str
    parameters: str
    context_length: int
    repo: str
    revision: str
    qat: bool
    target: RemoteFile
    drafter: RemoteFile
    default: bool
    builtin: bool
    spellings: tuple[str, ...]

    @property
    def bytes(self) -> int | None:
        """What a pull fetches, or None when a size is not known."""
        if self.target.bytes is None or self.drafter.bytes is None:
            return None
        return self.target.bytes + self.drafter.bytes


class Catalogue:
    """All entries, in the order of models.toml."""

    def __init__(self, text: str) -> None:
        data = tomllib.loads(text)
        self.sampling = Sampling(**data["sampling"])
        self.entries = [entry for model in data["model"] for entry in _entries(model)]
        self._found = {word: entry for entry in self.entries for word in entry.spellings}

    def find(self, name: str) -> Entry | None:
        """The entry meant by `name`: `12b`, `gemma4:12B`, `gemma-4-12b-it:q8_0`."""
        return self._found.get(_normal(name))

    def nearest(self, word: str) -> list[str]:
        """Names at most two typing errors away, best first."""
        word = _normal(word)
        scored = ((distance(word, e.name), e.name) for e in self.entries)
        return [name for distance, name in sorted(scored, key=lambda s: s[0]) if distance <= 2]


def load_catalogue() -> Catalogue:
    """The catalogue of this installation: inside the wheel, or at the top of a source tree."""
    packaged = files(__package__) / "models.toml"
    source = Path(__file__).parent.parent / "models.toml"
    for place in (packaged, source):
        if place.is_file():
            return Catalogue(place.read_text(encoding="utf-8"))
    raise GemmaMtpError("models.toml is missing from this installation.", "Reinstall gemma-mtp.")


def _entries(model: dict[str, Any]) -> Iterator[Entry]:
    sizes = [model["name"], *model.get("aliases", [])]
    default = True
    for source in model["source"]:
        for target in source["targets"]:
            tag = target["tag"]
            yield Entry(
                name=model["name"] if default else f"{model['name']}:{tag}",
                title=model["title"],
                parameters=model["parameters"],
                context_length=model["context_length"],
                repo=source.get("repo", ""),
                revision=source.get("revision", ""),
                qat=source.get("qat", False),
                target=_file(target),
                drafter=_file(source["drafter"]),
                default=default,
                builtin=source.get("builtin", False),
                spellings=tuple(_spellings(sizes, tag, default)),
            )
            default = False


def _file(data: dict[str, Any]) -> RemoteFile:
    return RemoteFile(data["file"], data["quantization"], data.get("sha256", ""), data.get("bytes"))


def _spellings(sizes: list[str], tag: str, default: bool) -> Iterator[str]:
    for size in sizes:
        yield f"{size}:{tag}"
        yield f"{size}-{tag}"
        if default:
            yield size
            yield f"{size}:latest"


def _normal(name: str) -> str:
    """Lower case, without the family's name in front and without `-it`."""
    bare = re.sub(r"^gemma-?4[:-]", "", name.strip().lower())
    return re.sub(r"-it(?=$|[:-])", "", bare)


def distance(a: str, b: str) -> int:
    """Insertions, deletions and replacements that turn `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            cost = min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
            diagonal, row[j] = row[j], cost
    return row[-1]
