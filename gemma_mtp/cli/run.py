"""`run`: one answer to standard output."""

from __future__ import annotations

from typing import Annotated

import typer

from gemma_mtp.cli import batch, grammar, texts, tools
from gemma_mtp.cli.chat import read_media, talk, with_files, with_usable_tools
from gemma_mtp.cli.elsewhere import environment_of
from gemma_mtp.cli.flags import (
    Audio,
    Files,
    Images,
    Model,
    NamedModel,
    NamedPrompt,
    NoStdin,
    Prompt,
    takes_options,
)
from gemma_mtp.errors import UsageError
from gemma_mtp.options import Options
from gemma_mtp.terminal.console import can_talk


@takes_options()
def run(
    context: typer.Context,
    options: Options,
    model: Model = None,
    prompt: Prompt = None,
    named: NamedModel = None,
    asked: NamedPrompt = None,
    file: Files = None,
    image: Images = None,
    audio: Audio = None,
    prompt_file: texts.PromptFile = None,
    system_file: texts.SystemFile = None,
    stats: Annotated[
        bool, typer.Option("--stats", help="Print a line of figures to standard error.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with text and figures.")
    ] = False,
    as_jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print what happens as lines of JSON, as it comes.")
    ] = False,
    fail_on_length: Annotated[
        bool,
        typer.Option("--fail-on-length", help="Exit status 3 if the reply was cut off by a limit."),
    ] = False,
    format: grammar.Format = None,
    choices: grammar.Choices = None,
    grammar_file: grammar.GrammarFile = None,
    tool_file: tools.Tools = None,
    tool_choice: tools.Choice = None,
    lines: batch.Batch = None,
    out: batch.Out = None,
    fail_fast: batch.FailFast = False,
    retry_failed: batch.RetryFailed = False,
    no_stdin: NoStdin = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Do not say which model answers.")
    ] = False,
) -> int:
    """Answer one PROMPT. On a terminal and without a PROMPT, open a chat.

    What is piped in is read to its end and comes after the PROMPT. A loop that reads
    lines needs --no-stdin.
    """
    typed = [word for word in (model, *(prompt or ())) if word is not None]
    env = environment_of(context.obj, options, context.params)
    words = env.words(typed, "run", named, asked)
    if as_json and as_jsonl:
        raise UsageError("--json and --jsonl do not go together.", "Use one of them.")
    if system_file is not None:
        system = texts.text_of(system_file, context.params["system"], "system prompt")
        options = options.with_values(system=system)
    asked = words.prompt
    if prompt_file is not None:
        asked = texts.text_of(prompt_file, asked, "prompt")
    form = grammar.wanted(format, choices, grammar_file)
    declared, choice = tools.wanted(tool_file, tool_choice)
    more = {"grammar": form, "tools": declared, "tool_choice": choice}
    if lines is not None:
        _check_batch(asked is not None or file or image or audio, stats or as_json or as_jsonl)
        if retry_failed and batch.file_of(out) is None:
            raise UsageError("--retry-failed needs the answers that there are: --out FILE.")
        wanted = batch.Wanted(
            lines, batch.file_of(out), more, fail_fast, retry_failed, fail_on_length, quiet
        )
        return batch.answer_batch(env, words.model, options, wanted)
    for flag, given in (("out", out), ("fail-fast", fail_fast), ("retry-failed", retry_failed)):
        if given:
            raise UsageError(f"--{flag} goes with --batch FILE.")
    reports = stats or as_json or as_jsonl or fail_on_length or form or declared
    if asked is None and not (reports or file or image or audio) and can_talk():
        return talk(env, words.model, None, with_usable_tools(options))
    from gemma_mtp.cli.answer import Report, answer_once

    report = Report(stats, as_json, as_jsonl, fail_on_length, quiet)
    return answer_once(
        env, words.model, with_files(asked, file), options,
        report=report, no_stdin=no_stdin or prompt_file == texts.DASH, more=more,
        media=read_media(images=image, audio=audio),
    )  # fmt: skip


def _check_batch(prompted: object, reports: bool) -> None:
    """Raise UsageError for what has no place beside --batch."""
    if prompted:
        raise UsageError("With --batch, the prompts are those of its lines; leave out the other.")
    if reports:
        raise UsageError(
            "Answers of a batch are JSON with all figures.", "Leave out --json and --stats."
        )
