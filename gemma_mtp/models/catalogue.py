"""The models gemma-mtp knows by name, read from models.toml and from the user's file of that name.

`store` finds names here, and whatever lists or judges models reads it. The user's file is checked
against `catalogue_schema` first. Knows what should exist and where on the hub, not what is on this
machine.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from gemma_mtp.api import Preset, Sampling
from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.files import bounded, names, places
from gemma_mtp.models import catalogue_schema, gguf_names, shape
from gemma_mtp.models.shape import DrafterShape, Shape
from gemma_mtp.options import SETTINGS
from gemma_mtp.text import nearest


@dataclass(frozen=True)
class RemoteFile:
    """One file of a pair. `bytes` None: not known; `sha256` "": comes with the program.

    Of a split model it is the first part, and `rest` are the others. `path` leads nowhere but below
    the model's folder: ValueError otherwise. `repo` and its `revision` are those of the pair unless
    they are named here.
    """

    path: str
    quantization: str
    sha256: str
    bytes: int | None
    rest: tuple[RemoteFile, ...] = ()
    repo: str = ""
    revision: str = ""

    @classmethod
    def of(cls, parts: Sequence[RemoteFile]) -> RemoteFile:
        """All parts of a model, in order, as one."""
        return replace(parts[0], rest=tuple(parts[1:]))

    @property
    def parts(self) -> tuple[RemoteFile, ...]:
        """All files of the model, in order."""
        return self, *self.rest

    @property
    def total(self) -> int | None:
        """Bytes of all parts, or None when a size is not known."""
        sizes = [part.bytes for part in self.parts]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def __post_init__(self) -> None:
        names.check(self.path)


@dataclass(frozen=True)
class Original:
    """The repositories with the weights of which the GGUF files were made, for other programs.

    `draft`: the draft length that is recommended with them on a large GPU.
    """

    repo: str
    drafter: str
    draft: int


@dataclass(frozen=True)
class DrafterRepo:
    """A repository that is known to hold a drafter for the size `model`."""

    model: str
    repo: str
    qat: bool = False


@dataclass(frozen=True)
class Entry:
    """A pair with a name. `default`: what the bare size name stands for. `drafter_alone`: only the
    drafter is meant, for a target that is here from elsewhere. `encoder`: that of images, None
    where none is known or wanted; `asked_encoder`: the place that it is from was asked for one.

    ValueError when two files have one name.
    """

    name: str
    title: str
    repo: str
    revision: str
    target: RemoteFile
    drafter: RemoteFile
    spellings: tuple[str, ...]
    qat: bool = False
    parameters: str = ""
    context_length: int = 0  # tokens; 0: not known
    default: bool = False
    builtin: bool = False
    tag: str = ""
    encoder: RemoteFile | None = None
    shape: Shape | None = None
    drafter_shape: DrafterShape | None = None
    draft_range: tuple[int, int] = (0, 7)
    original: Original | None = None
    own: bool = False  # from the user's file
    drafter_alone: bool = False
    asked_encoder: bool = False
    hears: bool = False  # the encoder is one of recordings, too
    sampling: Sampling = Sampling()  # what is recommended
    published: Preset = Preset()  # what else came with it from where it was pulled

    def __post_init__(self) -> None:
        drafter = {part.path.casefold() for part in self.drafter.parts}
        for part in self.target.parts:
            if part.path.casefold() in drafter:
                raise ValueError(f"{names.shown(part.path)} is both target and drafter")
        own = {*drafter, *(part.path.casefold() for part in self.target.parts)}
        if self.encoder is not None and self.encoder.path.casefold() in own:
            raise ValueError(f"{names.shown(self.encoder.path)} is an encoder and something else")

    @property
    def size(self) -> str:
        """The name of all its variants together: 12b of 12b:q8_0."""
        return self.name.partition(":")[0]

    @property
    def bytes(self) -> int | None:
        """What a pull fetches, or None when a size is not known."""
        files = (self.target, self.drafter, *([self.encoder] if self.encoder else []))
        sizes = [file.total for file in files]
        return None if None in sizes else sum(size or 0 for size in sizes)


class Catalogue:
    """All entries, in the order of models.toml; `own` is the text of the user's file, whose faults
    are a ValueError or a KeyError."""

    def __init__(self, text: str, own: str = "") -> None:
        data = tomllib.loads(text)
        self.sampling = Sampling(**data["sampling"])
        listed = (_entries(model, self.sampling) for model in data["model"])
        self.entries = [entry for entries in listed for entry in entries]
        known = {model["name"]: model for model in data["model"]}
        added = catalogue_schema.OWN(bounded.parse_toml(own), "")
        rows = (*added.get("drafter", []), *data.get("drafter", []))
        self.drafters = [DrafterRepo(**row) for row in rows]
        for model in added.get("model", []):
            inherited = {k: v for k, v in known.get(model["name"], {}).items() if k != "source"}
            both, is_new = {**inherited, **model}, model["name"] not in known
            for entry in _entries(both, self.sampling, is_new):
                self._add(replace(entry, own=True))
        self._found = {word: entry for entry in self.entries for word in entry.spellings}

    def _add(self, entry: Entry) -> None:
        """In place of the entry with the same tag, else after its model's other variants."""
        mine = [i for i, known in enumerate(self.entries) if known.size == entry.size]
        for i in mine:
            old = self.entries[i]
            if old.tag == entry.tag:
                kept = {key: getattr(old, key) for key in ("name", "default", "spellings")}
                self.entries[i] = replace(entry, **kept)
                return
        self.entries.insert(mine[-1] + 1 if mine else len(self.entries), entry)

    def find(self, name: str) -> Entry | None:
        """The entry meant by `name`: `12b`, `gemma4:12B`, `gemma 4 12b`, `gemma-4-12b-it:q8_0`."""
        return self._found.get(_normal(name))

    def nearest(self, word: str) -> list[str]:
        """Names that begin so, or are at most two typing errors away, best first."""
        near = nearest(_normal(word), self._found)
        return list(dict.fromkeys(self._found[spelling].name for spelling in near))

    def variants(self, size: str) -> list[Entry]:
        """All entries of the size that `size` names, as `12b` or `26b-a4b`."""
        named = self.find(size)
        return [entry for entry in self.entries if named is not None and entry.size == named.size]

    def of_repository(self, repo: str) -> list[Entry]:
        """Those from a repository of the hub, in their order."""
        return [entry for entry in self.entries if entry.repo.lower() == repo.lower()]


