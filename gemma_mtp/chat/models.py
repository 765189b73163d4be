"""What a chat says about models of this machine: those here, and the loaded one in detail.

The environment of the command line calls it. Reads the store and file headers; loads nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gemma_mtp.text import byte_size

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.models.machine import Machine
    from gemma_mtp.models.store import Store
    from gemma_mtp.options import Options


def here(store: Store) -> Iterator[tuple[str, str]]:
    """Names that can be loaded at once, each with a description."""
    from gemma_mtp.models import inventory

    for entry in store.ready():
        size = byte_size(entry.bytes) if entry.bytes else "built in"
        yield entry.name, ", ".join(part for part in (entry.title, entry.tag, size) if part)
    for item in inventory.of_presets(store):
        if item.ready:
            yield item.name, f"preset of {item.preset_of}"


def elsewhere(store: Store) -> Iterator[tuple[str, str]]:
    """Models of the catalogue that are not here, under their short names."""
    for entry in store.catalogue.entries:
        if entry.default and not store.is_ready(entry):
            yield entry.name, f"not here: gemma-mtp pull {entry.name}"


def described(
    store: Store, machine: Callable[[], Machine], name: str, given: Options, width: int
) -> list[str]:
    """The lines of `gemma-mtp show NAME` in a window of `width` columns."""
    from gemma_mtp.models.details import details, facts, title
    from gemma_mtp.terminal import tables

    found = details(store, name, machine, given)
    known = facts(found, template="/show template has it")
    return [title(found), *tables.plain_lines(tables.facts(known), width)]


def from_header(files: PairFiles, key: str) -> str:
    """A text of the target's header; "" where it has none."""
    from gemma_mtp.models import gguf

    value = gguf.read_header(files.target).metadata.get(key)
    return value if isinstance(value, str) else ""
