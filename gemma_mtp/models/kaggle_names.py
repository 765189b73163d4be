"""What `kaggle:OWNER/MODEL/FRAMEWORK/VARIATION[/VERSION]` means, and the same as the address of a
page: a model of Kaggle, as an entry like the catalogue's.

Knows names, and where Kaggle's own library keeps what it fetched; asks nobody.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gemma_mtp.errors import UsageError
from gemma_mtp.files import names
from gemma_mtp.models import gguf_names
from gemma_mtp.models.catalogue import Entry, RemoteFile

PREFIX, ENDING = "kaggle:", ".gguf"
_VERSION = r"[1-9]\d{0,8}"
_PART = r"[A-Za-z0-9_][\w.-]{0,79}"
_NAME = re.compile(
    rf"({_PART})/({_PART})/({_PART})/({_PART})(?:/([1-9]\d{{0,8}}))?(?::([\w.-]{{1,64}}))?",
    re.ASCII,
)
_PAGE = re.compile(r"(https?://)?(www\.)?kaggle\.com/models/", re.IGNORECASE)


@dataclass(frozen=True)
class KaggleName:
    """A variation of a model; `version` None is the newest. `quantization` "" where none of the
    several that it may hold was named."""

    owner: str
    model: str
    framework: str
    variation: str
    version: int | None = None
    quantization: str = ""

    @property
    def path(self) -> str:
        """As Kaggle calls it, without the version."""
        return f"{self.owner}/{self.model}/{self.framework}/{self.variation}"

    @property
    def name(self) -> str:
        """As everything else here writes it."""
        return self.bare + (f":{self.quantization}" if self.quantization else "")

    @property
    def bare(self) -> str:
        """The same without a quantization."""
        return f"{PREFIX}{self.path}" + (f"/{self.version}" if self.version else "")

    @property
    def page(self) -> str:
        """The address of its page, for messages."""
        return f"https://www.kaggle.com/models/{self.path}"


def is_kaggle_name(typed: str) -> bool:
    """Whether something typed names Kaggle."""
    return typed.lower().startswith(PREFIX) or _PAGE.match(typed) is not None


def read(typed: str) -> KaggleName:
    """What is meant. Raises UsageError for another form."""
    rest = re.split(r"[?#]", _PAGE.sub("", re.sub(f"^{PREFIX}", "", typed, flags=re.I), count=1))[0]
    match = _NAME.fullmatch(rest.rstrip("/"))
    if match is None:
        raise UsageError(
            f"{names.shown(typed)} is not of the form kaggle:OWNER/MODEL/FRAMEWORK/VARIATION, with "
            "or without /VERSION.",
            "The page of a variation shows its name: https://www.kaggle.com/models",
        )
    owner, model, framework, variation, version, quantization = match.groups()
    number = int(version) if version else None
    return KaggleName(owner, model, framework, variation, number, quantization or "")


def at_version(name: str, version: str) -> str:
    """The name of one version. Raises UsageError for what is no number of one."""
    if not re.fullmatch(_VERSION, version, re.ASCII):
        raise UsageError(f"A version of Kaggle's is a number, not {names.shown(version)}.")
    return replace(read(name), version=int(version)).name


def make_entry(
    name: str, revision: str, target: Sequence[RemoteFile], drafter: Sequence[RemoteFile]
) -> Entry:
    """The pair of these parts; `revision` is the version's number. Raises UsageError for a name of
    another form and ValueError when both models are one file, or for what is no number."""
    about = read(name)
    if not re.fullmatch(_VERSION, revision, re.ASCII):
        raise ValueError(f"{names.shown(revision)} is no number of a version")
    return Entry(
        name=about.name,
        title=f"{about.model} {about.variation}, of Kaggle",
        repo=PREFIX + about.path,
        revision=revision,
        qat=gguf_names.says_qat(about.path),
        target=RemoteFile.of(target),
        drafter=RemoteFile.of(drafter),
        spellings=(about.name.lower(),),
    )


def name_here(path: str) -> str:
    """How a file of Kaggle's is called here, where all files of weights end in .gguf."""
    return path if path.lower().endswith(ENDING) else path + ENDING


def name_there(name: str) -> str:
    """What `name_here` had added, taken away: it may be the name that the file has on Kaggle."""
    return name.removesuffix(ENDING)


# --- what kagglehub keeps (kagglehub/cache.py) ---------------------------------------------------


def cache_folder() -> Path:
    """Where Kaggle's library keeps its files: KAGGLEHUB_CACHE, or a folder in the user's home."""
    return Path(os.environ.get("KAGGLEHUB_CACHE") or os.path.expanduser("~/.cache/kagglehub"))


def newest_here(about: KaggleName) -> int | None:
    """The highest version of which the library has all files on this machine."""
    try:
        found = [path.name for path in _folder(about).iterdir()]
    except OSError:
        return None
    numbers = [int(name) for name in found if re.fullmatch(r"[1-9]\d{0,8}", name, re.ASCII)]
    return max((number for number in numbers if is_whole_here(about, number)), default=None)


def is_whole_here(about: KaggleName, version: int) -> bool:
    """Whether the library has fetched all files of a version."""
    folder = _folder(about)
    return (folder / f"{version}.complete").is_file() and (folder / str(version)).is_dir()


def file_here(about: KaggleName, version: int, path: str) -> Path | None:
    """A file that the library has fetched, by itself or with all others."""
    folder, whole = _folder(about), is_whole_here(about, version)
    for name in (path, name_there(path)):
        marked = whole or (folder / ".complete" / str(version) / f"{name}.complete").is_file()
        if marked and (folder / str(version) / name).is_file():
            return folder / str(version) / name
    return None


def files_here(about: KaggleName, version: int) -> list[Path]:
    """All files of a version on this machine, relative to their folder."""
    folder = _folder(about) / str(version)
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def _folder(about: KaggleName) -> Path:
    parts = (about.owner, about.model, about.framework, about.variation)
    return cache_folder().joinpath("models", *parts)