def load_catalogue(own: Path | None = None) -> Catalogue:
    """The catalogue of this installation (inside the wheel, or at the top of a source tree), with
    the user's `own` file on top if there is one."""
    packaged = files("gemma_mtp") / "models.toml"
    source = Path(__file__).parents[2] / "models.toml"
    for place in (packaged, source):
        if place.is_file():
            text = place.read_text(encoding="utf-8")
            return Catalogue(text) if own is None else _with_own(text, own)
    raise GemmaMtpError("models.toml is missing from this installation.", "Reinstall gemma-mtp.")


def _with_own(text: str, own: Path) -> Catalogue:
    try:
        return Catalogue(text, places.own_text(own))
    except KeyError as error:
        why = f"the key {error} is missing"
    except ValueError as error:
        why = str(error)
    raise UsageError(f"{own} is no list of models: {why}.", "Correct or delete it.")


def _entries(model: dict[str, Any], recommended: Sampling, named: bool = True) -> Iterator[Entry]:
    """One for each target; the first is what the bare name stands for, if the model is `named`.

    `recommended` is the sampling where the model has none of its own.
    """
    own, table = model.get("sampling", {}), dict(model.get("shape", {}))
    drafter_shape = table.pop("drafter", None)
    low, high = model.get("draft_range", Entry.draft_range)
    if low > high:
        raise ValueError(f"draft_range goes from {low} down to {high}")
    entry = partial(
        Entry,
        title=model.get("title", model["name"]),
        parameters=model.get("parameters", ""),
        context_length=model["context_length"],
        shape=shape.from_table(table) if table else None,
        drafter_shape=DrafterShape(**drafter_shape) if drafter_shape else None,
        draft_range=(low, high),
        hears=model.get("hears", False),
        original=Original(**model["original"]) if "original" in model else None,
        sampling=replace(recommended, **{key: SETTINGS[key].accept(own[key]) for key in own}),
    )
    sizes, default = [model["name"], *model.get("aliases", [])], named
    for source in model["source"]:
        for target in source["targets"]:
            tag = target["tag"]
            yield entry(
                name=model["name"] if default else f"{model['name']}:{tag}",
                tag=tag,
                default=default,
                spellings=tuple(_spellings(sizes, tag, default)),
                target=_file(target, source),
                **_of_source(source),
            )
            default = False


def _of_source(source: dict[str, Any]) -> dict[str, Any]:
    """What all variants from one repository have in common."""
    return {
        "repo": source.get("repo", ""),
        "revision": source.get("revision", "main"),
        "qat": source.get("qat", False),
        "builtin": source.get("builtin", False),
        "drafter": _file(source["drafter"], source),
        "encoder": _file(source["mmproj"], source) if "mmproj" in source else None,
    }


def _file(data: dict[str, Any], source: dict[str, Any]) -> RemoteFile:
    """Of a split model `file` names the first part; `sha256` and `bytes` list those of all."""
    parts, shown = gguf_names.part_names(data["file"]), names.shown(data["file"])
    sums, sizes = (_listed(data.get(key), len(parts)) for key in ("sha256", "bytes"))
    if sums is None or sizes is None or parts[0] != data["file"]:
        raise ValueError(f"{shown} has {len(parts)} parts: file names the first, and sha256 and "
                         "bytes list those of all")  # fmt: skip
    sums = [(digest or "").lower() for digest in sums]
    if not source.get("builtin") and not all(re.fullmatch(r"[0-9a-f]{64}", s) for s in sums):
        raise ValueError(f"{shown} needs a sha256 of 64 digits")
    files = [
        RemoteFile(name, data["quantization"], digest, size)
        for name, digest, size in zip(parts, sums, sizes, strict=True)
    ]
    return RemoteFile.of(files)


def _listed(value: Any, count: int) -> list[Any] | None:
    """One value for each of `count` parts; None when there is another number of them."""
    found = value if isinstance(value, list) else [value] * (1 if value else count)
    return found if len(found) == count else None


def _spellings(sizes: list[str], tag: str, default: bool) -> Iterator[str]:
    for size in sizes:
        yield f"{size}:{tag}"
        yield f"{size}-{tag}"
        if default:
            yield size


def _normal(name: str) -> str:
    """Lower case with hyphens, without the family's name in front, and without `-it`, `-gguf` and
    `:latest`, which tell nothing apart here."""
    bare = re.sub(r"\s+", "-", name.strip().lower()).replace("@", ":")
    bare = re.sub(r"^gemma[-_]?4[:_-]", "", bare)
    return re.sub(r"[-_](it|gguf)(?=$|[:_-])", "", bare).removesuffix(":latest")
