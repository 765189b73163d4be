"""`list`: the models on this machine, and those that could be pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.cli import newer
from gemma_mtp.cli.find_pair import name_lost_links
from gemma_mtp.cli.flags import Json
from gemma_mtp.errors import ExitStatus
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

    env: Environment = context.obj
    name_lost_links()
    here = items(env.store)
    if everything:
        here += _not_here(env, {item.name for item in here})
    here += of_presets(env.store)
    loaded = _loaded()
    if not (as_json or quiet):
        _show(here, loaded)
    answers = newer.ask(here) if check else None
    if as_json:
        rows = [
            {**item.as_json(), "loaded": item.name == loaded}
            | (answers.as_json(item.name) if answers else {})
            for item in here
        ]
        print(json_text(rows, indent=2))
    elif quiet:
        for name in answers.newer if answers else [item.name for item in here]:
            print(name)
    elif answers and answers.conclusion:
        print(answers.conclusion)
    if answers is None:
        return ExitStatus.OK
    answers.warn()
    return answers.status


def _show(here: list[StoredPair], loaded: str | None) -> None:
    from gemma_mtp.terminal import tables

    heads = ("name", "variant", "size", "state", "last used")
    lines = [(i.name, i.variant, _size(i), _state(i, loaded), moment(i.last_used)) for i in here]
    tables.show(tables.Table(heads, lines, right=("size",), below=("variant", "last used")))


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
