"""`list`: the models on this machine, and those that could be pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.cli.find_pair import name_lost_links
from gemma_mtp.cli.flags import Json
from gemma_mtp.errors import ExitStatus, GemmaMtpError
from gemma_mtp.terminal.console import note
from gemma_mtp.text import byte_size, json_text, moment

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.models.inventory import StoredPair


def list_models(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also what could be pulled.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Ask whether newer files were published.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing but names.")] = False,
    as_json: Json = False,
) -> int:
    """List the models on this machine: size, state, last use."""
    from gemma_mtp.models.inventory import items, of_presets
    from gemma_mtp.terminal import tables

    env: Environment = context.obj
    name_lost_links()
    here = items(env.store)
    if everything:
        here += _not_here(env, {item.name for item in here})
    here += of_presets(env.store)
    loaded = _loaded()
    newer = {item.name: _newer(item) for item in here} if check else {}
    if as_json:
        rows = [
            {**item.as_json(), "loaded": item.name == loaded}
            | ({"newer": newer[item.name]} if check else {})
            for item in here
        ]
        print(json_text(rows, indent=2))
        return ExitStatus.OK
    if quiet:
        for item in here:
            print(item.name)
        return ExitStatus.OK
    heads = ("name", "variant", "size", "state", "last used")
    lines = [(i.name, i.variant, _size(i), _state(i, loaded), moment(i.last_used)) for i in here]
    tables.show(tables.Table(heads, lines, right=("size",), below=("variant", "last used")))
    for name, roles in newer.items():
        if roles:
            note(f"{name}: its {' and '.join(roles)} changed since; gemma-mtp pull {name} --update")
    if check and not any(newer.values()):
        print("Nothing newer was published.")
    return ExitStatus.OK


def _newer(item: StoredPair) -> tuple[str, ...]:
    """Which files of a pulled pair were published anew; a place that does not answer is named."""
    from gemma_mtp import paths
    from gemma_mtp.models.hub_names import find_pulled
    from gemma_mtp.models.pull.freshness import changed

    entry = find_pulled(item.name, paths.models_dir()) if item.ready else None
    if entry is None:
        return ()
    try:
        return changed(entry, lambda event: None)
    except GemmaMtpError as error:  # also where a library is missing that asks
        note(f"{item.name}: {error}")
        return ()


def _not_here(env: Environment, here: set[str]) -> list[StoredPair]:
    from gemma_mtp.models.inventory import StoredPair

    return [
        StoredPair(
            e.name, e.tag, e.bytes or 0, False, e.builtin, f"{e.repo}@{e.revision[:12]}", None
        )
        for e in env.catalogue.entries
        if e.name not in here
    ]


def _size(item: StoredPair) -> str:
    if item.preset_of:
        return ""
    return byte_size(item.bytes) if item.bytes else "not known"


def _loaded() -> str | None:
    """The model that the resident engine holds."""
    from gemma_mtp.resident.identity import place
    from gemma_mtp.resident.line import ask

    status = ask(place(), "status")
    return status["model"] if status else None


def _state(item: StoredPair, loaded: str | None) -> str:
    if item.name == loaded:
        return "loaded"
    if item.preset_of:
        return f"preset of {item.preset_of}" + ("" if item.ready else ", which is not here")
    if item.ready:
        return "built in" if item.builtin else "ready"
    return "partial" if item.folder else "not here"
