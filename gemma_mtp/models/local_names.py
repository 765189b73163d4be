"""What `local:NAME` means: a pair that was converted on this machine, as an entry like the
catalogue's.

The prefix may be left out where no other model has that name. Knows names and where folders are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gemma_mtp import paths
from gemma_mtp.errors import ModelNotAvailable, UsageError
from gemma_mtp.models.catalogue import Entry, RemoteFile

PREFIX = "local:"
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,78}\w", re.ASCII)


def is_local(name: str) -> bool:
    """Whether something typed names a pair that was converted."""
    return name.lower().startswith(PREFIX)


def read(typed: str) -> str:
    """The whole name of `NAME` or `local:NAME`. Raises UsageError for what is no name."""
    bare = typed[len(PREFIX) :] if is_local(typed) else typed
    if not _NAME.fullmatch(bare) or bare.lower().endswith(".gguf"):
        raise UsageError(
            f'"{typed}" cannot be the name of a model.', "Letters, digits, dots and dashes can."
        )
    return PREFIX + bare


def folder_name(name: str) -> str:
    """The folder of a pair, below that of all models."""
    return name.replace(":", "-")  # Windows forbids colons


def here(typed: str) -> str:
    """The whole name of a pair that lies here and was typed without the prefix; "" for another."""
    if not _NAME.fullmatch(typed):
        return ""
    known = f"{folder_name(PREFIX)}{typed}".lower()
    try:
        names = (path.name for path in paths.models_dir().iterdir())
        found = next((name for name in names if name.lower() == known), "")
    except OSError:
        return ""
    return found.replace("-", ":", 1)


def missing(name: str) -> ModelNotAvailable:
    """The error about a pair that is not here."""
    bare = name[len(PREFIX) :]
    return ModelNotAvailable(
        f"{name} is not on this machine.", f"gemma-mtp convert FOLDER_OR_REPO --name {bare}"
    )


def make_entry(
    name: str, source: str, revision: str, target: Sequence[RemoteFile],
    drafter: Sequence[RemoteFile],
) -> Entry:  # fmt: skip
    """The pair of these parts. Raises UsageError for what is no name, ValueError when both models
    are one file."""
    name = read(name)
    return Entry(
        name=name,
        title=f"{source}, converted here",
        repo=source,
        revision=revision,
        qat="qat" in source.lower(),
        target=RemoteFile.of(target),
        drafter=RemoteFile.of(drafter),
        spellings=(name.lower(),),
    )
