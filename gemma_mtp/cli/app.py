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
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from gemma_mtp import __version__
from gemma_mtp.cli import (
    bench,
    chats,
    config,
    doctor,
    models,
    pull,
    verify,
)
from gemma_mtp.cli.environment import Environment
from gemma_mtp.cli.positionals import in_our_words, read_words
from gemma_mtp.errors import ExitStatus, GemmaMtpError, UsageError
from gemma_mtp.settings import Options, takes_options
from gemma_mtp.terminal.output import Closed, guarded
from gemma_mtp.text import clean

app = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Chat with Gemma 4 on your own machine, with speculative decoding measured live.",
)
UNWRITABLE = (errno.ENOSPC, errno.EIO, errno.EBADF)
Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL", help="A name such as e2b, or a GGUF file; else the one used last."
    ),
]
Prompt = Annotated[str | None, typer.Argument(metavar="PROMPT", help="What to ask.")]
NoStdin = Annotated[
    bool, typer.Option("--no-stdin", help="Leave standard input alone, as in a loop over lines.")
]


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
    context.default_map = config.lazy_defaults(context.obj)
    return 0


@app.command()
@takes_options
def chat(
    context: typer.Context,
    options: Options,
    model: Model = None,
    prompt: Prompt = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", "-f", metavar="FILE", help="Send this text file along (repeatable)."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Pick a saved conversation and go on with it.")
    ] = False,
    latest: Annotated[
        bool, typer.Option("--continue", help="Go on with the latest conversation.")
    ] = False,
    interactive: Annotated[
        bool,
        typer.Option("--interactive", "-i", help="Piped input goes along; talk on the terminal."),
    ] = False,
    overflow: Annotated[
        str,
        typer.Option(metavar="ask|drop-oldest|stop", help="What to do when the context is full."),
    ] = "ask",
    vi: Annotated[bool, typer.Option("--vi/--emacs", help="Keys of vi, or of Emacs.")] = False,
    no_stdin: NoStdin = False,
) -> int:
    """Chat; a PROMPT becomes the first message. Conversations are saved by themselves. Piped input
    is answered as by `run`, or with --interactive goes along with the first message."""
    talks = interactive or (_is_terminal(sys.stdin) and _is_terminal(sys.stdout))
    words = read_words(model, prompt, context.obj.names(), chat=talks)
    options.check()
    if resume and latest:
        raise UsageError(
            "--continue and --resume do not go together.",
            "--continue takes the latest conversation, --resume lets you pick one.",
        )
    if not talks and (resume or latest):
        raise UsageError("A saved conversation needs a terminal.", "gemma-mtp chat --continue")
    if not talks and _is_terminal(sys.stdin) and words.prompt is None and not file:
        raise UsageError(
            "The output is no terminal, which a chat needs.",
            'gemma-mtp run "Why is the sky blue?" writes one answer anywhere.',
        )
    if talks:
        beginning = {"files": file or [], "resume": resume, "latest": latest}
        beginning |= {"overflow": overflow, "vi": vi, "no_stdin": no_stdin}
        source = context.get_parameter_source("system")
        if source is not None and source.name == "COMMANDLINE":  # not from config.toml
            beginning["system"] = options.system
        return _chat(context.obj, words.model, words.prompt, options, beginning)
    prompt = _with_files(words.prompt, file)
    return _run(context.obj, words.model, prompt, options, {}, no_stdin)


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
        bool,
        typer.Option("--fail-on-length", help="Exit status 3 if the reply was cut off by a limit."),
    ] = False,
    no_stdin: NoStdin = False,
) -> int:
    """Answer one PROMPT. On a terminal and without a PROMPT, open a chat.

    What is piped in is read to its end and comes after the PROMPT. Not so a file that something
    else has begun to read, if there is a PROMPT; a loop over a pipe needs --no-stdin.
    """
    words = read_words(model, prompt, context.obj.names())
    options.check()
    report = {"stats": stats, "json": as_json, "fail_on_length": fail_on_length}
    asked = words.prompt is not None or any(report.values())
    if not asked and _is_terminal(sys.stdin) and _is_terminal(sys.stdout):
        return _chat(context.obj, words.model, None, options, {})
    return _run(context.obj, words.model, words.prompt, options, report, no_stdin)


pull.register(app)
models.register(app)
chats.register(app)
config.register(app)
doctor.register(app)
bench.register(app)
verify.register(app)


def _run(
    env: Environment,
    model: str | None,
    prompt: str | None,
    options: Options,
    report: dict[str, bool],
    no_stdin: bool,
) -> int:
    from gemma_mtp.chat.loading import introduce, load
    from gemma_mtp.cli.run import Report, answer, join_prompt, with_prompt
    from gemma_mtp.files.reading import piped_text
    from gemma_mtp.terminal.render import Printer
    from gemma_mtp.terminal.screen import Screen

    files = models.resolve_or_offer(env, model, options.drafter)
    stdin = None if no_stdin else sys.stdin
    text = join_prompt(prompt, piped_text(stdin, _note, prompted=prompt is not None))
    if not text:
        raise UsageError("The prompt is empty.", 'Try: gemma-mtp run "Why is the sky blue?"')
    printer = Printer(Screen(sys.stdout, sys.stderr), answers=not report.get("json", False))
    started = perf_counter()
    with closing(load(env, files, options, printer)) as engine:
        loaded = perf_counter() - started
        if model:
            env.remember_used(files.name)
        introduce(env, engine, options, printer, named=model is not None)
        request = options.request(with_prompt(options.system_messages(), text))
        return answer(engine, request, printer, Report(**report, load_seconds=loaded))


def _chat(
    env: Environment,
    model: str | None,
    prompt: str | None,
    options: Options,
    more: dict[str, Any],
) -> int:
    from gemma_mtp.chat.start import Beginning, start

    if prompt is not None and not prompt.strip():
        raise UsageError("The prompt is empty.")
    start(env, Beginning(model, prompt, **more), options)
    return ExitStatus.OK


def _with_files(prompt: str | None, files: list[Path] | None) -> str | None:
    if not files:
        return prompt
    from gemma_mtp.chat.attachments import read_files
    from gemma_mtp.conversations.attachments import compose

    return compose(read_files([str(file) for file in files], _note), prompt or "")


def _note(text: str) -> None:
    print(f"gemma-mtp: {text}", file=sys.stderr, flush=True)


def _is_terminal(stream: Any) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def main(arguments: Sequence[str] | None = None, env: Environment | None = None) -> int:
    """Run one command and return the exit status; nothing is raised but SystemExit."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_streams()
    with guarded():
        return _main(words, env or Environment())


def _main(words: list[str], env: Environment) -> int:
    try:
        command = typer.main.get_command(app)
        status = command.main(args=words, prog_name="gemma-mtp", standalone_mode=False, obj=env)
        sys.stdout.flush()
        return int(status or 0)
    except GemmaMtpError as error:
        return _complain(str(error), error.hint, error.status)
    except TyperException as error:
        where = getattr(error, "ctx", None)
        path = where.command_path if where else "gemma-mtp"
        said = in_our_words(error.format_message(), path, words, env.names)
        return _complain(*said, error.exit_code)
    except BrokenPipeError:
        return ExitStatus.ERROR
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE and not error.filename:
            return _complain(
                f"The output cannot be written: {error.strerror}.", "", ExitStatus.ERROR
            )
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
    """Give every stream an encoding that cannot fail. A closed standard error swallows what is
    written; a closed standard output refuses it, since answers that nobody gets are no success."""
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
