"""What `hf:OWNER/REPO[:QUANT]` means: any repository of the hub as an entry like the catalogue's.

`names` reads the many ways in which people write that, `store` and `inventory` look up the pairs
that were pulled before, and `pull.choose_pair` makes entries of new ones. Knows what pulls left in
the folder of models; asks no hub.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gemma_mtp.errors import UsageError
from gemma_mtp.files import names
from gemma_mtp.models import gguf_names, kaggle_names, local_names, ollama_names
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.pair_record import (
    FileRecord,
    PairRecord,
    read_record,
    read_unfinished,
)
from gemma_mtp.models.preset_data import preset_of

PREFIX = "hf:"
_NAME = re.compile(rf"({names.REPO})(?:[:@]([\w.-]{{1,64}}))?", re.ASCII)
_HUB = re.compile(r"hf:(//)?|(https?://)?(www\.)?(hf\.co|huggingface\.co)/", re.IGNORECASE)
_PAGE = re.compile(rf"({names.REPO})/(tree|blob|resolve|raw)/([\w.-]+)/?(.*)", re.ASCII)
_QUANTIZATION = re.compile(r"latest|main", re.IGNORECASE)  # tags that name none


@dataclass(frozen=True)
class HubName:
    """A repository; a quantization, or a file of it with its whole path, where one was named."""

    repo: str
    quantization: str = ""
    file: str = ""

    @property
    def name(self) -> str:
        """As everything else here writes it."""
        return f"{PREFIX}{self.repo}" + (f":{self.quantization}" if self.quantization else "")


def names_source(name: str) -> bool:
    """Not a name of the catalogue and not a path, but a repository, a model of a registry, or what
    was converted here."""
    return name.startswith((PREFIX, ollama_names.PREFIX, kaggle_names.PREFIX, local_names.PREFIX))


def says_hub(typed: str) -> bool:
    """Whether something typed names the hub, as in hf:..., hf.co/... or an address."""
    return _HUB.match(typed) is not None


def is_bare(typed: str) -> bool:
    """Whether something typed has the form OWNER/REPO[:QUANT]."""
    return _NAME.fullmatch(typed) is not None


def read(typed: str) -> HubName:
    """What is meant by `hf:OWNER/REPO[:QUANT]`, the same after hf.co/ or huggingface.co/, or the
    address of a repository's page or of a file. The word hf: may be missing.

    Raises UsageError for another form, and for an address of another revision than main.
    """
    rest = _HUB.sub("", typed, count=1)
    if says_hub(typed):
        rest = re.split(r"[?#]", rest)[0].rstrip("/")
    if page := _PAGE.fullmatch(rest):
        return _of_page(typed, page)
    match = _NAME.fullmatch(rest)
    if match is None:
        raise UsageError(f'"{typed}" is not of the form hf:OWNER/REPO or hf:OWNER/REPO:QUANT.')
    tag = match[2] or ""
    return HubName(match[1], "" if _QUANTIZATION.fullmatch(tag) else tag)


def _of_page(typed: str, page: re.Match[str]) -> HubName:
    repo, _, revision, file = page.groups()
    model = (
        file if file.lower().endswith(".gguf") and not gguf_names.drafters_among({file: 0}) else ""
    )
    found = HubName(repo, gguf_names.quantization(model), model)
    if revision != "main":
        raise UsageError(f"The address names the revision {revision}, which a name cannot.",
                         f"gemma-mtp pull {found.name} --revision {revision}")  # fmt: skip
    return found


def parse(name: str) -> tuple[str, str]:
    """Repository and quantization ("" when none was named). Raises UsageError as `read` does."""
    found = read(name)
    return found.repo, found.quantization


def make_entry(
    repo: str, revision: str, target: Sequence[RemoteFile], drafter: Sequence[RemoteFile]
) -> Entry:
    """The pair of these parts. Raises ValueError when both models are one file."""
    first = RemoteFile.of(target)
    bare = f"{PREFIX}{repo}"
    name = f"{bare}:{first.quantization}" if first.quantization else bare
    return Entry(
        name=name,
        title=repo,
        repo=repo,
        revision=revision,
        qat="qat" in repo.lower(),
        target=first,
        drafter=RemoteFile.of(drafter),
        spellings=(name.lower(), bare.lower()),
    )


def pulled(models: Path) -> list[Entry]:
    """The pairs of repositories that are on this machine, from what their folders say; those that
    an interrupted pull left there come last."""
    try:
        folders = sorted(
            p
            for p in models.iterdir()
            if p.name.startswith(("hf-", "ollama-", "kaggle-", "local-"))
        )
    except OSError:
        return []
    complete = {folder: read_record(folder) for folder in folders}
    parts = [read_unfinished(folder) for folder, record in complete.items() if record is None]
    entries = (entry_of(record) for record in (*complete.values(), *parts) if record is not None)
    return [entry for entry in entries if entry is not None]


def find_pulled(name: str, models: Path) -> Entry | None:
    """The pulled pair meant by `name`; without a quantization, the first of its repository."""
    wanted = name.lower()
    return next((entry for entry in pulled(models) if wanted in entry.spellings), None)


def entry_of(record: PairRecord) -> Entry | None:
    """The pair that a record names; None where it comes from no repository, or makes no sense."""
    target, drafter = (
        [_remote(file) for file in record.files if file.role == role]
        for role in ("target", "drafter")
    )
    if not (names_source(record.name) and target and drafter):
        return None
    encoders = [_remote(file) for file in record.files if file.role == "encoder"]
    try:
        entry = _of_parts(record, target, drafter)
        if entry is None:
            return None
        encoder = encoders[0] if encoders else None
        return replace(entry, encoder=encoder, asked_encoder=record.asked_encoder)
    except (ValueError, UsageError):
        return None


def _of_parts(
    record: PairRecord, target: Sequence[RemoteFile], drafter: Sequence[RemoteFile]
) -> Entry | None:
    if ollama_names.is_ollama_name(record.name):
        return ollama_names.make_entry(
            record.name, record.revision, target, drafter, preset_of("", record.published)
        )
    if kaggle_names.is_kaggle_name(record.name):
        return kaggle_names.make_entry(record.name, record.revision, target, drafter)
    if local_names.is_local(record.name):
        return local_names.make_entry(record.name, record.repo, record.revision, target, drafter)
    entry = make_entry(record.repo, record.revision, target, drafter)
    return entry if _NAME.fullmatch(entry.name.removeprefix(PREFIX)) else None


def _remote(file: FileRecord) -> RemoteFile:
    return RemoteFile(file.path, file.quantization, file.asked, file.bytes, (), file.repo,
                      file.revision)  # fmt: skip
