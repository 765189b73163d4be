"""The terminal as prompt-toolkit sees it, with what a chat needs otherwise.

The console opens it; session and picker read from it and draw on it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prompt_toolkit.filters import to_filter
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.input.posix_utils import PosixStdinReader
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import HSplit, Layout, VerticalAlign
from prompt_toolkit.output import Output, create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.styles import Style

from gemma_mtp.terminal import tty_modes
from gemma_mtp.terminal.escapes import ERASE_SCREEN_BELOW, KEYPAD_ENTER, NEW_LINES
from gemma_mtp.terminal.keyboard import PIECE, Keyboard
from gemma_mtp.terminal.output import unguarded

NEW_LINE = Keys.F24  # a key that no keyboard has, for Alt-Enter, Shift-Enter and the like
ESCAPE_WAIT = 0.05  # seconds for the rest of a key that starts with an escape

STYLES = {
    "bottom-toolbar": "noreverse",
    "completion-menu.meta.completion.current": "fg:#888888 bg:#ffffff reverse",  # as the word is
}
SHADES = {"bottom-toolbar": "noreverse dim", "auto-suggestion": "noinherit dim", "paste": "bold"}


def is_styled() -> bool:
    """Whether colours and dim text may be used: NO_COLOR is not set."""
    return not os.environ.get("NO_COLOR")


def style() -> Style:
    """How things look, by what they are."""
    return Style.from_dict(STYLES | (SHADES if is_styled() else {}))


def open_terminal() -> tuple[Input, Output]:
    """Where keys come from and where they are shown."""
    screen = unguarded(sys.stdout)
    if os.name == "nt":
        return create_input(), create_output(screen)
    for sequence in NEW_LINES:
        ANSI_SEQUENCES[sequence] = NEW_LINE
    ANSI_SEQUENCES[KEYPAD_ENTER] = Keys.ControlM
    output = ChatOutput.from_pty(screen, term=os.environ.get("TERM"))
    # Not asked where the cursor is: the answer can meet what is typed, or come after the end.
    output.enable_cpr = False
    keys = create_input()
    if isinstance(keys, Vt100Input):
        keys.stdin_reader = TypeAheadReader(tty_modes.keyboard())
    return keys, output


def draw_at_the_top(layout: Layout) -> None:
    """Let the toolbar stay right below what is typed, instead of at the lowest row it ever had."""
    assert isinstance(layout.container, HSplit)
    layout.container.align = VerticalAlign.TOP
    layout.current_window.dont_extend_height = to_filter(True)


@contextmanager
def listening(keys: Input) -> Iterator[None]:
    """Keys come here and nowhere else, those first that were typed before."""
    with tty_modes.uncollected():
        store_typeahead(keys, keys.read_keys())
        yield


@contextmanager
def listening_from_now_on(keys: Input) -> Iterator[None]:
    """Keys come here, but none that were typed before the question could be read: they wait."""
    tty_modes.wait_for_a_pause()
    with listening(keys):
        before = get_typeahead(keys)
        try:
            yield
        finally:
            store_typeahead(keys, before + get_typeahead(keys))


class TypeAheadReader(PosixStdinReader):
    """Text from the terminal; first comes what was typed while nothing was read."""

    def __init__(self, keyboard: Keyboard) -> None:
        super().__init__(keyboard.file)
        self._keyboard = keyboard

    def read(self, count: int = PIECE) -> str:
        """What there is just now; a character may still be on its way."""
        try:
            text = tty_modes.take_type_ahead() or self._keyboard.read()
        except OSError:
            self.closed = True
            return ""
        self.closed = self._keyboard.closed
        return text


class ChatOutput(Vt100_Output):
    """Writes for a prompt at the end of a conversation that must stay as it is."""

    def get_rows_below_cursor_position(self) -> int:
        """At least the row of the cursor; how many there are, the terminal is not asked."""
        return 1

    def disable_bracketed_paste(self) -> None:
        """A paste during a reply is a paste, too; `tty_modes` switches the marks off."""

    def erase_down(self) -> None:
        """The cursor is in the first column whenever this is called."""
        self.write_raw(ERASE_SCREEN_BELOW)
