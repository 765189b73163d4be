"""`show`: what a model is, and whether its files are as they were pulled."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.cli.find_pair import name_lost_links, say_what_is_meant
from gemma_mtp.cli.flags import Json, read_options
from gemma_mtp.errors import ExitStatus, UsageError
from gemma_mtp.text import json_text

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment


def show(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name such as 12b, or a GGUF file.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Read the files again and compare their sha256.")
    ] = False,
    as_toml: Annotated[
        bool, typer.Option("--toml", help="Print a preset as create --file takes it.")
    ] = False,
    as_modelfile: Annotated[
        bool, typer.Option("--modelfile", help="Print a Modelfile: the model and its settings.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Show what a model is: files, architecture, memory."""
    from gemma_mtp.models.details import details, facts, title
    from gemma_mtp.terminal import tables

    env: Environment = context.obj
    forms = {"--toml": as_toml, "--modelfile": as_modelfile, "--json": as_json, "--check": check}
    given = [flag for flag, is_given in forms.items() if is_given]
    if len(given) > 1 and (as_toml or as_modelfile):
        raise UsageError(f"{given[0]} prints one thing, and {given[1]} another.",
                         "Leave one of them out.")  # fmt: skip
    if as_toml or as_modelfile:
        print(_written(env, model, as_toml), end="")
        return ExitStatus.OK
    name_lost_links()
    say_what_is_meant(env, model)
    sums = _check(env, model) if check else None  # first: it says most about a damaged file
    found = details(env.store, model, env.machine, read_options({}, env))
    if sums is not None:
        found["checked"] = sums
    if as_json:
        print(json_text(found, indent=2))
    else:
        print(title(found))
        tables.show(tables.facts(facts(found)))
    return ExitStatus.OK


def _written(env: Environment, model: str, as_toml: bool) -> str:
    """A preset, or a model without settings, in a form that `create` takes."""
    from gemma_mtp.models import modelfile, presets

    kept = presets.find(model) or env.store.kept(model)
    return presets.as_toml(kept) if as_toml else modelfile.written(kept)


def _check(env: Environment, model: str) -> dict[str, str]:
    from gemma_mtp.models.details import is_file
    from gemma_mtp.models.inventory import check_sha256, find, of_files
    from gemma_mtp.terminal.render import Printer
    from gemma_mtp.terminal.screen import Screen

    store = env.store
    pair = of_files(store.resolve(model)) if is_file(store, model) else find(store, model)
    printer = Printer(Screen(sys.stderr, sys.stderr))
    try:
        return check_sha256(
            pair,
            lambda name, total, done: printer.progress(done / max(total, 1), f"checking {name}"),
        )
    finally:
        printer.screen.transient("")
