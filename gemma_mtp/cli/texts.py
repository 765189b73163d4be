"""Texts that `run` takes from files: --prompt-file and --system-file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from gemma_mtp.errors import UsageError
from gemma_mtp.terminal.console import note

DASH = Path("-")  # standard input

PromptFile = Annotated[
    Path | None,
    Option(
        "--prompt-file", metavar="FILE", help="The PROMPT is in this file; - is standard input."
    ),
]
SystemFile = Annotated[
    Path | None, Option("--system-file", metavar="FILE", help="The system prompt is in this file.")
]


def text_of(file: Path, typed: str | None, what: str) -> str:
    """The text of a file, which is the "prompt" or the "system prompt". Raises UsageError, also
    where that was `typed` as well."""
    from gemma_mtp.chat.attachments import decoded
    from gemma_mtp.files import reading

    if typed is not None:
        raise UsageError(f"The {what} is given twice.", "Leave one of them out.")
    name = str(file)
    try:
        if file == DASH:
            name, stream = "Standard input", sys.stdin
            data = b"" if stream is None else reading.read_stream(stream.buffer, name, _waiting)
        else:
            data = reading.read_file(file, note)
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}.") from error
    text = decoded(data, name)
    if not text.strip():
        raise UsageError(f"The {what} is empty.", f"{name} holds no text.")
    return text


def _waiting() -> None:
    note("Waiting for standard input to end.")
