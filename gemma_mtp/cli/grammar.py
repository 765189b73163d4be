"""What an answer of `run` has to look like: --format, --choices and --grammar."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from gemma_mtp.api import Grammar
from gemma_mtp.chat.form import form_of
from gemma_mtp.errors import UsageError
from gemma_mtp.files.reading import read_text
from gemma_mtp.terminal.console import note
from gemma_mtp.text import json_text

Format = Annotated[
    str | None,
    Option("--format", metavar="json|FILE", help="Answer in JSON, or as a JSON Schema says."),
]
Choices = Annotated[
    str | None, Option("--choices", metavar="A,B,...", help="Answer with one of these texts.")
]
GrammarFile = Annotated[
    Path | None,
    Option("--grammar", metavar="FILE", help="Answer as this grammar says (Lark or GBNF)."),
]


def wanted(format: str | None, choices: str | None, grammar: Path | None) -> Grammar | None:
    """The grammar that these options ask for. Raises UsageError, also for a file that cannot be
    read."""
    given = [value for value in (format, choices, grammar) if value is not None]
    if len(given) > 1:
        raise UsageError(
            "--format, --choices and --grammar do not go together.", "Use one of them."
        )
    if choices is not None:
        listed = [choice.strip() for choice in choices.split(",") if choice.strip()]
        if not listed:
            raise UsageError("--choices needs at least one text.", "--choices yes,no")
        return Grammar("choices", json_text(listed))
    if grammar is not None:
        return Grammar.written(read_text(grammar, note))
    return None if format is None else form_of(format, note, "--format")
