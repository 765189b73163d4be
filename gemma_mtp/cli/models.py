"""`list`, `show`, `rm` and `prune`, and the offer to pull a model that is asked for.

Knows words, columns and questions; what is on the disk is `inventory`'s.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma_mtp import paths
from gemma_mtp.cli.config import complain
from gemma_mtp.cli.doctor import warning
from gemma_mtp.errors import ExitStatus, NotPulled
from gemma_mtp.files import places
from gemma_mtp.text import byte_size, json_text

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.models.inventory import Item

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="MODEL", help="A name such as 12b.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("list")(list_models)
    app.command()(show)
    app.command()(rm)
    app.command()(prune)


def list_models(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also what could be pulled.")] = False,
    as_json: Json = False,
) -> int:
    """List the models on this machine, with size, state and last use."""
    from gemma_mtp.models.inventory import items
    from gemma_mtp.terminal import tables

    env: Environment = context.obj
    _name_lost_links()
    here = items(env.store)
    if everything:
        here += _not_here(env, {item.name for item in here})
    if as_json:
        print(json_text([item.as_json() for item in here], indent=2))
        return ExitStatus.OK
    heads = ("name", "variant", "size", "state", "last used")
    rows = [(i.name, i.variant, _size(i.bytes), _state(i), _moment(i.last_used)) for i in here]
    tables.show(tables.Table(heads, rows, right=("size",), dropped=("variant", "size")))
    return ExitStatus.OK


def show(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name such as 12b, or a GGUF file.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Read the files again and compare their sha256.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Show what a model is: files, architecture, memory."""
    from gemma_mtp.models.details import as_lines, details

    env: Environment = context.obj
    _name_lost_links()
    sums = _check(env, model) if check else None  # first: it says most about a damaged file
    found = details(env.store, model, env.machine)
    if sums is not None:
        found["checked"] = sums
    if as_json:
        print(json_text(found, indent=2))
    else:
        print("\n".join(as_lines(found)))
    return ExitStatus.OK


def rm(context: typer.Context, model: Name, as_json: Json = False) -> int:
    """Remove a model from this machine.

    Files of other programs that it links to stay.
    """
    from gemma_mtp.models.inventory import find, remove

    _name_lost_links()
    item = find(context.obj.store, model)
    kept = item.folder.resolve() if item.folder and item.folder.is_symlink() else None
    freed = remove(item)
    if as_json:
        print(json_text({"removed": item.name, "bytes": freed}))
    else:
        where = f"the link is; its files stay in {kept}" if kept else f"{_size(freed)} freed"
        print(f"{item.name} is removed, {where}.")
    return ExitStatus.OK


def prune(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    as_json: Json = False,
) -> int:
    """Remove parts of downloads and other leftovers.

    Without --yes it asks, or only lists them.
    """
    from gemma_mtp.models.leftovers import clear, leftovers

    _name_lost_links()
    found = leftovers(context.obj.store)
    total = sum(leftover.bytes for leftover in found)
    if not as_json:
        for leftover in found:
            print(f"{_size(leftover.bytes):>9}  {leftover.path}  ({leftover.why})")
    if found and not yes and not as_json and _can_ask():
        yes = _ask(f"Remove these, {_size(total)}?", default=False)
    if yes:
        for leftover in found:
            clear(leftover)
    if as_json:
        listed = [{"path": str(x.path), "bytes": x.bytes, "why": x.why} for x in found]
        print(json_text({"removed": yes, "bytes": total, "leftovers": listed}))
    elif not found:
        print("Nothing is left over.")
    elif yes:
        print(f"{_size(total)} freed.")
    else:
        print("Nothing was removed; gemma-mtp prune --yes removes them.")
    return ExitStatus.OK


def resolve_or_offer(env: Environment, model: str | None, drafter: Path | None) -> PairFiles:
    """The pair to load; one that is not here is pulled if somebody at a terminal says so.

    Says what may go wrong: that another one is used than last time, or that memory is short.
    """
    complain(env)
    if trouble := env.trouble():
        print(f"gemma-mtp: {trouble}", file=sys.stderr)
    try:
        files = env.resolve(model, drafter)
    except NotPulled as error:
        if not _can_ask() or not _offer(env, error.name):
            raise
        from gemma_mtp.cli.pull import show_pull

        show_pull(env, error.name)
        return env.resolve(model, drafter)
    lost = "" if model else env.store.lost()
    if lost:
        print(f"gemma-mtp: {lost} {files.name} is used instead.", file=sys.stderr)
    if doubt := warning(env, files.name):
        print(f"gemma-mtp: {doubt}", file=sys.stderr)
    return files


def _name_lost_links() -> None:
    """Models on a disk that is not connected look as if they were not there."""
    for lost in places.dangling_below(paths.models_dir()):
        print(f"gemma-mtp: {lost}.", file=sys.stderr)


def _offer(env: Environment, name: str) -> bool:
    """Whether to pull a model now; Enter means yes unless it does not fit."""
    entry, doubt = env.catalogue.find(name), warning(env, name)
    if doubt:
        print(doubt, file=sys.stderr)
    size = f" ({_size(entry.bytes)})" if entry is not None and entry.bytes else ""
    question = f"{name} is not on this machine. Pull it now{size}?"
    return _ask(question, default=not doubt)


def _check(env: Environment, model: str) -> dict[str, str]:
    from gemma_mtp.models.details import is_file
    from gemma_mtp.models.inventory import check, find, own
    from gemma_mtp.terminal.render import Printer
    from gemma_mtp.terminal.screen import Screen

    item = own(env.store.resolve(model)) if is_file(env.store, model) else find(env.store, model)
    printer = Printer(Screen(sys.stderr, sys.stderr))
    try:
        return check(
            item,
            lambda name, total, done: printer.screen.transient(
                f"checking {name} {done / max(total, 1):.0%}"
            ),
        )
    finally:
        printer.screen.transient("")


def _not_here(env: Environment, here: set[str]) -> list[Item]:
    from gemma_mtp.models.inventory import Item

    return [
        Item(e.name, e.tag, e.bytes or 0, False, e.builtin, f"{e.repo}@{e.revision[:12]}", None)
        for e in env.catalogue.entries
        if e.name not in here
    ]


def _state(item: Item) -> str:
    if item.ready:
        return "built in" if item.builtin else "ready"
    return "partial" if item.folder else "not here"


def _moment(when: str | None) -> str:
    """Local time, to the minute."""
    if not when:
        return "never" if when is None else ""
    with suppress(ValueError, OverflowError, OSError):
        return datetime.fromisoformat(when).astimezone().strftime("%Y-%m-%d %H:%M")
    return "unknown"


def _size(size: int) -> str:
    return byte_size(size) if size else "?"


def _can_ask() -> bool:
    """Somebody sits at the keyboard and sees questions."""
    return _is_terminal(sys.stdin) and _is_terminal(sys.stderr)


def _ask(question: str, default: bool) -> bool:
    print(f"{question} [{'Y/n' if default else 'y/N'}] ", end="", file=sys.stderr)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:  # Ctrl-D
        print(file=sys.stderr)
        return False
    word = line.strip().lower()
    return default if not word else word in ("y", "yes")


def _is_terminal(stream: Any) -> bool:
    return stream is not None and not stream.closed and stream.isatty()
