"""The pair that the resident engine has loaded: loaded anew where a client wants another one.

The engine's own thread loads, enlarges and unloads; clients' threads may look, and count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from gemma_mtp.api import (
    DEFAULT_CONTEXT,
    Loading,
    LoadOptions,
    PairFiles,
    Replies,
    Request,
    to_json,
)
from gemma_mtp.errors import DoesNotFit, UsageError
from gemma_mtp.models.gguf_names import parts_of
from gemma_mtp.resident.clients import Client, Wanted
from gemma_mtp.resident.failures import what_helps
from gemma_mtp.resident.journal import Journal
from gemma_mtp.settings import KEEP_ALIVE

Loader = Callable[[PairFiles, LoadOptions, Callable[[float], bool]], Replies]


class LoadedPair:
    """At most one pair at a time, and how it was wanted."""

    def __init__(self, load: Loader) -> None:
        self._load = load
        self.journal = Journal()
        self.pair: Replies | None = None
        self.wanted: Wanted | None = None
        self.keep: float = KEEP_ALIVE  # seconds, as the client said that spoke of it last
        self._loading: tuple[Wanted, float] | None = None  # and which share of it is done
        self._counting = threading.Lock()  # held by who counts with the pair, or closes it

    def status(self) -> dict[str, Any]:
        """What is loaded, or being loaded."""
        wanted, pair, loading = self.wanted, self.pair, self._loading
        return {
            "file_bytes": _bytes_of(wanted.files) if wanted else None,
            "model": wanted.files.name if wanted else None,
            "loading": {"model": loading[0].files.name, "done": loading[1]} if loading else None,
            "options": to_json(wanted.options) if wanted else None,
            "info": to_json(pair.info) if pair else None,
        }

    def is_of(self, client: Client) -> bool:
        """Whether it is the pair that this client wants."""
        if self.wanted is None or client.wanted is None:
            return False
        return self.wanted.pair == client.wanted.beside(self.wanted).pair

    def use(self, client: Client) -> Replies:
        """The pair of this client, loaded where another one is, or none, and with as long a context
        as it wants."""
        assert client.wanted is not None
        pair = self.pair
        if pair is None or not self.is_of(client):
            pair = self._loaded_anew(client, client.wanted)
        self.journal.show(client)
        try:
            self._enlarge(pair, client.wanted.beside(self.wanted))
        except DoesNotFit:
            if not pair.info.placement.gpus or client.wanted.options.gpu_layers is not None:
                raise
            # With fewer layers on the GPU there is room for it.
            pair = self._loaded_anew(client, client.wanted)
        return pair

    def count(self, client: Client, request: Request) -> int | None:
        """How many positions the prompt takes, whatever is written meanwhile; None where another
        pair is loaded. Raises what the pair does."""
        with self._counting:
            pair = self.pair  # which may be taken away, but is not closed meanwhile
            return pair.count(request) if pair is not None and self.is_of(client) else None

    def unload(self) -> None:
        """Close it, once nobody counts with it."""
        pair, self.pair, self.wanted = self.pair, None, None
        self.keep = KEEP_ALIVE
        with self._counting:
            if pair is not None:
                pair.close()

    def _loaded_anew(self, client: Client, wanted: Wanted) -> Replies:
        self.unload()
        self.journal.begin()
        self.journal.show(client)

        def progress(fraction: float) -> bool:
            self._loading = wanted, fraction
            client.outbox.put(Loading(fraction))
            return not client.cancel.is_set()

        try:
            self.pair = self._load(wanted.files, wanted.options, progress)
        finally:
            self._loading = None
        self.wanted = wanted
        return self.pair

    def _enlarge(self, pair: Replies, wanted: Wanted) -> None:
        info = pair.info
        usual = min(DEFAULT_CONTEXT, info.context_limit or DEFAULT_CONTEXT)
        size = wanted.options.context or usual
        if size <= info.context_size:
            return
        try:
            with what_helps():
                pair.enlarge(size)
        except (DoesNotFit, UsageError):  # all is as before
            raise
        except BaseException:
            self.unload()
            raise
        self.wanted = replace(wanted, options=replace(wanted.options, context=size))


def _bytes_of(files: PairFiles) -> int:
    """What the files of a pair take; those that are gone meanwhile count nothing."""
    found = 0
    for part in parts_of(*files.models):
        with suppress(OSError):
            found += part.stat().st_size
    return found
