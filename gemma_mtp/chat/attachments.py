"""Text files that go along with a message: found, read, refused, and put into the text.

Knows the disk, but neither engine nor terminal.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from gemma_mtp.conversations.attachments import Attachment
from gemma_mtp.errors import UsageError
from gemma_mtp.files import reading
from gemma_mtp.files.reading import Say
from gemma_mtp.text import clean

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")


def read_files(words: Sequence[str], say: Say) -> list[Attachment]:
    """All files that the paths and patterns name; all of them can be read, or it is an error.
    `say` gets a sentence about what has to be waited for."""
    paths = [path for word in words for path in _matching(word)]
    return [read_file(path, say) for path in dict.fromkeys(paths)]


def read_file(path: Path, say: Say) -> Attachment:
    """One text file, or what comes through a named pipe."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise no_image(str(path))
    try:
        data = reading.read_file(path, say)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    return Attachment(str(path), decoded(data, str(path)))


def decoded(data: bytes, name: str) -> str:
    """Bytes as text. A zero byte gives away what is none; UTF-16 has them, too."""
    if b"\0" in data:
        raise UsageError(
            f"{name} is not text: it holds zero bytes.", "Only UTF-8 text can be sent."
        )
    return clean(data.decode("utf-8", "replace")).strip("\n")


def split_words(rest: str) -> list[str]:
    """Paths as typed: quotes and backslashes keep spaces together."""
    try:
        return shlex.split(rest, posix=os.name != "nt")
    except ValueError:  # a quote that is not closed, as in don't.txt
        return rest.split()


def _matching(word: str) -> list[Path]:
    try:
        return _named(word)
    except OSError as error:
        raise UsageError(f"{word} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{word} is not a pattern of file names.") from error
    except RuntimeError as error:
        raise UsageError(f"{word} cannot be read: there is no user of that name.") from error


def _named(word: str) -> list[Path]:
    path = Path(word).expanduser()
    if path.is_dir():
        raise UsageError(f"{word} is a folder.", f"{word.rstrip('/')}/* names the files in it.")
    if path.exists() or not re.search(r"[*?\[]", word):
        return [path]
    root = Path(path.anchor) if path.anchor else Path()
    pattern = str(path.relative_to(path.anchor)) if path.anchor else str(path)
    found = sorted(p for p in root.glob(pattern) if p.is_file())
    if not found:
        raise UsageError(f"No file matches {word}.")
    return found


def refuse_image(text: str) -> None:
    """A picture given as the whole prompt would otherwise be answered by its file name."""
    path = text.strip().strip("'\"")
    if not path.lower().endswith(IMAGE_SUFFIXES):
        return
    if not re.search(r"\s", path) or path.startswith(("/", "~", "./", "../")) or is_file(path):
        raise no_image(path)


def no_image(path: str) -> UsageError:
    """What is said about an image until there can be one in a message."""
    return UsageError(f"{path} is an image, and images are not supported yet.")


def image_in(text: str) -> str:
    """The first word of a message that is the path of an image on this machine, or ""."""
    for word in split_words(text):
        if word.lower().endswith(IMAGE_SUFFIXES) and is_file(word):
            return word
    return ""


def is_file(word: str) -> bool:
    """Whether a word is the path of a file here, whatever else it may be."""
    try:
        return Path(word).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False
