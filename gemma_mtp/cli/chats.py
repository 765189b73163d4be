"""`chats`: lists, shows, renames, deletes and exports the saved conversations.

Knows words, columns and questions; what is saved is `archive`'s, how it is written `export`'s.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.cli.flags import Json
from gemma_mtp.errors import ExitStatus, GemmaMtpError, UsageError
from gemma_mtp.files import private
from gemma_mtp.terminal.console import agreed, can_ask, note
from gemma_mtp.text import byte_size, counted, json_text, moment

if TYPE_CHECKING:
    from gemma_mtp.conversations.archive import Archive, Saved

Id = Annotated[int, typer.Argument(metavar="ID", help="Its number in the list.")]


class Format(StrEnum):
    """What a conversation can be exported as."""

    md = "md"
    json = "json"


commands = typer.Typer(
    rich_markup_mode=None,
    suggest_commands=False,
    help="List, show, rename, delete and export saved conversations.",
)


@commands.callback(invoke_without_command=True)
def root(context: typer.Context, as_json: Json = False) -> int:
    if context.invoked_subcommand is None:
        return list_chats(context, None, as_json)
    return ExitStatus.OK


@commands.command("list")
def list_chats(
    context: typer.Context,
    search: Annotated[
        list[str] | None, typer.Argument(metavar="SEARCH", help="Only those that hold this text.")
    ] = None,
    as_json: Json = False,
) -> int:
    """List saved conversations, the latest first."""
    from gemma_mtp.terminal import tables

    wanted = " ".join(search or ())
    archive = _archive(context)
    found = archive.list(wanted)
    _tell(archive)
    if archive.problem:
        raise GemmaMtpError(archive.problem)
    from gemma_mtp.models import chat_states

    kept = chat_states.sizes()
    sizes = {one.id: kept.get(archive.key(one.id), 0) for one in found}
    if as_json:
        rows = [{**asdict(one), "state_bytes": sizes[one.id]} for one in found]
        print(json_text(rows, indent=2))
    elif not found:
        print(f'No conversation holds "{wanted}".' if wanted else "No conversation is saved.")
    else:
        heads = ("id", "last change", "turns", "model", "title")
        cells = [(str(x.id), moment(x.updated), str(x.turns), x.model, x.title) for x in found]
        below = ("turns", "model", "last change")
        tables.show(tables.Table(heads, cells, right=("id", "turns"), below=below))
        if any(sizes.values()):
            one_or_more = counted(sum(size > 0 for size in sizes.values()), "conversation")
            taken = byte_size(sum(sizes.values()))
            note(f"What was read of {one_or_more} takes {taken} more, in {chat_states.folder()}.")
    return ExitStatus.OK


@commands.command()
def show(context: typer.Context, id: Id, as_json: Json = False) -> int:
    """Print a conversation as Markdown, or as the JSON of `export`."""
    _write(_text(_read(_archive(context), id), Format.json if as_json else Format.md))
    return ExitStatus.OK


@commands.command()
def rename(
    context: typer.Context,
    id: Id,
    title: Annotated[list[str], typer.Argument(metavar="TITLE", help="Its new title.")],
    as_json: Json = False,
) -> int:
    """Give a conversation another title."""
    archive = _archive(context)
    _read(archive, id)  # an error for one that is not there or was emptied
    archive.rename(id, " ".join(title))
    called = _read(archive, id).title
    if as_json:
        print(json_text({"id": id, "title": called}))
    else:
        print(f'Conversation {id} is called "{called}".')
    return ExitStatus.OK


@commands.command()
def delete(
    context: typer.Context,
    ids: Annotated[list[int], typer.Argument(metavar="ID", help="Numbers in the list.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    as_json: Json = False,
) -> int:
    """Delete conversations for good.

    Without --yes it asks first; in a pipe it only lists them.
    """
    archive = _archive(context)
    try:
        found = [archive.offered(id) for id in dict.fromkeys(ids)]  # all exist, or none is deleted
    finally:
        _tell(archive)
    if not as_json:
        for saved in found:
            print(f"{saved.id:>4}  {saved.title}  ({counted(len(saved.turns), 'turn')})")
    if not yes and not as_json and can_ask():
        these = "this conversation" if len(found) == 1 else f"these {len(found)} conversations"
        yes = agreed(f"Delete {these}?", default=False)
    if yes:
        for saved in found:
            archive.delete(saved.id)
    if as_json:
        print(json_text({"deleted": yes, "ids": [saved.id for saved in found]}))
    elif yes:
        print("Deleted.")
    else:
        words = " ".join(str(saved.id) for saved in found)
        print(f"Nothing was deleted; gemma-mtp chats delete --yes {words} deletes.")
    return ExitStatus.OK


@commands.command()
def export(
    context: typer.Context,
    id: Id,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Write to this file.")] = None,
    format: Annotated[
        Format | None, typer.Option("--format", help="md or json; else as the name of FILE says.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The same.")
    ] = None,
) -> int:
    """Write a conversation as Markdown or JSON.

    To standard output, or to a FILE. A file that is there is not replaced.
    """
    if file is not None and output is not None:
        raise UsageError(f"There are two files: {file} and {output}.", "Name one of them.")
    output = output or file
    saved = _read(_archive(context), id)
    if format is None:
        named_json = output is not None and output.suffix.lower() == ".json"
        format = Format.json if named_json else Format.md
    if output is None:
        _write(_text(saved, format))
        return ExitStatus.OK
    try:
        private.write_new(output, _text(saved, format))
    except FileExistsError as error:
        hint = "Name another file, or remove that one first."
        raise UsageError(f"{output} is there already.", hint) from error
    except OSError as error:
        raise GemmaMtpError(f"{output} cannot be written: {error.strerror}.") from error
    print(f"{output} is written.", file=sys.stderr)
    return ExitStatus.OK


def _archive(context: typer.Context) -> Archive:
    archive: Archive = context.obj.archive()
    return archive


def _read(archive: Archive, id: int) -> Saved:
    try:
        saved = archive.offered(id)
    finally:
        _tell(archive)
    if saved.gaps:
        note(f"Conversation {id}: {saved.gaps}")
    return saved


def _tell(archive: Archive) -> None:
    """What happened to the file, or that it is only read."""
    for said in (archive.warning, archive.notice):
        if said:
            note(said)


def _text(saved: Saved, format: Format) -> str:
    from gemma_mtp.conversations import export as writing

    return writing.as_json(saved) if format is Format.json else writing.as_markdown(saved)


def _write(text: str) -> None:
    """To standard output; on a terminal, control characters of a reply do not act."""
    from gemma_mtp.terminal.screen import Screen

    Screen(sys.stdout, sys.stderr).write(text)
