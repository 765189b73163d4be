"""`config`: shows and changes the user's config.toml, which `chat` and `run` honour.

What is shown is what holds, and where it comes from. How the file is read and written is
`config_file`'s.
"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from gemma_mtp.cli.flags import OTHER_NAMES, Json, of_variables
from gemma_mtp.errors import ExitStatus, GemmaMtpError, UsageError
from gemma_mtp.options import Options, find
from gemma_mtp.terminal.console import is_terminal, note
from gemma_mtp.text import json_text

if TYPE_CHECKING:
    from pathlib import Path

    from gemma_mtp.cli.environment import Environment


class InForce(NamedTuple):
    """The value of a setting that holds where nothing is typed, and where it comes from."""

    value: Any
    origin: str


def config(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="A setting.")] = None,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="Its new value.")] = None,
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    unset: Annotated[
        str | None, typer.Option("--unset", metavar="KEY", help="Take a setting out.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Show or change the settings of `chat` and `run`.

    They hold where the command line says nothing.
    """
    from gemma_mtp import paths
    from gemma_mtp.files import config_file

    env, file = context.obj, paths.config_file()
    _refuse_other_forms([word for word in (key, value, *(more or ())) if word is not None])
    if key is not None and value == "default":
        key, value, unset = None, None, key
    if unset is not None:
        if key is not None:
            raise UsageError("--unset takes the only name.")
        _unset(env, file, unset)
        return ExitStatus.OK
    name = None if key is None else OTHER_NAMES.get(key, key)
    known = None if name is None else find(name, config_file.NAMES, "setting")
    if known is not None and value is not None:
        parsed = known.parse(value)
        if known.name == "mcp" and parsed is not None:  # chats begin in other folders, too
            parsed = os.path.abspath(os.path.expanduser(parsed))
        _check(env, known.name, parsed)
        config_file.write(file, known.name, parsed)
        note(f"{known.name} is {known.shown(parsed)} from now on, in {file}.")
        return ExitStatus.OK
    if slips := config_file.misspelt(file):
        note(slips)
    in_force = _in_force(env, config_file.read(file))
    if as_json:
        found = {name: one._asdict() for name, one in in_force.items()}
        everything = {"file": str(file), "settings": found}
        print(json_text({known.name: found[known.name]} if known else everything))
    elif known is not None:
        shown, origin = known.shown(in_force[known.name].value), in_force[known.name].origin
        print(f"{shown}  ({origin})" if is_terminal(sys.stdout) else shown)
    else:
        _print(file, in_force)
    return ExitStatus.OK


def _refuse_other_forms(words: list[str]) -> None:
    """Raise UsageError for the ways in which other programs have settings named."""
    first, *rest = words or [""]
    at_once = "A setting is named at once, and its value after it."
    if first in ("get", "list", "set", "show"):
        said, meant = at_once, rest
    elif "=" in first:
        said, meant = at_once, [*first.split("=", 1), *rest]
    elif len(words) > 2:
        said, meant = (
            "A value of several words needs quotes.",
            [first, shlex.join([" ".join(rest)])],
        )
    else:
        return
    raise UsageError(said, " ".join(["As in: gemma-mtp config", *meant]))


def _unset(env: Environment, file: Path, key: str) -> None:
    """Take a key out, known or not, and say what holds now."""
    from gemma_mtp.files import config_file

    written = config_file.is_written(file, key)
    name = key if written else find(key, config_file.NAMES, "setting").name
    if done := config_file.is_written(file, name):
        config_file.write(file, name, None)
    said = f"{name} is out of {file}." if done else f"{name} is not in {file}."
    if name not in config_file.KEYS:
        note(said)
        return
    with suppress(UsageError):  # what else is wrong there is told when it is used
        value, origin = _in_force(env, config_file.read(file))[name]
        said += f" What holds now: {config_file.KEYS[name].shown(value)} ({origin})."
    note(said)


def _check(env: Environment, key: str, value: Any) -> None:
    """Refuse at once what `chat` would refuse later."""
    if key == "mcp" and value is not None:
        from pathlib import Path

        from gemma_mtp.tools.server_config import read_config

        read_config(Path(value), note)
    if key != "model":
        return
    from gemma_mtp.models.store import looks_like_path

    if not looks_like_path(value) and not value.startswith("hf:"):
        env.store.require(value)


def _in_force(env: Environment, written: dict[str, Any]) -> dict[str, InForce]:
    """What holds of each setting: that of a variable, of the file, of the model that is used, or
    the default."""
    from gemma_mtp.files import config_file

    model, usual, preset = written.get("model"), Options(), dict[str, Any]()
    with suppress(GemmaMtpError):  # `chat` says why that model cannot be used
        files = env.resolve(None)
        model, usual = model or files.called, files.fill(usual)
        preset = dict(files.preset.values) if files.preset else preset
    found, told = {}, of_variables()
    for name, known in config_file.KEYS.items():
        if known.field in told:
            found[name] = InForce(told[known.field], known.variable)
        elif known.field in preset:
            found[name] = InForce(preset[known.field], model or "the model")
        elif name in written:
            found[name] = InForce(written[name], "config.toml")
        elif name == "model":
            here = model is None or env.is_built_in(model)
            found[name] = InForce(model, "built in" if here else "used last")
        elif getattr(usual, known.field) != known.default:
            found[name] = InForce(getattr(usual, known.field), model or "the model")
        else:
            found[name] = InForce(known.default, "built in")
    return found


def _print(file: Path, in_force: dict[str, InForce]) -> None:
    from gemma_mtp.files import config_file
    from gemma_mtp.terminal import tables

    print(file, flush=True)
    rows = [(n, one.origin, config_file.KEYS[n].shown(one.value)) for n, one in in_force.items()]
    usual = {i for i, one in enumerate(in_force.values()) if one.origin == "built in"}
    tables.show(tables.Table(("setting", "from", "value"), rows, dim=usual))
