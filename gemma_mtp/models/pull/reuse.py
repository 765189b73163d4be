"""Finds a file that another program has fetched already, by size and sha256, and links it.

`pull.pair` calls it before it downloads. Looks into the folders of earlier pulls, the Hugging Face
cache, Ollama's store and whatever the user names. Files of other programs are read and linked,
never written, moved or removed. Knows nothing of the network.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.errors import UsageError
from gemma_mtp.files import disk
from gemma_mtp.models.pair_record import read_record

LOOKED_AT = 20_000  # files of a folder named by the user; a home folder may hold millions


@dataclass(frozen=True)
class Candidate:
    """A file that may be the one; `owner` in words, for the user. `sure`: where it lies says so."""

    path: Path
    owner: str
    sure: bool = False


@dataclass(frozen=True)
class Places:
    """Where to look: folders of earlier pulls, the hub's cache, and what the user named; `kept` is
    the file itself, where Kaggle's library has fetched it."""

    pulls: Path
    hub_cache: Path
    named: tuple[Path, ...] = ()
    kept: Path | None = None

    def candidates(self, sha256: str, size: int | None) -> Iterator[Candidate]:
        """Files that may hold these contents; each real file once, the surest first."""
        seen: set[Path] = set()
        for candidate in self._found(sha256, size):
            try:
                real = candidate.path.resolve(strict=True)
                fits = real.is_file() and size in (None, real.stat().st_size)
            except OSError:
                continue
            if fits and real not in seen:
                seen.add(real)
                yield replace(candidate, path=real)

    def _found(self, sha256: str, size: int | None) -> Iterator[Candidate]:
        for named in self.named:
            for path in _named_files(named, size):
                yield Candidate(path, str(named))
        if self.kept is not None:
            yield Candidate(self.kept, "Kaggle's cache", sure=True)
        if not sha256:
            return
        for folder in _folders(self.pulls):
            record = read_record(folder)
            for file in record.files if record else ():
                if file.sha256 == sha256:
                    yield Candidate(folder / file.path, f"the pull of {record and record.name}")
        for repo in _folders(self.hub_cache):
            yield Candidate(repo / "blobs" / sha256, "the Hugging Face cache")
        for store in ollama_stores():
            for name in (f"sha256-{sha256}", f"sha256:{sha256}"):
                yield Candidate(store / "blobs" / name, "Ollama's store")


def link_or_copy(source: Path, target: Path, symlinks: bool) -> str:
    """Make `target` the same file as `source`; returns how, in a word.

    A hard link also survives that the other program removes its own. Where that cannot be (another
    disk, another user's file) a symbolic link, if allowed, and else a copy.
    """
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
        return "linked"
    except OSError as error:
        _refuse_full(error)
    if symlinks:
        try:
            target.symlink_to(source)
            return "linked"
        except OSError as error:
            _refuse_full(error)
    shutil.copyfile(source, target)
    return "copied"


def links_to(folder: Path, source: Path) -> bool:
    """Whether a hard link from `folder` to `source` is possible, so that it takes no room."""
    try:
        return folder.stat().st_dev == source.stat().st_dev
    except OSError:
        return False


def _refuse_full(error: OSError) -> None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        raise error


def _named_files(path: Path, size: int | None) -> Iterable[Path]:
    """A file, or the files below a folder that have the right size."""
    path = paths.expanded(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UsageError(f"There is nothing at {path}.", "--reuse takes a file or a folder.")
    below = (Path(top, name) for top, _, names in os.walk(path) for name in sorted(names))
    return [file for file in islice(below, LOOKED_AT) if disk.size_of(file) == size]


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir())
    except OSError:
        return []


def ollama_stores() -> list[Path]:
    """The store named by OLLAMA_MODELS, the user's own, and those of a system service."""
    named = os.environ.get("OLLAMA_MODELS")
    stores = [named] if named else []
    own = [Path(os.path.expanduser(store)) for store in (*stores, "~/.ollama/models")]
    return [*own, Path("/usr/share/ollama/.ollama/models"), Path("/var/lib/ollama/models")]
