"""The terminal as prompt-toolkit sees it, with what a chat needs otherwise.

Knows keys and escape sequences, but not what is typed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prompt_toolkit.input import Input, create_input
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.input.posix_utils import PosixStdinReader
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout.screen import Char
from prompt_toolkit.output import Output, create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.styles import Style

from gemma_mtp.terminal import modes
from gemma_mtp.terminal.escapes import ERASE_SCREEN_BELOW, NEW_LINES, PASTE_END
from gemma_mtp.terminal.output import unguarded
from gemma_mtp.text import OVERRIDES, REPLACED, harmless

# What stands for all of `NEW_LINES`: a key that no keyboard has.
NEW_LINE = Keys.F24

ESCAPE_WAIT = 0.05  # seconds for the rest of a key that starts with an escape
COLOURS = {"bar": "dim", "auto-suggestion": "noinherit dim", "paste": "bold", "chosen": "reverse"}
PLAIN = {"chosen": "reverse"}


def is_styled() -> bool:
    """Shades are welcome here."""
    return not os.environ.get("NO_COLOR")


def style() -> Style:
    """How things look, by what they are."""
    return Style.from_dict(COLOURS if is_styled() else PLAIN)


def open_terminal() -> tuple[Input, Output]:
    """Where keys come from and where they are shown."""
    screen = unguarded(sys.stdout)
    # Control characters are shown as signs anyway; these would be without width.
    Char.display_mappings.update(dict.fromkeys(OVERRIDES, REPLACED))
    if os.name == "nt":
        return create_input(), create_output(screen)
    output = Terminal.from_pty(screen, term=os.environ.get("TERM"))
    # Not asked where the cursor is: the answer can meet what is typed, or come after the end.
    output.enable_cpr = False
    keys = create_input()
    if isinstance(keys, Vt100Input):
        keys.stdin_reader = PosixStdinReader(keys.fileno(), "replace", sys.stdin.encoding)
        keys.vt100_parser = Parser(keys.vt100_parser.feed_key_callback)
    for sequence in NEW_LINES:
        ANSI_SEQUENCES[sequence] = NEW_LINE
    return keys, output


@contextmanager
def listening(keys: Input) -> Iterator[None]:
    """Keys come here and nowhere else, those first that were typed before."""
    with modes.reading() as typed:
        if isinstance(keys, Vt100Input):
            reader = keys.stdin_reader
            keys.vt100_parser.feed(
                reader._stdin_decoder.decode(typed)
            )  # may end within a character
            store_typeahead(keys, keys.read_keys())
        yield


@contextmanager
def asking(keys: Input) -> Iterator[None]:
    """Keys come here, but none that were typed before the question could be read: they wait."""
    modes.wait_for_a_pause()
    with listening(keys):
        before = get_typeahead(keys)
        try:
            yield
        finally:
            store_typeahead(keys, before + get_typeahead(keys))


class Held(KeyPress):
    """A key typed before something went wrong: it types as it would have, but sends nothing."""


class Terminal(Vt100_Output):
    """Writes for a prompt at the end of a conversation that must stay as it is."""

    def write(self, data: str) -> None:
        """Text; the carriage returns in it are prompt-toolkit's own."""
        super().write("\r".join(map(harmless, data.split("\r"))))

    def disable_bracketed_paste(self) -> None:
        """A paste during a reply is a paste, too."""
        if not modes.quiet:
            super().disable_bracketed_paste()

    def erase_down(self) -> None:
        """The cursor is in the first column whenever this is called."""
        self.write_raw(ERASE_SCREEN_BELOW)


class Parser(Vt100Parser):
    """Collects a paste in pieces: a text that is copied with each one takes quadratic time."""

    def reset(self, request: bool = False) -> None:
        self._pieces: list[str] = []
        self._tail = ""
        super().reset(request)

    def feed(self, data: str) -> None:
        while data and self._in_bracketed_paste:
            data = self._collect(data)
        for i, char in enumerate(data):
            self._input_parser.send(char)
            if self._in_bracketed_paste:
                self.feed(data[i + 1 :])
                return

    def _collect(self, data: str) -> str:
        """Add to the paste, and return what follows its end."""
        seen = self._tail + data  # the end mark may come in two pieces
        end = seen.find(PASTE_END)
        if end < 0:
            keep = max(len(seen) - len(PASTE_END), 0)
            self._pieces.append(seen[:keep])
            self._tail = seen[keep:]
            return ""
        text = "".join([*self._pieces, seen[:end]])
        self._pieces, self._tail, self._in_bracketed_paste = [], "", False
        self.feed_key_callback(KeyPress(Keys.BracketedPaste, text))
        return seen[end + len(PASTE_END) :]
