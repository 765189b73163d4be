"""What `hf:OWNER/REPO[:QUANT]` means: any repository of the hub as an entry like the catalogue's.

`store` and `inventory` look up the pairs that were pulled before, `pull.choose_pair` makes entries
of new ones. Knows what pulls left in the folder of models; asks no hub.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gemma_mtp.errors import UsageError
from gemma_mtp.files import names
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.pair_record import PairRecord, read_record, read_unfinished

PREFIX = "hf:"
_NAME = re.compile(rf"hf:(?://)?({names.REPO})(?::([\w.-]{{1,64}}))?", re.ASCII)


def is_hub_name(name: str) -> bool:
    """Not a name of the catalogue and not a path, but a repository."""
    return name.startswith(PREFIX)


def parse(name: str) -> tuple[str, str]:
    """Repository and quantization ("" when none was named). Raises UsageError for another form."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(f'"{name}" is not of the form hf:OWNER/REPO or hf:OWNER/REPO:QUANT.')
    return match[1], match[2] or ""


def make_entry(
    repo: str, revision: str, target: Sequence[RemoteFile], drafter: Sequence[RemoteFile]
) -> Entry:
    """The pair of these parts. Raises ValueError when both models are one file."""
    first = replace(target[0], rest=tuple(target[1:]))
    bare = f"{PREFIX}{repo}"
    name = f"{bare}:{first.quantization}" if first.quantization else bare
    return Entry(
        name=name,
        title=repo,
        repo=repo,
        revision=revision,
        qat="qat" in repo.lower(),
        target=first,
        drafter=replace(drafter[0], rest=tuple(drafter[1:])),
        spellings=(name.lower(), bare.lower()),
    )


def pulled(models: Path) -> list[Entry]:
    """The pairs of repositories that are on this machine, from what their folders say; those that
    an interrupted pull left there come last."""
    try:
        folders = sorted(path for path in models.iterdir() if path.name.startswith("hf-"))
    except OSError:
        return []
    complete = {folder: read_record(folder) for folder in folders}
    parts = [read_unfinished(folder) for folder, record in complete.items() if record is None]
    entries = (entry_of(record) for record in (*complete.values(), *parts) if record is not None)
    return [entry for entry in entries if entry is not None]


def find_pulled(name: str, models: Path) -> Entry | None:
    """The pulled pair meant by `name`; without a quantization, the first of its repository."""
    wanted = name.lower().replace("hf://", PREFIX)
    return next((entry for entry in pulled(models) if wanted in entry.spellings), None)


def entry_of(record: PairRecord) -> Entry | None:
    """The pair that a record names; None where it comes from no repository, or makes no sense."""
    target, drafter = (
        [RemoteFile(f.path, f.quantization, f.asked, f.bytes) for f in record.files if f.role == r]
        for r in ("target", "drafter")
    )
    if not (is_hub_name(record.name) and target and drafter):
        return None
    try:
        entry = make_entry(record.repo, record.revision, target, drafter)
    except ValueError:
        return None
    return entry if _NAME.fullmatch(entry.name) else None
