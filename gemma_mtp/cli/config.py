"""`config`: shows and changes the user's config.toml, which `chat` and `run` honour.

How the file is read and written is `config_file`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma_mtp.cli.flags import Json
from gemma_mtp.errors import ExitStatus, UsageError
from gemma_mtp.terminal.console import note
from gemma_mtp.text import json_text

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.settings import Setting


def config(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="A setting.")] = None,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="Its new value.")] = None,
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

    file = paths.config_file()
    if unset is not None:
        if key is not None:
            raise UsageError("--unset takes the only name.")
        if config_file.is_written(file, unset):
            config_file.write(file, unset, None)
        else:
            config_file.find(unset)
    elif key is not None and value is not None:
        parsed = config_file.parse(key, value)
        _check(context.obj, key, parsed)
        config_file.write(file, key, parsed)
    else:
        if slips := config_file.misspelt(file):
            note(slips)
        _print(config_file.read(file), config_file.find(key) if key else None, as_json)
    return ExitStatus.OK


def _check(env: Environment, key: str, value: Any) -> None:
    """Refuse at once what `chat` would refuse later."""
    if key != "model":
        return
    from gemma_mtp.models.hub_names import is_hub_name
    from gemma_mtp.models.store import looks_like_path

    name = env.store.meant(value).name
    if not looks_like_path(name) and not is_hub_name(name):
        env.store.require(name)


def _print(values: dict[str, Any], wanted: Setting | None, as_json: bool) -> None:
    from gemma_mtp import paths
    from gemma_mtp.files import config_file

    if as_json:
        everything = {"file": str(paths.config_file()), "settings": values}
        print(json_text({wanted.name: values.get(wanted.name)} if wanted else everything))
    elif wanted is not None:
        print(_shown(values, wanted))
    else:
        print(paths.config_file())
        for known in config_file.KEYS.values():
            print(f"  {known.name:15} {_shown(values, known)}")


def _shown(values: dict[str, Any], known: Setting) -> str:
    return known.shown(values[known.name]) if known.name in values else "not set"
