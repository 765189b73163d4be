"""`chat`: which chat the words of the command line ask for; piped input is answered as by `run`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from gemma_mtp.errors import ExitStatus, UsageError
from gemma_mtp.options import Options
from gemma_mtp.terminal.console import can_talk, is_terminal, note

if TYPE_CHECKING:
    from gemma_mtp.api import Media
    from gemma_mtp.cli.environment import Environment


@takes_options(chat=True)
def chat(
    context: typer.Context,
    options: Options,
    model: Model = None,
    prompt: Prompt = None,
    named: NamedModel = None,
    asked: NamedPrompt = None,
    file: Files = None,
    image: Images = None,
    audio: Audio = None,
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
    no_stdin: NoStdin = False,
) -> int:
    """Chat; a PROMPT becomes the first message. Conversations are saved by themselves. Piped input
    is answered as by `run`, or with --interactive goes along with the first message."""
    talks = interactive or can_talk()
    typed = [word for word in (model, *(prompt or ())) if word is not None]
    env = environment_of(context.obj, options, context.params)
    words = env.words(typed, "chat" if talks else "run", named, asked)
    if resume and latest:
        raise UsageError(
            "--continue and --resume do not go together.",
            "--continue takes the latest conversation, --resume lets you pick one.",
        )
    if not talks and resume:
        raise UsageError(
            "--resume needs a terminal, to pick a conversation on.",
            "--continue takes the latest one.",
        )
    if (
        not talks
        and is_terminal(sys.stdin)
        and words.prompt is None
        and not (file or image or audio)
    ):
        raise UsageError(
            "The output is no terminal, which a chat needs.",
            'gemma-mtp run "Why is the sky blue?" writes one answer anywhere.',
        )
    if talks:
        beginning: dict[str, Any] = {"files": file or [], "images": image or []}
        beginning["audio"] = audio or []
        beginning |= {"resume": resume, "latest": latest}
        system = context.params["system"]  # typed, and not from config.toml
        beginning |= {"no_stdin": no_stdin, "system": system}
        if context.params["mcp"] is None:
            options = with_usable_tools(options)
        return talk(env, words.model, words.prompt, options, **beginning)
    _refuse_tools(options, context.params["mcp"])
    from gemma_mtp.cli.answer import Report, answer_once

    more: dict[str, Any] = {"report": Report(), "no_stdin": no_stdin}
    more["media"] = read_media(images=image, audio=audio)
    if latest:
        from gemma_mtp.cli.continued import Continued

        more["continued"] = Continued(env, options, context.params["system"])
    whole = with_files(words.prompt, file)
    return answer_once(env, words.model, whole, options, **more)


def _refuse_tools(options: Options, typed: str | None) -> None:
    """Where nobody can be asked, no tool runs."""
    if typed is not None:
        raise UsageError(
            "Tools need a terminal: each call is asked for before it runs.",
            "gemma-mtp run --tools FILE prints the calls instead.",
        )
    if options.mcp is not None:
        note(f"the tools of {options.mcp} are off: there is no terminal to ask on.")


def with_usable_tools(options: Options) -> Options:
    """A file of servers in config.toml that is gone or makes no sense costs a sentence, not the
    chat."""
    if options.mcp is None:
        return options
    from gemma_mtp.tools.server_config import read_config

    try:
        read_config(Path(options.mcp).expanduser(), note)
    except (UsageError, RuntimeError) as error:
        note(f"{error} This chat has no tools; gemma-mtp config mcp FILE names another file.")
        return replace(options, mcp=None)
    return options


def talk(
    env: Environment, model: str | None, prompt: str | None, options: Options, **more: Any
) -> int:
    """Hold a chat; `more` is what else a `Beginning` says."""
    from gemma_mtp.chat.start import Beginning, start

    if prompt is not None and not prompt.strip():
        raise UsageError("The prompt is empty.")
    start(env, Beginning(model, prompt, **more), options)
    return ExitStatus.OK


def with_files(prompt: str | None, files: list[str] | None) -> str | None:
    """The prompt with the text of files before it, as one message; says what of it is not sent."""
    from gemma_mtp.chat.attachments import read_files, tell_of_media
    from gemma_mtp.conversations.attachments import compose

    tell_of_media(prompt or "", note)
    return compose(read_files(files, note), prompt or "") if files else prompt


def read_media(**files: list[str] | None) -> list[Media]:
    """The pictures that go along, of each kind by its key. Raises UsageError that names each that
    cannot be read."""
    from gemma_mtp.chat.attachments import read_media
    from gemma_mtp.files.media import KINDS

    found = [(kind, named) for kind in KINDS if (named := files[kind.key])]
    return [part for kind, named in found for part in read_media(named, note, kind)]
