"""Text files that go along with a message: found, read, refused, and put into the text.

Knows the disk, but neither engine nor terminal.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from gemma_mtp.conversations.attachments import Attachment
from gemma_mtp.errors import UsageError
from gemma_mtp.files import reading
from gemma_mtp.files.reading import Say
from gemma_mtp.text import clean

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
NO_IMAGES = "{} is an image, and images are not supported yet."
MARKS = ".,;:!?)\"'"  # what may follow a path in a sentence


def read_files(words: Sequence[str], say: Say) -> list[Attachment]:
    """All files that the paths and patterns name, for what is sent at once: UsageError names each
    that cannot be read. `say` gets a sentence about what has to be waited for."""
    found, errors = read_each(words, say)
    if errors:
        raise as_one(errors)
    return found


def as_one(errors: Sequence[UsageError]) -> UsageError:
    """One error that says what all of them say."""
    return UsageError(" ".join(map(str, errors)), errors[0].hint)


def read_each(words: Sequence[str], say: Say) -> tuple[list[Attachment], list[UsageError]]:
    """The files that can be read, and an error for each that cannot."""
    found: dict[Path, Attachment] = {}
    errors = []
    for word in words:
        try:
            paths = _matching(word)
        except UsageError as error:
            errors.append(error)
            continue
        for path in (each for each in paths if each not in found):
            try:
                found[path] = read_file(path, say)
            except UsageError as error:
                errors.append(error)
    return [*found.values()], errors


def read_file(path: Path, say: Say) -> Attachment:
    """One text file, or what comes through a named pipe."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise UsageError(NO_IMAGES.format(path), "Only text files can be attached.")
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
    """Paths as typed: quotes and backslashes keep spaces together, and so does the name of a file
    that is here."""
    if is_file(rest):
        return [rest]
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
    """Raise UsageError for a prompt that is nothing but the paths of pictures, as when they are
    dragged into the window: it would be answered by their names."""
    if not text.strip().strip("'\"").lower().endswith(IMAGE_SUFFIXES):
        return
    words = [word.strip("'\"") for word in split_words(text.strip())]
    if all(word.lower().endswith(IMAGE_SUFFIXES) for word in words):
        raise UsageError(NO_IMAGES.format(words[0]), "With words around it, it is sent as text.")


def tell_of_images(text: str, say: Say) -> None:
    """Say which files that a message names are pictures, of which only the name is sent."""
    found = dict.fromkeys(_images_in(text))
    if found:
        say(f"Images are not supported yet: of {' and '.join(found)}, only the name is sent.")


def _images_in(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if any(suffix in line.lower() for suffix in IMAGE_SUFFIXES):
            words = (word.rstrip(MARKS).lstrip("(\"'") for word in split_words(line))
            yield from (w for w in words if w.lower().endswith(IMAGE_SUFFIXES) and is_file(w))


def is_file(word: str) -> bool:
    """Whether a word is the path of a file here, whatever else it may be."""
    try:
        return Path(word).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False
