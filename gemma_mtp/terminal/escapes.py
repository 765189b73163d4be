"""Every escape sequence that the program writes or reads itself; styles are rich's to write.

The printer, the prompt editor and the clipboard use them. They are those of ECMA-48 and of xterm,
which all terminals of today know: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
"""

from __future__ import annotations

ERASE_LINE = "\x1b[K"  # from the cursor to the end of its row
ERASE_BELOW = "\x1b[J"  # from the cursor to the end of the screen

NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"
"""Whether what finds no room in a row is cut or goes on in the next one."""

START_BELOW = "\x1b[B\r"
"""Goes to the start of the row below, which has to be there."""
BACK = "\x1b8"
"""Returns to where `room` left the cursor."""

ERASE_SCREEN_BELOW = f" {ERASE_BELOW}\r{ERASE_LINE}"
"""As `ERASE_BELOW` in the first column, but from the second on: what is erased from the top left
corner of the screen is kept in the scrollback by some terminals."""

FRESH_ROW = f"\x1bD\r{ERASE_BELOW}"
"""Goes to the start of the row below, which is made if need be, and erases from there on. "Index"
does not depend on the column, which need not be known."""

LEAVE_ROW = f" {ERASE_BELOW}{FRESH_ROW}"
"""The same, after erasing all that is behind the text in which the cursor stands. The space is for
a cursor behind the last column: it is still on the last letter, which must not be erased."""

MARK_PASTES, DO_NOT_MARK_PASTES = "\x1b[?2004h", "\x1b[?2004l"
"""Whether the terminal puts what is pasted between marks, so that its line ends send nothing."""
PASTE_START, PASTE_END = "\x1b[200~", "\x1b[201~"
"""The marks around a paste."""

NEW_LINES = (
    "\x1b\r",
    *(f"\x1b[13;{held}u" for held in range(2, 9)),
    *(f"\x1b[27;{held};13~" for held in range(2, 9)),
)
"""Enter with Alt, and with Shift, Alt or Ctrl held from the terminals that tell these apart."""
KEYPAD_ENTER = "\x1bOM"
"""Enter beside the digits, where a program before this one has left them telling themselves apart.
"""


def up(rows: int) -> str:
    """Moves the cursor up, in its column."""
    return f"\x1b[{rows}A" if rows else ""


def down(rows: int) -> str:
    """Moves the cursor down, in its column, and not beyond the last row."""
    return f"\x1b[{rows}B" if rows else ""


def room(rows: int) -> str:
    """Makes room for so many rows below the cursor, which stays where it is and is remembered for
    `BACK`. "Index" keeps the column, a newline would not; so the column need not be known."""
    return "\x1bD" * rows + up(rows) + "\x1b7"


def to_clipboard(encoded: str) -> str:
    """Asks the terminal to put a text in base64 on the clipboard (OSC 52)."""
    return f"\x1b]52;c;{encoded}\x1b\\"
