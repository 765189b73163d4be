"""Text made safe to tokenize or to show, numbers in words, and the distance between two words.

Names of files and models, settings and templates are other people's words. On a terminal, control
characters in them would act: change its title, its colours or the clipboard, or write over what is
there; and bidirectional overrides would make one text look like another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

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
    return text if text.isprintable() else text.translate(_SIGNS)  # most texts need no change


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON that reads back as the same value, with those characters escaped; others stay."""
    # Outside of strings JSON has none of them, and inside an escape means the same.
    return json.dumps(value, ensure_ascii=False, indent=indent).translate(_ESCAPES)


def clean(text: str) -> str:
    """Text that any tokenizer takes: undecodable bytes replaced, line ends and BOM normalised."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.removeprefix("\ufeff").replace("\r\n", "\n").replace("\x00", "\ufffd")


def distance(a: str, b: str) -> int:
    """Insertions, deletions and replacements that turn `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            cost = min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
            diagonal, row[j] = row[j], cost
    return row[-1]


def nearest(word: str, names: Iterable[str], errors: int = 2) -> list[str]:
    """The names that begin with `word`, then those at most so many typing errors away, best
    first."""
    word = word.lower()
    scored = [(not (word and name.startswith(word)), distance(word, name), name) for name in names]
    near = [found for found in scored if not found[0] or found[1] <= errors]
    return [name for *_, name in sorted(near, key=lambda found: found[:2])]


def did_you_mean(near: Sequence[str]) -> str:
    """A question with up to three names that are near to a word; "" where none is."""
    return f"Did you mean {' or '.join(near[:3])}?" if near else ""


def suggestion(word: str, names: Iterable[str]) -> str:
    """A question with the name nearest to a word that is none; "" where none is near."""
    return did_you_mean(nearest(word, names)[:1])


def number(value: float) -> str:
    """Three figures are enough for a rate."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def percent(value: float) -> str:
    """A share in whole per cent."""
    return f"{value * 100:.0f} %"


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun: 1 token, 2 tokens."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def byte_size(size: float, total: float = 0) -> str:
    """1.2 GB, 253 MB, 12 kB; with a `total`, 1.2 of 6.7 GB.

    In powers of ten, as disks and downloads are counted.
    """
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes"))
    scale, unit = next((u for u in units if max(size, total) >= u[0]), units[-1])
    digits = 1 if unit == "GB" else 0
    whole = f" of {total / scale:.{digits}f}" if total else ""
    return f"{size / scale:.{digits}f}{whole} {unit}"


def duration(seconds: float) -> str:
    """45 s, 3 min, 1 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def one_line(text: str, length: int) -> str:
    """At most `length` characters of one line, ending with a whole word where there is one."""
    line = " ".join(text[: 4 * length].split())
    if len(line) <= length:
        return line
    whole, _, _ = line[:length].rpartition(" ")
    return (whole or line[: length - 1]) + "…"


def thousands(tokens: int) -> str:
    """8192 is 8k."""
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)


def timestamp(moment: datetime) -> str:
    """A moment in UTC as protocols write it: 2026-04-03T09:00:00Z."""
    return moment.isoformat().replace("+00:00", "Z")


def moment(when: str | None) -> str:
    """A time in ISO format as local time for people: 3 May 2026, 14:02."""
    if not when:
        return "never" if when is None else ""
    with suppress(ValueError, OverflowError, OSError):
        local = datetime.fromisoformat(when).astimezone()
        return f"{local.day} {local:%b %Y, %H:%M}"
    return "unknown"
