"""A block of code between fences: its lines go out as they are, in colours."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from rich.style import Style

from gemma_mtp.terminal.markdown.blocks import Opening, closes_fence, fence_mark
from gemma_mtp.terminal.markdown.source import Look, Source, Span
from gemma_mtp.terminal.pieces import Piece
from gemma_mtp.terminal.styles import DIM

if TYPE_CHECKING:
    from pygments.lexer import Lexer  # type: ignore[import-untyped]
    from rich.syntax import SyntaxTheme

MOST_LINES = 30
"""Lines that are read again for each new one, since strings and comments may span several."""
LONGEST_LINE = 2000  # characters; longer ones are data

_COLOURS = {
    "dim": "Comment Generic.Prompt",
    "magenta": "Keyword Operator.Word Name.Decorator Comment.Preproc Generic.Subheading",
    "cyan": "Keyword.Type Keyword.Constant Literal.Number Name.Builtin Name.Attribute "
    "Literal.String.Escape Literal.String.Interpol",
    "blue": "Name.Function Name.Tag",
    "bold blue": "Name.Class",
    "bold": "Generic.Heading",
    "green": "Literal.String Generic.Inserted",
    "red": "Generic.Deleted",
}
"""Styles and the kinds of tokens that have them; kinds below these are alike."""

_OPTIONS: dict[str, dict[str, Any]] = {"php": {"startinline": True}}


class Fence:
    """An open block; `before` stands in front of each line. Nothing is wrapped, so that copying
    gives what was written."""

    def __init__(self, start: Opening, line: str, look: Look, before: list[Piece]) -> None:
        self.open = True
        self.quotes = start.quotes
        self._column, self._look, self._before = start.column, look, before
        self._mark = fence_mark(line[start.at :])
        name = line[start.at + len(self._mark) :].strip().split(" ")[0].lower()
        self._lexer = _lexer(name) if look.colour else None
        self._read: list[str] = []  # lines before this one, from a place outside all strings on

    def pieces(self, line: Source) -> list[Piece]:
        """A complete line, in colours; or the fence that ends the block."""
        at = self._start(line.text)
        text = line.text[at:].rstrip()
        base = self._look.base
        if closes_fence(text, self._mark):
            self.open = False
            spans = [Span(at, at + len(text), base + DIM)]
        else:
            found = self._coloured(text)
            spans = [Span(at + x.start, at + x.end, base + x.style) for x in found]
        return [*self._before, *line.pieces(spans, self._look)]

    def unfinished(self, line: Source) -> list[Piece]:
        """A line that may still grow."""
        at = self._start(line.text)
        rest = Piece(line.text[at:].replace("\t", "    "), self._look.base)
        return [*self._before, rest] if rest.text.strip() else []

    def _start(self, line: str) -> int:
        """Where the code starts: after the marks of its quotes and the indent of its fence."""
        at = 0
        for _ in range(self.quotes):
            at += len(line[at:]) - len(line[at:].lstrip(" "))
            if line[at : at + 1] != ">":
                break
            at += 2 if line[at + 1 : at + 2] == " " else 1
        blanks = len(line[at:]) - len(line[at:].lstrip(" "))
        return at + min(blanks, self._column)

    def _coloured(self, text: str) -> list[Span]:
        """The spans of the next line, their places counted within it."""
        if self._lexer is None or len(text) > LONGEST_LINE:
            return [Span(0, len(text))] if text else []
        start = sum(len(line) + 1 for line in self._read)
        source = "\n".join([*self._read, text]) + "\n"
        spans: list[Span] = []
        kind = None
        for at, kind, value in self._lexer.get_tokens_unprocessed(source):
            first, last = max(at - start, 0), min(at + len(value) - start, len(text))
            if first < last:
                spans.append(Span(first, last, _theme().get_style_for_token(kind)))
        self._read.append(text)
        inside = str(kind).startswith(("Token.Literal.String", "Token.Comment.Multi"))
        if (not text.strip() and not inside) or len(self._read) > MOST_LINES:
            self._read.clear()
        return spans


def _lexer(language: str) -> Lexer | None:
    if not language:
        return None
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        return get_lexer_by_name(language, **_OPTIONS.get(language, {}))
    except ClassNotFound:
        return None


@cache
def _theme() -> SyntaxTheme:
    from pygments.token import string_to_tokentype  # type: ignore[import-untyped]
    from rich.syntax import ANSISyntaxTheme

    pairs = ((kind, look) for look, kinds in _COLOURS.items() for kind in kinds.split())
    return ANSISyntaxTheme({string_to_tokentype(kind): Style.parse(look) for kind, look in pairs})
