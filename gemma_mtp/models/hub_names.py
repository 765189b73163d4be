"""Pairs of any repository of the hub: what `hf:OWNER/REPO[:QUANT]` means, and those pulled before.

`store` and `inventory` look names up here, `pull.choose_pair` makes entries. Knows what earlier
pulls left in the folder of models; asks no hub.
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
    """Repository and quantization ("" when none was named)."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise UsageError(f'"{name}" is not of the form hf:OWNER/REPO or hf:OWNER/REPO:QUANT.')
    return match[1], match[2] or ""


def make_entry(repo: str, revision: str, target: RemoteFile, drafter: RemoteFile) -> Entry:
    name = f"{PREFIX}{repo}" + (f":{target.quantization}" if target.quantization else "")
    return Entry(
        name=name,
        title=repo,
        parameters="",
        context_length=0,
        repo=repo,
        revision=revision,
        qat="qat" in repo.lower(),
        target=target,
        drafter=drafter,
        default=False,
        builtin=False,
        spellings=(name.lower(), f"{PREFIX}{repo}".lower()),
    )


def joined(parts: Sequence[RemoteFile]) -> RemoteFile:
    return replace(parts[0], rest=tuple(parts[1:]))


def pulled(models: Path) -> list[Entry]:
    """The pairs of repositories that are on this machine, from what their folders say; those that
    an interrupted pull left there come last."""
    try:
        folders = sorted(path for path in models.iterdir() if path.name.startswith("hf-"))
    except OSError:
        return []
    complete = {folder: read_record(folder) for folder in folders}
    claims = [read_unfinished(folder) for folder, marker in complete.items() if marker is None]
    entries = (entry_of(marker) for marker in (*complete.values(), *claims) if marker is not None)
    return [entry for entry in entries if entry is not None]


def find_pulled(name: str, models: Path) -> Entry | None:
    """The pulled pair meant by `name`; without a quantization, the first of its repository."""
    wanted = name.lower().replace("hf://", PREFIX)
    return next((entry for entry in pulled(models) if wanted in entry.spellings), None)


def entry_of(marker: PairRecord) -> Entry | None:
    """What a folder holds, as an entry."""
    target, drafter = (
        [
            RemoteFile(held.path, held.quantization, held.asked, held.bytes)
            for held in marker.files
            if held.role == role
        ]
        for role in ("target", "drafter")
    )
    if not (is_hub_name(marker.name) and target and drafter):
        return None
    try:
        entry = make_entry(marker.repo, marker.revision, joined(target), joined(drafter))
    except ValueError:  # both are one file
        return None
    return entry if _NAME.fullmatch(entry.name) else None
