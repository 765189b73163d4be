"""Tables and bars on rich: fitted to the window on a terminal, whole and plain in a pipe.

The commands print theirs with `show`; Markdown, `/stats` and `/race` take `lines` and write them
through their screen. rich is imported when there is something to draw.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, TextIO

from gemma_mtp.terminal.output import unguarded
from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.text import harmless

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table as RichTable

    Block = RenderableType
    """A text, or anything that rich can draw."""
else:
    Block = object

ENDLESS = 10**5  # columns of what is not a terminal
GAP = 2  # columns between two columns of a table
LEAST_TEXT = 20  # columns of a text that can still be read
LONGEST_BAR = 60  # columns; longer ones are no easier to compare


@dataclass(frozen=True)
class Table:
    """Rows of texts below `heads`, without lines. Columns with a head in `right` are flush right.

    On a terminal that is too narrow for all of it, texts of the last column go on in the next row,
    as long as it has `LEAST_TEXT` columns. Before it gets less, the columns named in `dropped` go,
    the first of them first.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    dropped: Sequence[str] = ()

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        made = self._without(())
        for count in range(len(self.dropped) + 1):
            made = self._without(self.dropped[:count])
            made.columns[-1].max_width = LEAST_TEXT
            wanted = made.__rich_measure__(console, options.update(width=ENDLESS)).maximum
            made.columns[-1].max_width = None
            if wanted <= options.max_width:
                break
        yield made

    def _without(self, dropped: Sequence[str]) -> RichTable:
        from rich.table import Table

        made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        made.show_header = any(self.heads)
        kept = [place for place, head in enumerate(self.heads) if head not in dropped]
        for head in (self.heads[place] for place in kept):
            side = "right" if head in self.right else "left"
            made.add_column(head, justify=side, overflow="fold")  # type: ignore[arg-type]
        for row in self.rows:
            made.add_row(*(harmless(row[place]) for place in kept))
        return made


def facts(rows: Iterable[tuple[str, str]]) -> Table:
    """A line or more for each label and what there is to say."""
    return Table(("", ""), [(f"  {label}", words) for label, words in rows])


def bars(rows: Sequence[tuple[str, float, str]]) -> RichTable:
    """A line for each (label, value, note): the longest bar fills what the others leave."""
    from rich.bar import Bar
    from rich.table import Column, Table

    most = max((value for _, value, _ in rows), default=0.0) or 1.0
    made = Table.grid("label", Column(max_width=LONGEST_BAR), "note", padding=(0, 1))
    for label, value, note in rows:
        made.add_row(f"  {label}", Bar(most, 0, value), note)
    return made


def progress_bar(share: float, width: int) -> list[Piece]:
    """How much of something is done; without colours, what is not done is blank."""
    from rich.progress_bar import ProgressBar

    bar = ProgressBar(1, share, width, style="dim", complete_style="green", finished_style="green")
    (found,) = lines(bar, width)
    return [*found, Piece(" " * (width - sum(len(piece.text) for piece in found)))]


def lines(block: Block, width: int = ENDLESS) -> list[list[Piece]]:
    """The lines of a text, which is broken between words, or of anything that rich can draw,
    without blanks at their ends."""
    from rich.text import Text

    console = _drawing()
    drawn = Text(harmless(block)) if isinstance(block, str) else block
    found = console.render_lines(drawn, console.options.update(width=width), pad=False)
    return [_trimmed([Piece(text, style) for text, style, _ in line]) for line in found]


def plain_lines(block: Block, width: int = ENDLESS) -> list[str]:
    """The same without its styles."""
    return ["".join(piece.text for piece in line) for line in lines(block, width)]


def show(*blocks: Block, widest: int = ENDLESS) -> None:
    """Write texts and tables to standard output, on a terminal in `widest` columns at the most.

    NO_COLOR, FORCE_COLOR, COLUMNS and TERM mean what they mean to rich.
    """
    from rich.text import Text

    console = _console(unguarded(sys.stdout), "auto")
    width = min(console.width, widest) if sys.stdout.isatty() else ENDLESS
    for line in (line for block in blocks for line in lines(block, width)):
        console.print(Text.assemble(*((text, style or "") for text, style in line)), soft_wrap=True)


@cache
def _drawing() -> Console:
    """A console that nothing is written to: it only lays out."""
    return _console(io.StringIO(), "standard")


def _console(file: TextIO, colours: Literal["auto", "standard"]) -> Console:
    """One that takes texts as they are."""
    from rich.console import Console

    return Console(file=file, color_system=colours, markup=False, emoji=False, highlight=False)


def _trimmed(line: list[Piece]) -> list[Piece]:
    while line and not line[-1].text.rstrip():
        line.pop()
    return [*line[:-1], Piece(line[-1].text.rstrip(), line[-1].style)] if line else []
