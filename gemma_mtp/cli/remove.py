"""`rm` and `prune`: models and leftovers are removed from this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.cli.find_pair import name_lost_links, say_what_is_meant
from gemma_mtp.cli.flags import Json
from gemma_mtp.errors import ExitStatus, ModelNotAvailable, NotPulled, UsageError
from gemma_mtp.terminal.console import agreed, can_ask, note
from gemma_mtp.text import byte_size, json_text

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.models.inventory import StoredPair

Names = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="A name such as 12b, or several.")
]


def rm(context: typer.Context, models: Names, as_json: Json = False) -> int:
    """Remove models from this machine, or presets.

    Files of other programs that a model links to stay, and so does the model of a preset. Where
    one of several names means nothing here, none is removed.
    """
    from gemma_mtp.models import presets

    name_lost_links()
    kept = list(dict.fromkeys(name for typed in models if (name := presets.exists(typed))))
    found = [_found(context.obj, typed) for typed in models if not presets.exists(typed)]
    for name in kept:
        _remove_preset(name, as_json)
    for item in {item.name: item for item in found}.values():
        _remove(item, as_json)
    return ExitStatus.OK


def _found(env: Environment, typed: str) -> StoredPair:
    """The model of a name. Raises UsageError for a file of the user's and what is built in, and
    ModelNotAvailable."""
    from gemma_mtp.models.details import is_file
    from gemma_mtp.models.inventory import find

    say_what_is_meant(env, typed)
    if is_file(env.store, typed) and Path(typed).expanduser().exists():
        raise UsageError(f"{typed} is a file of yours, which gemma-mtp does not remove.",
                         "It removes what is listed: gemma-mtp list")  # fmt: skip
    try:
        item = find(env.store, typed)
    except NotPulled as error:
        raise ModelNotAvailable(str(error), "What is here: gemma-mtp list") from error
    if item.builtin:
        raise UsageError(f"{item.name} belongs to the program and cannot be removed.")
    return item


def _remove_preset(name: str, as_json: bool) -> None:
    from gemma_mtp.models import last_used, presets

    presets.remove(name)
    last_used.forget(name)
    print(json_text({"removed": name, "bytes": 0}) if as_json else
          f"The preset {name} is removed; its model stays.")  # fmt: skip


def _remove(item: StoredPair, as_json: bool) -> None:
    from gemma_mtp.models import presets
    from gemma_mtp.models.inventory import remove

    kept = item.folder.resolve() if item.folder and item.folder.is_symlink() else None
    freed = remove(item)
    if as_json:
        print(json_text({"removed": item.name, "bytes": freed}))
    else:
        where = f"the link is; its files stay in {kept}" if kept else f"{byte_size(freed)} freed"
        print(f"{item.name} is removed, {where}.")
    if names := presets.of_model(item.name):
        are = "is a preset" if len(names) == 1 else "are presets"
        note(f"{', '.join(names)} {are} of it: gemma-mtp pull {item.name} brings it back.")


def prune(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    as_json: Json = False,
) -> int:
    """Remove parts of downloads and other leftovers.

    Among them are states of chats that no model fits.

    Without --yes it asks, or only lists them.
    """
    from gemma_mtp.models.leftovers import clear, leftovers

    name_lost_links()
    keeps = context.obj.settings().get("keep_chats") != "off"
    found = leftovers(context.obj.store, keeps_chats=keeps)
    total = sum(leftover.bytes for leftover in found)
    if not as_json:
        for leftover in found:
            print(f"{byte_size(leftover.bytes):>9}  {leftover.path}  ({leftover.why})")
    if found and not yes and not as_json and can_ask():
        yes = agreed(f"Remove these, {byte_size(total)}?", default=False)
    if yes:
        for leftover in found:
            clear(leftover)
    if as_json:
        listed = [{"path": str(x.path), "bytes": x.bytes, "why": x.why} for x in found]
        print(json_text({"removed": yes, "bytes": total, "leftovers": listed}))
    elif not found:
        print("Nothing is left over.")
    elif yes:
        print(f"{byte_size(total)} freed.")
    else:
        print("Nothing was removed; gemma-mtp prune --yes removes them.")
    return ExitStatus.OK
