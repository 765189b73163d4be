"""Program text in colours, line by line. The only importer of Pygments, and only when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemma_mtp.terminal.markdown.pieces import (
    BLUE,
    BOLD,
    CYAN,
    DIM,
    GREEN,
    MAGENTA,
    RED,
    Span,
    Style,
)

if TYPE_CHECKING:
    from pygments.lexer import Lexer  # type: ignore[import-untyped]

# Lines that are read again for each new one, since strings and comments may span several.
MOST_LINES = 30
LONGEST_LINE = 2000  # characters; longer ones are data

_OPTIONS: dict[str, dict[str, Any]] = {"php": {"startinline": True}}

# Of the terminal's own colours, which suit light and dark backgrounds alike.
_STYLES: dict[str, Style] = {
    "Comment": DIM,
    "Comment.Preproc": MAGENTA,
    "Keyword": MAGENTA,
    "Keyword.Type": CYAN,
    "Keyword.Constant": CYAN,
    "Operator.Word": MAGENTA,
    "Literal.String": GREEN,
    "Literal.String.Escape": CYAN,
    "Literal.String.Interpol": CYAN,
    "Literal.Number": CYAN,
    "Name.Builtin": CYAN,
    "Name.Class": BOLD + BLUE,
    "Name.Function": BLUE,
    "Name.Decorator": MAGENTA,
    "Name.Tag": BLUE,
    "Name.Attribute": CYAN,
    "Generic.Heading": BOLD,
    "Generic.Subheading": MAGENTA,
    "Generic.Inserted": GREEN,
    "Generic.Deleted": RED,
    "Generic.Prompt": DIM,
}


class Highlighter:
    """The colours of one block in `language`, which may be unknown: then there are none."""

    def __init__(self, language: str) -> None:
        self._lexer = _lexer(language)
        self._read: list[str] = []  # lines before this one, from a place outside all strings on

    def line(self, text: str) -> list[Span]:
        """The spans of the next line."""
        if self._lexer is None or len(text) > LONGEST_LINE:
            return [Span(0, len(text))] if text else []
        start = sum(map(len, self._read)) + len(self._read)
        source = "\n".join([*self._read, text]) + "\n"
        spans: list[Span] = []
        last = ""
        for at, kind, value in self._lexer.get_tokens_unprocessed(source):
            if at + len(value) > start:
                last = str(kind).removeprefix("Token.")
                end = min(at + len(value) - start, len(text))
                spans.append(Span(max(at - start, 0), end, _style(last)))
        self._remember(text, inside=last.startswith(("Literal.String", "Comment.Multi")))
        return [span for span in spans if span.end > span.start]

    def _remember(self, text: str, inside: bool) -> None:
        self._read.append(text)
        if (not text.strip() and not inside) or len(self._read) > MOST_LINES:
            self._read.clear()


def _lexer(language: str) -> Lexer | None:
    if not language:
        return None
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        return get_lexer_by_name(language, **_OPTIONS.get(language, {}))
    except ClassNotFound:
        return None


def _style(kind: str) -> Style:
    """The style of a kind of token, or of the kind it is one of."""
    while kind not in _STYLES and "." in kind:
        kind = kind.rpartition(".")[0]
    return _STYLES.get(kind, ())
