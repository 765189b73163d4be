"""Files and answers that others wrote, read and parsed within limits of size, depth and time.

Catalogue, settings, records of pairs and responses of a hub go through it. Knows nothing of what is
in them.
"""

from __future__ import annotations

import errno
import json
import tomllib
from pathlib import Path
from typing import Any

MOST_TEXT = 128 << 10  # bytes of a file that a person or this program wrote
LONGEST_LINE = 1000  # characters; tomllib takes the square of the time for twice the dots in a key


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """The text of a small file, without a byte-order mark.

    Raises OSError when it cannot be read or is a pipe or a device, and ValueError when it is
    larger than `most` bytes or not UTF-8.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "it is not a file")
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it is larger than {most >> 10} KiB")
    return data.decode("utf-8-sig")


def parse_toml(text: str, longest_line: int = LONGEST_LINE) -> dict[str, Any]:
    """What TOML says; raises ValueError, also for what no person writes."""
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > longest_line:
            raise ValueError(f"line {number} is longer than {longest_line} characters")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_json(text: str | bytes | bytearray) -> Any:
    """What JSON says; raises ValueError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # nested too deeply, or a number of thousands of digits
        raise ValueError("it is not JSON") from None
