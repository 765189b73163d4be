"""Tables and bars on rich: fitted to the window on a terminal, whole and plain in a pipe.

The commands print theirs with `show`; Markdown, `/stats` and `/race` take `lines` and write them
through their screen. rich is imported when there is something to draw.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, TextIO

from gemma_mtp.terminal.console import is_dumb
from gemma_mtp.terminal.output import let_go, unguarded
from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.text import harmless

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text

    Block = RenderableType
    """A text, or anything that rich can draw."""
else:
    Block = object

ENDLESS = 10**5  # columns of what is not a terminal
GAP = 2  # columns between two columns of a table
LEAST_TEXT = 20  # columns of a text that can still be read
NARROWEST = 10  # columns of a text where nothing else can make room for it
LONGEST_BAR = 60  # columns; longer ones are no easier to compare


@dataclass(frozen=True)
class Table:
    """Rows of texts below `heads`, without lines. Columns with a head in `right` are flush right.

    On a terminal that is too narrow for all of it, texts of the last column go on in the next row,
    as long as it has `LEAST_TEXT` columns. Before it gets less, the columns named in `below`, the
    first of them first, go into a line of their own below each row. Where that is not enough, each
    row becomes a list. Nothing is left out. The rows numbered in `dim` matter less.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    below: Sequence[str] = ()
    dim: Container[int] = ()

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        for count in range(len(self.below) + 1):
            kept = [i for i, head in enumerate(self.heads) if head not in self.below[:count]]
            least = LEAST_TEXT if count < len(self.below) else NARROWEST
            widths = self._widths(kept, options.max_width, least)
            if widths:
                yield from self._laid_out(kept, widths)
                return
        yield from as_lists(*self._texts())

    def _widths(self, kept: list[int], room: int, least: int) -> list[int]:
        """Columns of each part that is kept; none where the last would get too few."""
        from rich.cells import cell_len

        *widths, last = (
            max(cell_len(line) for text in texts for line in harmless(text).split("\n"))
            for texts in ([self.heads[i], *(row[i] for row in self.rows)] for i in kept)
        )
        left = room - sum(widths) - GAP * len(widths)
        return [*widths, min(last, left)] if left >= min(last, least) else []

    def _laid_out(self, kept: list[int], widths: list[int]) -> Iterator[RenderableType]:
        from rich.padding import Padding

        if any(self.heads):
            yield self._line(self.heads, kept, widths, "bold")
        for number, row in enumerate(self.rows):
            yield self._line(row, kept, widths, "dim" if number in self.dim else "")
            rest = ((i, row[i]) for i in range(len(row)) if i not in kept)
            words = [f"{self.heads[i]}: {harmless(text)}" for i, text in rest if text not in "-"]
            if words:
                yield Padding(", ".join(words), (0, 0, 0, GAP))

    def _line(
        self, texts: Sequence[str], kept: list[int], widths: list[int], style: str = ""
    ) -> RichTable:
        from rich.table import Table

        made = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        for i, width in zip(kept, widths, strict=True):
            side = "right" if self.heads[i] in self.right else "left"
            made.add_column(justify=side, overflow="fold", width=width, style=style)  # type: ignore[arg-type]
        made.add_row(*(harmless(texts[i]) for i in kept))
        return made

    def _texts(self) -> tuple[list[Text], list[list[Text]]]:
        from rich.text import Text

        heads = [Text(head, "bold") for head in self.heads]
        return heads, [[Text(harmless(text)) for text in row] for row in self.rows]


def as_lists(heads: Sequence[Text], rows: Iterable[Sequence[Text]]) -> Iterator[Text]:
    """Each row as a heading and a text on every line, with a blank line between two rows."""
    from rich.text import Text

    for number, row in enumerate(rows):
        if number:
            yield Text()
        for head, text in zip(heads, [*row, *[Text()] * (len(heads) - len(row))], strict=True):
            yield Text.assemble(head, ": ", text) if head else text


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

    FORCE_COLOR, COLUMNS and TERM mean what they mean to rich; NO_COLOR takes dim text as well.
    """
    from rich.text import Text

    from gemma_mtp.terminal.styles import without_colour

    console = _console(unguarded(sys.stdout), None if is_dumb() else "auto")
    width = min(console.width, widest) if sys.stdout.isatty() else ENDLESS
    for line in (line for block in blocks for line in lines(block, width)):
        if console.no_color:
            line = [Piece(text, style and without_colour(style)) for text, style in line]
        console.print(Text.assemble(*((text, style or "") for text, style in line)), soft_wrap=True)


@cache
def _drawing() -> Console:
    """A console that nothing is written to: it only lays out."""
    return _console(io.StringIO(), "standard")


def _console(file: TextIO, colours: Literal["auto", "standard"] | None) -> Console:
    """One that takes texts as they are."""
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:  # rich's own ends the program with status 1
            let_go(file)

    return Patient(file=file, color_system=colours, markup=False, emoji=False, highlight=False)


def _trimmed(line: list[Piece]) -> list[Piece]:
    while line and not line[-1].text.rstrip():
        line.pop()
    return [*line[:-1], Piece(line[-1].text.rstrip(), line[-1].style)] if line else []
