"""`run`: one answer to standard output."""

from __future__ import annotations

from typing import Annotated

import typer

from gemma_mtp.cli.chat import talk
from gemma_mtp.cli.flags import Model, NoStdin, Prompt, takes_options
from gemma_mtp.cli.positionals import read_words
from gemma_mtp.settings import Options
from gemma_mtp.terminal.console import can_talk, note


@takes_options()
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
    reports = stats or as_json or fail_on_length
    if words.prompt is None and not reports and can_talk():
        return talk(context.obj, words.model, None, options)
    from gemma_mtp.chat.attachments import tell_of_images
    from gemma_mtp.cli.answer import Report, answer_once

    tell_of_images(words.prompt or "", note)
    report = Report(stats, as_json, fail_on_length)
    return answer_once(
        context.obj, words.model, words.prompt, options, report=report, no_stdin=no_stdin
    )
