"""The chat: reads lines, acts on commands, turns messages into replies, remembers both.

Knows neither llama.cpp nor how anything looks. `Chat` knows no keyboard either: whoever has lines
can feed it.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gemma_mtp import commands
from gemma_mtp.arguments import Options, clean, refuse_image
from gemma_mtp.errors import DoesNotFit, GemmaMtpError
from gemma_mtp.events import End, Message, Stats
from gemma_mtp.oneshot import Engine, with_prompt, write_reply
from gemma_mtp.render import Printer

if TYPE_CHECKING:
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings

PROMPT = ">>> "
QUOTES = '"""'

Reader = Callable[[str], str]
"""Reads a line, starting from a given text; raises EOFError when there are no more."""


class Chat:
    """A conversation with one loaded pair."""

    def __init__(self, engine: Engine, options: Options, printer: Printer) -> None:
        self.engine, self.options, self.printer = engine, options, printer
        self.open = True
        self.messages: tuple[Message, ...] = options.system_messages()
        self.last: Stats | None = None
        self.total = Stats()
        self.replies = 0

    def clear(self) -> None:
        """Forget what was said; the session's figures stay."""
        self.messages = self.options.system_messages()

    def feed(self, line: str) -> str:
        """Act on one line. Returns it when nothing came of it, to be corrected or sent again."""
        text = clean(line).strip()
        if text.startswith(QUOTES):
            return self.say(text.removeprefix(QUOTES).removesuffix(QUOTES).strip("\n"))
        verb = commands.read_verb(text)
        if verb:
            commands.run(self, *verb)
            return ""
        return self.say(text)

    def say(self, text: str) -> str:
        """Send one message and remember the reply; an error loses neither session nor message."""
        if not text.strip():
            return ""
        try:
            refuse_image(text)
            request = self.options.request(with_prompt(self.messages, text))
            end = write_reply(self.engine, request, self.printer)
        except KeyboardInterrupt:  # a second Ctrl-C: the engine did not get to say goodbye
            self.printer.line("stopped", dim=True)
            return self._remember(text, Message("assistant", self.printer.said))
        except DoesNotFit as error:
            hint = error.hint or "/clear starts afresh; a larger --ctx holds more."
            self.printer.error(DoesNotFit(str(error), hint))
            return text
        except GemmaMtpError as error:
            self.printer.error(error)
            return text
        except Exception as error:
            self._failed(error)
            return text
        return self._record(text, end)

    def _record(self, text: str, end: End) -> str:
        again = self._remember(text, end.message)
        self.last, self.total = end.stats, self.total + end.stats
        self.replies += 1
        self.printer.summary(end)
        if end.reason == "context":
            used, size = end.stats.context_used, end.stats.context_size
            self.printer.line(
                f"The context is full: {used} of {size} tokens. "
                "/clear starts afresh; a larger --ctx holds more."
            )
        return again

    def _remember(self, text: str, reply: Message) -> str:
        """Keep message and reply; a message that got no word in reply is handed back instead."""
        if not reply.content:
            return text
        self.messages = (*with_prompt(self.messages, text), reply)
        return ""

    def _failed(self, error: Exception) -> None:
        self.printer.line(f"The reply failed: {error or type(error).__name__}")
        if self.options.verbose:
            traceback.print_exc(file=sys.stderr)


def converse(chat: Chat, read: Reader, first: str | None = None) -> None:
    """Read and answer until the user leaves; `first` is a message that was given beforehand."""
    again = ""
    if first:
        chat.printer.message(PROMPT, first)
        again = chat.say(first)
    while chat.open:
        try:
            line = read(again)
            again = ""
            again = chat.feed(line)
            if again:
                chat.printer.line("The message is back on the line; Ctrl-C empties it.", dim=True)
        except EOFError:
            return
        except KeyboardInterrupt:  # meant for a reply that had just ended
            continue


@contextmanager
def quiet_keyboard() -> Iterator[None]:
    """Keep what is typed during a reply out of it; it waits for the next prompt.

    Surrounds a whole chat, since a key that meets a change of mode can get lost.
    """
    try:
        import termios

        keyboard = sys.stdin.fileno()
        before = termios.tcgetattr(keyboard)
    except Exception:  # no such module, or no such terminal: then it stays as it is
        yield
        return
    quiet = [*before]
    quiet[3] = before[3] & ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(keyboard, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def keyboard(history: Path | None, hint: Callable[[str], None]) -> Reader:
    """A reader with editing, history and completion; `hint` shows a line above the prompt."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.shortcuts import CompleteStyle

    class Verbs(Completer):
        def get_completions(self, document, event):  # type: ignore[no-untyped-def]
            typed = document.text_before_cursor
            for found in commands.completions(typed):
                name = f"/{found.names[0]}"
                yield Completion(name, -len(typed), display_meta=found.summary)

    session: PromptSession[str] = PromptSession(
        PROMPT,
        history=_history(history),
        completer=Verbs(),
        complete_style=CompleteStyle.READLINE_LIKE,
        complete_while_typing=False,
        key_bindings=_keys(hint),
        multiline=True,
        prompt_continuation="... ",
        reserve_space_for_menu=0,
        enable_suspend=True,
    )
    return lambda default: session.prompt(default=default)


def _history(path: Path | None) -> History:
    """Lines typed earlier, in a file that only its owner can read; in memory where none can be."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class Kept(FileHistory):
        def store_string(self, string: str) -> None:
            with suppress(OSError):  # a full disk is no reason to end a chat
                super().store_string(string)

    if path is not None:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600))
            return Kept(str(path))
    return InMemoryHistory()


def _keys(hint: Callable[[str], None]) -> KeyBindings:
    from prompt_toolkit.application import run_in_terminal
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()

    @keys.add("enter")
    def accept(event: KeyPressEvent) -> None:
        """Send, unless a `\"\"\"` is still open."""
        buffer = event.current_buffer
        text = buffer.text.strip()
        if text.startswith(QUOTES) and not (len(text) >= 6 and text.endswith(QUOTES)):
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    @keys.add("<sigint>")
    def discard(event: KeyPressEvent) -> None:
        """Clear the line; on an empty one say how to leave."""
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            run_in_terminal(lambda: hint("Ctrl-D or /bye leaves."))

    return keys
