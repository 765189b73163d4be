"""`rm` and `prune`: models and leftovers are removed from this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from gemma_mtp.cli.find_pair import name_lost_links, say_what_is_meant
from gemma_mtp.cli.flags import Json
from gemma_mtp.errors import ExitStatus, ModelNotAvailable, NotPulled
from gemma_mtp.terminal.console import agreed, can_ask, note
from gemma_mtp.text import byte_size, json_text

Name = Annotated[str, typer.Argument(metavar="MODEL", help="A name such as 12b.")]


def rm(context: typer.Context, model: Name, as_json: Json = False) -> int:
    """Remove a model from this machine, or a preset.

    Files of other programs that it links to stay, and so does the model of a preset.
    """
    from gemma_mtp.models import last_used, presets
    from gemma_mtp.models.inventory import find, remove

    if removed := presets.remove(model):
        last_used.forget(removed)
        print(json_text({"removed": removed, "bytes": 0}) if as_json else
              f"The preset {removed} is removed; its model stays.")  # fmt: skip
        return ExitStatus.OK
    name_lost_links()
    say_what_is_meant(context.obj, model)
    try:
        item = find(context.obj.store, model)
    except NotPulled as error:
        raise ModelNotAvailable(str(error), "What is here: gemma-mtp list") from error
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
    return ExitStatus.OK


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
