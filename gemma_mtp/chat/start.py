"""How a chat begins: what was named, piped in or saved is found, loaded and shown.

The commands `chat` and `run --interactive` call it; from the first prompt on, `loop` goes on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gemma_mtp.api import Media, PairFiles
from gemma_mtp.chat import toolbar, verbs
from gemma_mtp.chat.attachments import as_one, read_any, read_each
from gemma_mtp.chat.chat import Chat
from gemma_mtp.chat.environment import Environment
from gemma_mtp.chat.keeping import offer_to_keep
from gemma_mtp.chat.loading import introduce, what_mtp_does
from gemma_mtp.chat.loop import converse
from gemma_mtp.chat.media import attach_media
from gemma_mtp.chat.tools import meet
from gemma_mtp.chat.verbs.files import attach_all
from gemma_mtp.chat.verbs.saved import pick, take_up
from gemma_mtp.conversations.archive import Saved
from gemma_mtp.conversations.attachments import Attached, Attachment
from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.files.media import KINDS
from gemma_mtp.files.reading import Say, piped_text
from gemma_mtp.options import Options
from gemma_mtp.terminal.console import is_terminal
from gemma_mtp.terminal.prompt.completion import Completion, paths
from gemma_mtp.terminal.render import Printer
from gemma_mtp.terminal.screen import Screen, fit
from gemma_mtp.terminal.tty_modes import cbreak_mode, cooked_mode


@dataclass(frozen=True)
class Beginning:
    """What the command line says about a chat, besides the options of replies.

    `system` is a system prompt that a saved conversation is to go on with, instead of its own.
    """

    model: str | None = None
    prompt: str | None = None
    files: Sequence[str] = ()
    images: Sequence[str] = ()
    audio: Sequence[str] = ()
    resume: bool = False
    latest: bool = False
    system: str | None = None
    no_stdin: bool = False


def start(env: Environment, beginning: Beginning, options: Options) -> None:
    """Hold a chat from the first line to the last."""
    printer = Printer(Screen(sys.stdout, sys.stdout))
    context = _context(beginning, printer.line)
    take_terminal()
    again = beginning.resume or beginning.latest
    # Whether to pull a model is asked before the keyboard becomes the chat's.
    files = None if again else _files(env, beginning.model, options, beginning)
    with cbreak_mode(printer.screen.typed):
        from gemma_mtp.terminal.prompt.chat_console import ChatConsole

        console = ChatConsole(
            history=env.history(),
            completions=lambda typed: completions(chat, typed),
            toolbar=lambda: toolbar.parts(chat),
            vi=options.vi,
        )
        chat = Chat(env, console, printer, options)
        try:
            _begin(chat, beginning, context, files)
        finally:
            chat.close()
            chat.tools.close()


def _begin(
    chat: Chat, beginning: Beginning, context: list[Attached], files: PairFiles | None
) -> None:
    saved = _saved(chat, beginning)
    if beginning.resume and saved is None:
        return
    named = beginning.model or (saved.model if saved else None)
    if files is None:
        with cooked_mode():
            files = _files(chat.env, named, chat.options, beginning)
    chat.use(files, remember=beginning.model is not None)
    _header(chat)
    if mtp := what_mtp_does(chat.env, chat.engine, chat.options):
        chat.note(mtp)
    introduce(chat.env, chat.engine, chat.options, chat.printer, named=named is not None)
    meet(chat)
    if saved:
        take_up(chat, saved)
        if beginning.system is not None:
            chat.conversation = replace(chat.conversation, system=beginning.system)
    if texts := [one for one in context if isinstance(one, Attachment)]:
        attach_all(chat, texts)
    if media := [one for one in context if isinstance(one, Media)]:
        attach_media(chat, media)
    converse(chat, beginning.prompt)
    offer_to_keep(chat)


def _files(
    env: Environment, model: str | None, options: Options, beginning: Beginning
) -> PairFiles:
    kinds = [kind for kind in KINDS if getattr(beginning, kind.key)]
    return env.resolve_or_offer(model, options, kinds)


def _context(beginning: Beginning, say: Say) -> list[Attached]:
    """What goes along with the first message: files, and what was piped in.

    A prompt is sent at once and needs all of them; without one, what cannot be read is named.
    """
    found, errors = read_each(beginning.files, say, read_any)
    for kind in KINDS:
        shown, more = read_each(getattr(beginning, kind.key), say, kind.read)
        found, errors = [*found, *shown], [*errors, *more]
    if errors and (beginning.prompt is not None or not found):
        raise as_one(errors)
    for error in errors:
        say(str(error))
    if beginning.no_stdin:
        return found
    piped = piped_text(sys.stdin, say, prompted=beginning.prompt is not None)
    return [*found, Attachment("standard input", piped)] if piped else found


def _saved(chat: Chat, beginning: Beginning) -> Saved | None:
    archive = chat.record.archive
    id = archive.latest() if beginning.latest else None
    if archive.problem:
        raise GemmaMtpError(archive.problem)
    if beginning.latest and id is None:
        raise UsageError("There is no saved conversation to go on with.", "gemma-mtp chat")
    if beginning.resume:
        id = pick(chat, "")
    return None if id is None else archive.read(id)


def _header(chat: Chat) -> None:
    info = chat.engine.info
    files = chat.files
    name = Path(files.name).name if files else ""
    parts = [(2, f"{chat.model} ({name})" if files and files.preset else name)]
    if info.server:
        parts.append((3, f"at {info.server}"))
    if info.context_size:
        parts.append((1, f"ctx {info.context_size}"))
    if not chat.record.saves:
        parts.append((4, "not saved"))
    parts.append((3, "/help lists the commands"))
    chat.note(fit(parts, chat.printer.screen.width))


def completions(chat: Chat, typed: str) -> Iterator[Completion]:
    """What the text before the cursor may become."""
    for word, text, description in verbs.suggestions(chat, typed):
        yield Completion(text, -len(word), description)
    path = verbs.path_in(typed)
    if path is not None:
        yield from paths(path)


def take_terminal() -> None:
    """Make the terminal the standard input, where something was piped in."""
    if is_terminal(sys.stdin):
        return
    try:
        # By its own name, since some systems cannot wait for keys on /dev/tty.
        name = "CONIN$" if os.name == "nt" else os.ttyname(sys.stdout.fileno())
        keyboard = os.open(name, os.O_RDWR)
    except OSError as error:
        raise UsageError(
            "There is no terminal to talk on.", "Without --interactive one answer is written."
        ) from error
    os.dup2(keyboard, 0)
    if keyboard:
        os.close(keyboard)
    sys.stdin = open(0, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
