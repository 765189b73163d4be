"""`serve`: the resident engine for programs that speak HTTP."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.cli.flags import Model, takes_options
from gemma_mtp.errors import ExitStatus, UsageError
from gemma_mtp.options import Options
from gemma_mtp.settings import KEEP_ALIVE, Elsewhere, LoadOptions, View
from gemma_mtp.terminal.console import note, say

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.resident.client import ResidentPair
    from gemma_mtp.server.engines import Engines
    from gemma_mtp.server.guard import Rules
    from gemma_mtp.server.record import Record

HOST = "127.0.0.1"
PORT = 11435  # beside Ollama's, which is 11434
KEY = "GEMMA_MTP_API_KEY"
POLLED = ("/health", "/metrics")  # asked for again and again by programs that watch

Names = list[str] | None


@takes_options(without=(View, Elsewhere))
def serve(
    context: typer.Context,
    options: Options,
    model: Model = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help=f"Listen here; 0.0.0.0: everywhere. [default: {HOST}, or as OLLAMA_HOST says]",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="N",
            min=0,
            max=65535,
            help=f"Listen here; 11434 takes Ollama's place. [default: {PORT}]",
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option("--api-key", metavar="KEY", help="Answer only who shows this key."),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option("--api-key-file", metavar="FILE", help="The same; the key is in this file."),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Answer others on the network without any key.")
    ] = False,
    allow_host: Annotated[
        Names,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Answer to this name, too, such as host.docker.internal (repeatable).",
        ),
    ] = None,
    allow_origin: Annotated[
        Names,
        typer.Option(
            "--allow-origin",
            metavar="URL",
            help="Answer web pages of this origin, too (repeatable).",
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print no line for each request.")
    ] = False,
) -> int:
    """Serve the APIs of OpenAI, Ollama and Anthropic.

    With a MODEL, that one is loaded at once and used where a client names none; any other model
    that is here can be asked for.
    """
    key = _key(api_key, api_key_file)
    from gemma_mtp.server.app import make_app
    from gemma_mtp.server.engines import Engines
    from gemma_mtp.server.guard import Rules
    from gemma_mtp.server.ports import is_loopback, listen, own_names
    from gemma_mtp.server.run import run

    host, port = _where(host, port)
    names = (host, *(allow_host or ()))
    if not is_loopback(host):
        names += own_names()
        if not key and not no_auth:
            raise UsageError(
                f"Others on the network can reach {host}, and no API key is set.",
                f"{KEY} or --api-key-file sets one; --no-auth does without.",
            )
    rules = Rules(key, names, tuple(allow_origin or ()))
    with closing(listen(host, port)) as sock:
        engines = Engines(context.obj.store, options, model)
        if model is not None:
            _load(context.obj, engines, options)
        _say_how(host, sock.getsockname()[1], engines, rules)
        app = make_app(engines, rules, _ignore if quiet else _tell, options.verbose)
        orderly = run(app, engines, sock, options.verbose)
    return ExitStatus.OK if orderly else ExitStatus.INTERRUPTED


def _where(host: str | None, port: int | None) -> tuple[str, int]:
    """Where to listen: as typed, else as OLLAMA_HOST says where it names this machine. To programs
    that ask, it may name another one."""
    from gemma_mtp.server.ports import is_own, read_host

    said = os.environ.get("OLLAMA_HOST", "").strip()
    if not said or (host is not None and port is not None):
        return host or HOST, PORT if port is None else port
    named, number = read_host(said)
    if not is_own(named or HOST):
        note(f"OLLAMA_HOST names another machine, {named}; it is left alone.")
        named, number = "", None
    chosen = host or named or HOST, port if port is not None else PORT if number is None else number
    if chosen != (host or HOST, PORT if port is None else port):
        note(f"OLLAMA_HOST says to listen at {said}; --host and --port count more.")
    return chosen


def _key(typed: str | None, file: Path | None) -> str:
    """The key that clients have to show, "" for none."""
    if typed is not None:
        note(f"Others on this machine can see --api-key in the list of processes, but not {KEY}.")
    elif file is not None:
        try:
            typed = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", "") or "it is no text"
            raise UsageError(f"--api-key-file {file} cannot be read: {why}.") from error
    else:
        return os.environ.get(KEY, "")
    if not typed:
        raise UsageError("The API key is empty.", "Leave it out to answer without one.")
    return typed


def _load(env: Environment, engines: Engines, options: Options) -> None:
    """Load the model, so that the first request is answered at once; Ctrl-C stops it."""
    from gemma_mtp.chat.loading import introduce, loaded
    from gemma_mtp.terminal.render import Printer
    from gemma_mtp.terminal.screen import Screen

    files = _found(env, engines, options)
    options = files.fill(options)
    keep = KEEP_ALIVE if options.keep_alive is None else options.keep_alive
    printer = Printer(Screen(sys.stderr, sys.stderr))
    with closing(engines.connect(files, options.part(LoadOptions), keep)) as pair:

        def load(progress: Callable[[float], bool]) -> ResidentPair:
            pair.load(progress)
            return pair

        loaded(load, printer)
        introduce(env, pair, options, printer, named=True)


def _found(env: Environment, engines: Engines, options: Options) -> PairFiles:
    files = env.resolve_or_offer(engines.default, options)
    env.remember_used(files.called)
    return files


def _say_how(host: str, port: int, engines: Engines, rules: Rules) -> None:
    """How to connect."""
    from gemma_mtp.server.ports import addresses

    urls = addresses(host, port)
    default = engines.find(None).called
    rows = [
        ("OpenAI", f"{urls[0]}/v1"),
        ("Ollama", urls[0]),
        ("Anthropic", urls[0]),
        ("model", f"{default}, and any other that is here"),
        ("API key", "the one that was given" if rules.api_key else "any, or none"),
        *(("also at", url) for url in urls[1:]),
    ]
    say(f"gemma-mtp listens at {urls[0]}; Ctrl-C ends it.")
    say("\n".join(f"  {name:<11}{value}" for name, value in rows))


def _ignore(record: Record) -> None:
    """With --quiet."""


def _tell(record: Record) -> None:
    """A line about a request that is over."""
    if record.path in POLLED and record.status < 400:
        return
    figures = ", ".join(_figures(record))
    model = f" {record.model}" if record.model else ""
    status = record.status or "---"
    line = f"{time.strftime('%H:%M:%S')} {status} {record.method} {record.path}{model}"
    whole = f"{line}: {figures}" if figures else line
    say(" ".join(whole.splitlines()))  # a path may hold the end of a line


def _figures(record: Record) -> list[str]:
    from gemma_mtp.terminal.figures import request_parts

    parts = []
    if record.end is not None:
        parts += [text for _, text in request_parts(record.end.stats, record.end.reason)]
    if record.error is not None:
        parts.append(f"{record.error} {record.error.hint}".strip().rstrip("."))
    if record.left and record.end is None:
        parts.append("the client left")
    if record.note:
        parts.append(record.note)
    if record.passed_over:
        parts.append(f"passed over: {', '.join(record.passed_over)}")
    return parts
