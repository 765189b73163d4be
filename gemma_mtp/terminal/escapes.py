"""Every escape sequence that the program writes or reads itself; styles are rich's to write.

The printer, the prompt editor and the clipboard use them. They are those of ECMA-48 and of xterm,
which all terminals of today know: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
"""

from __future__ import annotations

ERASE_LINE = "\x1b[K"  # from the cursor to the end of its row
ERASE_BELOW = "\x1b[J"  # from the cursor to the end of the screen

ROW_BELOW = "\x1bD\x1b[A\x1b7\x1b[B\r"
"""Makes room for a row below the cursor, remembers where the cursor is, and goes to the start of
that row. "Index" keeps the column, a newline would not; so the column need not be known."""
BACK = "\x1b8"
"""Returns to where `ROW_BELOW` came from."""

ERASE_SCREEN_BELOW = f" {ERASE_BELOW}\r{ERASE_LINE}"
"""As `ERASE_BELOW` in the first column, but from the second on: what is erased from the top left
corner of the screen is kept in the scrollback by some terminals."""

MARK_PASTES, DO_NOT_MARK_PASTES = "\x1b[?2004h", "\x1b[?2004l"
"""Whether the terminal puts what is pasted between marks, so that its line ends send nothing."""
PASTE_END = "\x1b[201~"
"""The mark after a paste."""

NEW_LINES = ("\x1b\r", "\x1b[13;2u", "\x1b[27;2;13~")
"""Alt-Enter, and Shift-Enter from the terminals that tell it apart."""


def up(rows: int) -> str:
    """Moves the cursor up, in its column."""
    return f"\x1b[{rows}A" if rows else ""


def left(columns: int) -> str:
    """Moves the cursor to the left, in its row."""
    return f"\x1b[{columns}D"


def to_column(column: int) -> str:
    """Moves the cursor within its row; the first column is 0."""
    return f"\x1b[{column + 1}G"


def to_clipboard(encoded: str) -> str:
    """Asks the terminal to put a text in base64 on the clipboard (OSC 52)."""
    return f"\x1b]52;c;{encoded}\x1b\\"
