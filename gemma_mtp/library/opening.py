"""Opens a model for a program: in the resident engine, in this process, or a server's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gemma_mtp.api import Replies
from gemma_mtp.errors import UsageError
from gemma_mtp.library.asked import OPENING, read
from gemma_mtp.library.forms import log
from gemma_mtp.library.model import Model
from gemma_mtp.options import Options


def open(
    model: str | None = None, *, server: str | None = None, api_key: str | None = None,
    drafter: str | Path | None = None, **settings: Any,
) -> Model:  # fmt: skip
    """A model by its name or the path of its file; without either, the one that `run` would take.

    `server`: the address of one that has the model. `settings` are those of `gemma-mtp run`, such
    as temperature, seed, think_budget or ctx; config.toml is not read. Raises GemmaMtpError, also
    for a model that has yet to be pulled.
    """
    options = Options().with_values(**read(settings, OPENING))
    if server is not None:
        return Model(_elsewhere(server, api_key, model), options)
    from gemma_mtp.models.catalogue import load_catalogue
    from gemma_mtp.models.store import Store
    from gemma_mtp.paths import own_models
    from gemma_mtp.resident.attach import attach

    store = Store(load_catalogue(own_models()))
    files = store.resolve(model, None if drafter is None else Path(drafter))
    options = files.fill(options)
    return Model(attach(files, options, lambda fraction: True, log.info), options, files.opening)


def _elsewhere(address: str, api_key: str | None, name: str | None) -> Replies:
    from gemma_mtp.remote.client import RemotePair
    from gemma_mtp.remote.server import Server

    there = Server(address, api_key)
    models = there.models()
    found = [m for m in models if (m.default if name is None else m.name == name)] or models
    if len(found) != 1 or name not in (None, found[0].name):
        names = ", ".join(model.name for model in models)
        raise UsageError(f"Say which model of {there.address} it is: {names or 'it has none'}.")
    return RemotePair(there, found[0])
