"""The command line: words in, exit status out; the one place where errors become text.

Knows which commands there are and in which order things are found, loaded and run. Everything
heavy is imported when it is needed, so that `--help` and mistakes cost nothing.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from gemma_mtp import __version__, cli_config, cli_fit, cli_pull, cli_store
from gemma_mtp.arguments import Options, clean, read_words, takes_options
from gemma_mtp.errors import ExitStatus, GemmaMtpError, UsageError
from gemma_mtp.options import PairFiles
from gemma_mtp.world import World

if TYPE_CHECKING:
    from gemma_mtp.oneshot import Engine
    from gemma_mtp.render import Printer

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Chat with Gemma 4 on your own machine, with speculative decoding measured live.",
)
Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL", help="A name such as e2b, or a GGUF file; else the one used last."
    ),
]
Prompt = Annotated[str | None, typer.Argument(metavar="PROMPT", help="What to ask.")]


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the versions of what is at work.")
    ] = False,
) -> int:
    if version:
        python, cpp = context.obj.versions()
        print(f"gemma-mtp {__version__}\nllama-cpp-python {python}\nllama.cpp {cpp}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
    context.default_map = cli_config.lazy_defaults(context.obj)
    return 0


@app.command()
@takes_options
def chat(
    context: typer.Context, options: Options, model: Model = None, prompt: Prompt = None
) -> int:
    """Chat; a PROMPT becomes the first message. Piped input is answered as by `run`."""
    words = read_words(model, prompt, context.obj.names())
    options.check()
    if _is_terminal(sys.stdin) and _is_terminal(sys.stdout):
        return _chat(context.obj, words.model, words.prompt, options)
    return _run(context.obj, words.model, words.prompt, options, {})


@app.command()
@takes_options
def run(
    context: typer.Context,
    options: Options,
    model: Model = None,
    prompt: Prompt = None,
    stats: Annotated[
        bool, typer.Option("--stats", help="Print a line of figures to standard error.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with text and figures.")
    ] = False,
    fail_on_length: Annotated[
        bool, typer.Option("--fail-on-length", help="Exit status 3 at the token limit.")
    ] = False,
) -> int:
    """Answer one PROMPT, from the command line, from standard input, or from both."""
    words = read_words(model, prompt, context.obj.names())
    options.check()
    report = {"stats": stats, "json": as_json, "fail_on_length": fail_on_length}
    asked = words.prompt is not None or any(report.values())
    if not asked and _is_terminal(sys.stdin) and _is_terminal(sys.stdout):
        return _chat(context.obj, words.model, None, options)
    return _run(context.obj, words.model, words.prompt, options, report)


cli_pull.register(app)
cli_store.register(app)
cli_config.register(app)
cli_fit.register(app)


def _run(
    world: World, model: str | None, prompt: str | None, options: Options, report: dict[str, bool]
) -> int:
    from gemma_mtp.oneshot import Report, answer, join_prompt, piped_text, with_prompt
    from gemma_mtp.render import Printer
    from gemma_mtp.screen import Screen

    files = cli_store.resolve_or_offer(world, model, options.drafter)
    text = join_prompt(prompt, piped_text(sys.stdin))
    if not text:
        raise UsageError("The prompt is empty.", 'Try: gemma-mtp run "Why is the sky blue?"')
    printer = Printer(Screen(sys.stdout, sys.stderr), answers=not report.get("json", False))
    with closing(_load(world, files, options, printer)) as engine:
        if model:
            world.remember_used(files.name)
        _introduce(world, engine, model, options, printer)
        request = options.request(with_prompt(options.system_messages(), text))
        return answer(engine, request, printer, Report(**report))


def _chat(world: World, model: str | None, prompt: str | None, options: Options) -> int:
    from gemma_mtp.render import Printer
    from gemma_mtp.repl import Chat, converse, keyboard, quiet_keyboard
    from gemma_mtp.screen import Screen, fit

    if prompt is not None and not prompt.strip():
        raise UsageError("The prompt is empty.")
    printer = Printer(Screen(sys.stdout, sys.stdout))
    files = cli_store.resolve_or_offer(world, model, options.drafter)
    with quiet_keyboard(), closing(_load(world, files, options, printer)) as engine:
        if model:
            world.remember_used(files.name)
        header = [(2, Path(files.name).name), (1, f"ctx {engine.info.context_size}")]
        header += [(3, "/help lists the commands")]
        printer.line(fit(header, printer.screen.width), dim=True)
        _introduce(world, engine, model, options, printer)
        read = keyboard(world.history(), lambda line: printer.line(line, dim=True))
        session = Chat(engine, options, printer)
        try:
            converse(session, read, prompt)
        finally:
            world.remember_speed(files.name, session.total)
    return ExitStatus.OK


def _load(world: World, files: PairFiles, options: Options, printer: Printer) -> Engine:
    """Load a pair with progress; Ctrl-C stops it."""
    from gemma_mtp.oneshot import stoppable

    with stoppable() as cancel:

        def progress(fraction: float) -> bool:
            printer.loading(fraction)
            return not cancel.is_set()

        printer.begin()
        try:
            engine = world.load(files, options.load_options(), progress)
        finally:
            printer.finish()
    return engine


def _introduce(
    world: World, engine: Engine, model: str | None, options: Options, printer: Printer
) -> None:
    """What should be known about this pair before its first word."""
    info = engine.info
    if info.plain_reason and options.draft_setting() != 0:
        printer.line(f"No speculation, plain decoding only: {info.plain_reason}")
    if model is None and world.is_built_in(info.name) and printer.screen.live:
        printer.line(
            "This is the built-in toy model; gemma-mtp pull e2b fetches a real one.", dim=True
        )


def _is_terminal(stream: Any) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def main(arguments: Sequence[str] | None = None, world: World | None = None) -> int:
    """Run one command and return the exit status; nothing is raised but SystemExit."""
    _prepare_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = typer.main.get_command(app)
    try:
        status = command.main(
            args=words, prog_name="gemma-mtp", standalone_mode=False, obj=world or World()
        )
        sys.stdout.flush()
        return int(status or 0)
    except GemmaMtpError as error:
        return _complain(str(error), error.hint, error.status)
    except TyperException as error:
        where = getattr(error, "ctx", None)
        hint = f"{where.command_path if where else 'gemma-mtp'} --help lists what there is."
        return _complain(error.format_message(), hint, error.exit_code)
    except BrokenPipeError:
        return ExitStatus.ERROR
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except Exception as error:
        if "--verbose" in words:
            traceback.print_exc(file=sys.stderr)
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _complain(
            f"Something went wrong: {what}", "--verbose shows where.", ExitStatus.ERROR
        )


def _complain(message: str, hint: str, status: int) -> int:
    try:
        print(f"gemma-mtp: {clean(message)}", file=sys.stderr)
        if hint:
            print(f"  {hint}", file=sys.stderr)
    except OSError:  # nobody is listening; the status still tells
        pass
    return int(status)


def _prepare_streams() -> None:
    """Give every stream an encoding that cannot fail, and closed ones a place to go."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
            if not stream.isatty():
                stream.reconfigure(encoding="utf-8")
