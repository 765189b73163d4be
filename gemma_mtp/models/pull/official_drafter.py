"""The catalogue's drafter for a target that comes without one, by the beginning of its header.

`choose_pair` and `ollama_registry` ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from gemma_mtp.errors import BadPair
from gemma_mtp.models import gguf_parser, size_of_file
from gemma_mtp.models.catalogue import Catalogue, Entry, RemoteFile
from gemma_mtp.models.pull import hub, retry
from gemma_mtp.models.pull.events import OnEvent

BEGINNING = 256 << 10  # bytes of a header that are read for what comes before the vocabulary
OWN_DRAFTER = "A drafter can be named: gemma-mtp chat TARGET.gguf --drafter FILE."


def beginning(blob: hub.Blob, name: str, size: int | None, on_event: OnEvent) -> dict[str, Any]:
    """What the header of a file of `size` bytes says before its vocabulary."""
    wanted = min(BEGINNING, size or BEGINNING)
    start = retry.ask(blob.where, lambda: _read(blob, wanted), hub.longest_answer(), on_event)
    return gguf_parser.first_values(start, PurePosixPath(name).name)


def _read(blob: hub.Blob, wanted: int) -> bytes:
    start = bytearray()
    with blob.read(0, wanted) as body:
        for chunk in body.chunks:
            start += chunk
            if len(start) >= wanted:  # a server may send the whole file
                break
    return bytes(start)


def official_drafter(
    metadata: Mapping[str, Any], names: tuple[str, ...], lacking: str, catalogue: Catalogue
) -> tuple[list[RemoteFile], str]:
    """The parts of the drafter for a target of this size, and why that one.

    `names` are those of the target and `lacking` says why it needs one. Raises BadPair where the
    catalogue has no model of this shape.
    """
    qat = size_of_file.says_qat(metadata, *names)
    found = size_of_file.drafter_of_size(metadata, qat, catalogue)
    if found is None:
        raise BadPair(
            f"{lacking}, and its shape is that of no model in the catalogue.", OWN_DRAFTER
        )
    entry, why = found
    return [*drafter_file(entry).parts], f"{lacking}; {why}."


def drafter_file(entry: Entry) -> RemoteFile:
    """The drafter of a pair of the catalogue, with the place that it comes from."""
    parts = entry.drafter.parts
    return RemoteFile.of(
        [replace(part, repo=entry.repo, revision=entry.revision, rest=()) for part in parts]
    )
