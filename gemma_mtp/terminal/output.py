"""The way out: every text for standard output or error passes here, whoever wrote it.

Names of files, models and conversations, settings, templates and llama.cpp's log are other people's
words. On a terminal, control characters in them would act: change its title, its colours or the
clipboard, or write over what is there; and bidirectional overrides would make one text look like
another. Knows no words and no columns.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

REPLACED = "\ufffd"
OVERRIDES = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Bidirectional embeddings, overrides and isolates, and what ends them."""

_CONTROLS = [c for c in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(c) not in "\n\t"]
_SURROGATES = range(0xD800, 0xE000)  # bytes of a file name that are no UTF-8
_UNSAFE = (*_CONTROLS, *map(ord, OVERRIDES), *_SURROGATES)
_SIGNS = dict.fromkeys(_UNSAFE, REPLACED)
_ESCAPES = {c: f"\\u{c:04x}" for c in _UNSAFE}


def harmless(text: str) -> str:
    """`text` with a sign in place of each character that could act on a terminal."""
    return text if text.isprintable() else text.translate(_SIGNS)  # the same, but sooner


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON that reads back as the same value, with those characters escaped; others stay."""
    # Outside of strings JSON has none of them, and inside an escape means the same.
    return json.dumps(value, ensure_ascii=False, indent=indent).translate(_ESCAPES)


class Closed(io.StringIO):
    """In place of a standard output that was closed before we were started."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise OSError(errno.EBADF, "it is closed")


class Guard:
    """A text stream that lets only harmless text through. It has no `buffer`, so that nobody can
    write bytes around it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(harmless(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def close(self) -> None:
        """What is behind it belongs to the process and stays open."""
        self.flush()

    @property
    def closed(self) -> bool:
        return self.stream.closed

    @property
    def encoding(self) -> str:
        return self.stream.encoding

    @property
    def errors(self) -> str | None:
        return self.stream.errors


def unguarded(stream: TextIO) -> TextIO:
    """What is behind a `Guard`, for those who send escape sequences of their own."""
    return stream.stream if isinstance(stream, Guard) else stream


@contextmanager
def guarded() -> Iterator[None]:
    """Guard standard output and error for as long as this lasts. In the end nothing is left in
    them that cannot be written: Python would try again, complain, and end with status 120."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, Guard(unguarded(stream))) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in before:
            _let_go(stream)


def _let_go(stream: TextIO) -> None:
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
