"""The command line: words in, exit status out; the one place where errors become text.

Knows which commands there are and in which order things are found, loaded and run. Everything
heavy is imported when it is needed, so that `--help` and mistakes cost nothing.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from shutil import get_terminal_size
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from gemma_mtp import __version__
from gemma_mtp.cli import chats, completion
from gemma_mtp.cli.bench import bench
from gemma_mtp.cli.chat import chat
from gemma_mtp.cli.complaints import in_our_words
from gemma_mtp.cli.config import config
from gemma_mtp.cli.convert import convert
from gemma_mtp.cli.create import cp, create
from gemma_mtp.cli.doctor import doctor
from gemma_mtp.cli.engine import ps, stop
from gemma_mtp.cli.environment import Environment
from gemma_mtp.cli.export_command import export_command
from gemma_mtp.cli.flags import our_word, switched
from gemma_mtp.cli.list import list_models
from gemma_mtp.cli.pull import pull
from gemma_mtp.cli.quantize import quantize
from gemma_mtp.cli.remove import prune, rm
from gemma_mtp.cli.run import run
from gemma_mtp.cli.serve import serve
from gemma_mtp.cli.show import show
from gemma_mtp.cli.verify import verify
from gemma_mtp.errors import ExitStatus, GemmaMtpError, unforeseen
from gemma_mtp.terminal.console import note, say
from gemma_mtp.terminal.output import Closed, guarded, never_waiting
from gemma_mtp.text import clean, one_line

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    suggest_commands=False,
    help="Chat with Gemma 4 on your own machine, with speculative decoding measured live.",
    context_settings={"help_option_names": ["--help", "-h"], "token_normalize_func": our_word},
)
NARROW = 52  # columns below which help has no room for two columns
NARROWEST = 24  # columns of help that can still be read
UNWRITABLE = (errno.ENOSPC, errno.EIO, errno.EBADF)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", "-v", help="Show the versions of what is at work.")
    ] = False,
) -> int:
    if version:
        show_versions(context)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
    return 0


def show_versions(context: typer.Context) -> int:
    """Show the versions of what is at work."""
    python, cpp = context.obj.versions()
    print(f"gemma-mtp {__version__}\nllama-cpp-python {python}\nllama.cpp {cpp}")
    return ExitStatus.OK


def show_help(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="Which one.")
    ] = None,
) -> int:
    """Show what there is, or what a command takes."""
    return _run([*(command or ()), "--help"], context.obj)


for command in (chat, run, pull):
    app.command()(command)
app.command("list")(list_models)
for command in (show, create, cp, rm, prune):
    app.command()(command)
app.add_typer(chats.commands, name="chats")
# -1 is a value, not an option.
app.command(context_settings={"ignore_unknown_options": True})(config)
for command in (serve, ps, stop, doctor, bench, verify):
    app.command()(command)
app.command("export-command")(export_command)
app.command()(convert)
app.command()(quantize)
app.command("completion")(completion.completion)
app.command("help")(show_help)
for name in ("ls", "models"):  # what commands are called elsewhere
    app.command(name, hidden=True)(list_models)
for name in ("remove", "delete"):
    app.command(name, hidden=True)(rm)
app.command("copy", hidden=True)(cp)
app.command("info", hidden=True)(show)
app.command("download", hidden=True)(pull)
app.command("version", hidden=True)(show_versions)


def main(arguments: Sequence[str] | None = None, env: Environment | None = None) -> int:
    """Run one command and return the exit status; nothing is raised but SystemExit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_streams()
    with guarded():
        return _main(words, env or Environment())


def _main(words: list[str], env: Environment) -> int:
    try:
        status = _run(words, env)
        sys.stdout.flush()
        return status
    except GemmaMtpError as error:
        return _complain(str(error), error.hint, error.status)
    except TyperException as error:
        return _complain(*in_our_words(error, words, env.names), error.exit_code)
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            name = one_line(str(error.filename), 60)
            return _complain(f"{name} can be no file: its name is too long.", "", ExitStatus.USAGE)
        if isinstance(error, OSError) and error.errno in UNWRITABLE and not error.filename:
            return _complain(
                f"The output cannot be written: {error.strerror}.", "", ExitStatus.ERROR
            )
        if "--verbose" in words:
            traceback.print_exc(file=sys.stderr)
        return _complain(unforeseen(error), "--verbose shows where.", ExitStatus.ERROR)


def _run(words: list[str], env: Environment) -> int:
    # typer makes no help narrower than 50 columns by itself.
    columns = get_terminal_size().columns
    narrow = {"terminal_width": max(columns - 1, NARROWEST)} if columns < NARROW else {}
    command = _commands(bool(narrow))
    if completion.is_asked():
        completion.prepare(command, env)
    words = switched(words)
    status = command.main(words, "gemma-mtp", standalone_mode=False, obj=env, **narrow)
    return int(status or 0)


@cache
def _commands(narrow: bool) -> Any:
    """All commands as they are parsed, with their help for a window that is `narrow` or not."""
    command = typer.main.get_command(app)
    _in_plain_words(command, narrow)
    return command


def _in_plain_words(command: Any, narrow: bool) -> None:
    """Leave out what type of Python's an argument has; in a `narrow` window, what an option does
    stands below it."""
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None
    if narrow:
        context = command.context_class
        formatter = type("Narrow", (context.formatter_class,), {"write_dl": _below_each_other})
        command.context_class = type("Context", (context,), {"formatter_class": formatter})
    for below in getattr(command, "commands", {}).values():
        _in_plain_words(below, narrow)


def _below_each_other(formatter: Any, rows: Sequence[tuple[str, str]], *_: int) -> None:
    """The rows of a help, without a first column that leaves the other one no room."""
    if 3 * max(len(first) for first, _ in rows) < formatter.width:
        super(type(formatter), formatter).write_dl(rows)
        return
    for first, second in rows:
        formatter.write(f"{'':{formatter.current_indent}}{first}\n")
        with formatter.indentation(), formatter.indentation():
            formatter.write_text(second)


def _complain(message: str, hint: str, status: int) -> int:
    try:
        note(clean(message))
        if hint:
            say(f"  {hint}")
    except OSError:  # nobody is listening; the status still tells
        pass
    return int(status)


def _prepare_streams() -> None:
    """Give every stream an encoding that cannot fail. A closed standard error swallows what is
    written; a closed standard output refuses it, since answers that nobody gets are no success. The
    output waits for its reader, whoever made the pipe; what is said on standard error does not."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None and name == "stdout":
            sys.stdout = Closed()
        elif stream is None:
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
            if not stream.isatty():
                stream.reconfigure(encoding="utf-8")
    sys.stderr = never_waiting(sys.stderr)
    with suppress(OSError, ValueError):
        os.set_blocking(sys.stdout.fileno(), True)
