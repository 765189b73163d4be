"""Files that go along with a message, texts and pictures: found, read and refused.

Knows the disk, but neither engine nor terminal.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from gemma_mtp.api import Media
from gemma_mtp.conversations.attachments import Attached, Attachment
from gemma_mtp.errors import UsageError
from gemma_mtp.files import reading
from gemma_mtp.files.media import KINDS, Kind, kind_of_name
from gemma_mtp.files.reading import Say
from gemma_mtp.text import clean

T = TypeVar("T")
ONLY_NAMED = "Of {} only the name is sent: {}"
NOT_HERE = "it is no file on this machine."
MARKS = ".,;:!?)\"'"  # what may follow a path in a sentence
MOST_WORDS = 12  # of a path that is written without quotes
_WORDS = re.compile(r""""[^"]+"|'[^']+'|(?:\\.|\S)+""")
_OF_WINDOWS = re.compile(r"(?<!\S)[A-Za-z]:\\\S*")
_SEPARATOR = re.compile(r"[/\\]")


def read_files(words: Sequence[str], say: Say) -> list[Attachment]:
    """All text files that the paths and patterns name, for what is sent at once: UsageError names
    each that cannot be read. `say` gets a sentence about what has to be waited for."""
    found, errors = read_each(words, say, read_file)
    if errors:
        raise as_one(errors)
    return found


def read_media(words: Sequence[str], say: Say, kind: Kind | None = None) -> list[Media]:
    """The same for pictures: of this kind, or of what the name of each tells."""
    found, errors = read_each(words, say, kind.read if kind else _read_media)
    if errors:
        raise as_one(errors)
    return found


def as_one(errors: Sequence[UsageError]) -> UsageError:
    """One error that says what all of them say."""
    return UsageError(" ".join(map(str, errors)), errors[0].hint)


def read_each(
    words: Sequence[str], say: Say, read: Callable[[Path, Say], T]
) -> tuple[list[T], list[UsageError]]:
    """The files that can be read, and an error for each that cannot."""
    found: dict[Path, T] = {}
    errors = []
    for word in words:
        try:
            paths = _matching(word)
        except UsageError as error:
            errors.append(error)
            continue
        for path in (each for each in paths if each not in found):
            try:
                found[path] = read(path, say)
            except UsageError as error:
                errors.append(error)
    return [*found.values()], errors


def read_any(path: Path, say: Say) -> Attached:
    """A picture or a text file, as the name tells."""
    kind = kind_of_name(path.name)
    return kind.read(path, say) if kind else read_file(path, say)


def _read_media(path: Path, say: Say) -> Media:
    return (kind_of_name(path.name) or KINDS[0]).read(path, say)


def read_file(path: Path, say: Say) -> Attachment:
    """One text file, or what comes through a named pipe."""
    if kind := kind_of_name(path.name):
        kind.read(path, say)  # raises for one that cannot be read in any way
        raise UsageError(f"{path} is a {kind.noun}.", kind.hint)
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
    rest = _OF_WINDOWS.sub(lambda path: path[0].replace("\\", "\\\\"), rest)
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


def _named(word: str) -> list[Path]:
    path = reading.named_path(word)
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


def only_media(text: str) -> list[str]:
    """The paths, where a text is nothing but those of pictures, as when they are dragged into the
    window; else none."""
    if not kind_of_name(text.strip().strip("'\"")):
        return []
    words = [word.strip("'\"") for word in split_words(text.strip())]
    return words if all(map(kind_of_name, words)) else []


def refuse_media(text: str, say: Say) -> None:
    """Raise UsageError for a prompt that is nothing but the paths of pictures: it would be answered
    by their names."""
    found = [(word, kind) for word in only_media(text) if (kind := kind_of_name(word))]
    read_media([word for word, _ in found if is_file(word)], say)  # raises for what cannot be read
    if found:
        flags = " ".join(f"--{kind.flag} {shlex.quote(word)}" for word, kind in found)
        word, kind = found[0]
        raise UsageError(f"{word} is a {kind.noun}.", f"{flags} {kind.shows}.")


def tell_of_media(text: str, say: Say) -> None:
    """Say which files that a prompt names are pictures, of which only the name is sent."""
    found = media_in(text)
    for kind in KINDS:
        if words := [word for word in found if kind_of_name(word) is kind]:
            how = f"--{kind.flag} FILE {kind.shows.replace(' it ', f' a {kind.noun} ')}."
            say(ONLY_NAMED.format(" and ".join(words), how))


def media_in(text: str) -> list[str]:
    """The pictures here that a text names by their paths, each once."""
    return [*dict.fromkeys(_media_in(text))]


def _media_in(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if any(suffix in line.lower() for kind in KINDS for suffix in kind.suffixes):
            words = split_words(line)
            yield from filter(None, (_path_up_to(words[:end]) for end in range(1, len(words) + 1)))


def _path_up_to(words: Sequence[str]) -> str:
    """The path of a picture here that ends with the last of these words; "" for none. Blanks in it
    need no quotes."""
    if not kind_of_name(_bare(words[-1])):
        return ""
    last = words[-MOST_WORDS:]
    paths = (_bare(" ".join(last[start:])) for start in reversed(range(len(last))))
    return next(filter(is_file, paths), "")


def _bare(word: str) -> str:
    """Without the marks of the sentence that it stands in."""
    return word.rstrip(MARKS).lstrip("(\"'")


def media_missing(text: str) -> list[str]:
    """What a line names as pictures are named, by a path or an address, that is no file here. Code
    of several lines names many, and means none of them."""
    if "\n" in text:
        return []
    here = tuple(media_in(text))
    words = [_bare(word) for word in _WORDS.findall(text)]
    found = (word for word in words if kind_of_name(word) and _SEPARATOR.search(word))
    gone = (word for word in found if not is_file(word))
    return [*dict.fromkeys(word for word in gone if not any(path.endswith(word) for path in here))]


def is_file(word: str) -> bool:
    """Whether a word is the path of a file here, whatever else it may be."""
    try:
        return reading.named_path(word).is_file()
    except (OSError, ValueError, UsageError):
        return False
