"""Bytes of a file or a stream, never more than a limit, and never waited for in silence.

The command line reads standard input with it, a chat the files of `/file`. Knows neither what they
mean nor who wants them.
"""

from __future__ import annotations

import io
import os
import re
import select
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from gemma_mtp.api import pictures, recordings
from gemma_mtp.errors import UsageError
from gemma_mtp.text import clean

STDIN = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")  # paths of standard input
LARGEST = 16 << 20  # bytes; no context holds more
PATIENCE = 1.0  # seconds without a byte, after which it is said what is waited for
PIECE = 1 << 16  # bytes

Say = Callable[[str], None]


class TooLarge(UsageError):
    """A file of more than LARGEST bytes."""


def named_path(word: str) -> Path:
    """The path that a person typed, dropped or pasted; desktops write file:// addresses.

    Raises UsageError for what names no file of this machine.
    """
    if not word.strip():
        raise UsageError("The name of a file is missing: it is empty.")
    if word == "-":
        how = "/dev/stdin names what is piped in, ./- a file of that name."
        raise UsageError("- names no file.", how)
    if word.startswith(("http://", "https://")):
        raise UsageError(f"{word} is an address, not a file.", "Download it first.")
    try:
        path = _of_address(word) if word.startswith("file:") else Path(word).expanduser()
        possible = b"\0" not in os.fsencode(path)
    except RuntimeError as error:
        raise UsageError(f"{word} cannot be read: there is no user of that name.") from error
    except ValueError:
        possible = False
    if not possible:
        raise UsageError(f"{word} cannot be the name of a file.")
    if re.match(r"[A-Za-z]:\\", word) and os.name != "nt" and not path.exists():
        raise UsageError(f"{word} is a path of Windows.", "In WSL, C: is /mnt/c.")
    return path


def _of_address(word: str) -> Path:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname  # which takes its time to import

    return Path(url2pathname(urlsplit(word).path))


def read_file(path: Path, say: Say) -> bytes:
    """All of a file or a named pipe. `say` gets a sentence when nothing comes for a while.

    Raises UsageError for a device and for what is larger than LARGEST, OSError otherwise.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path} is a folder, not a file.")
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        raise UsageError(f"{path} is a device, not a file.")
    if str(path) in STDIN:
        handle = os.dup(0)  # Linux would open the file anew, and it would be read once more later
    else:  # a pipe that nobody writes to yet would not open in any other way
        binary, at_once = getattr(os, "O_BINARY", 0), getattr(os, "O_NONBLOCK", 0)
        handle = os.open(path, os.O_RDONLY | binary | at_once)
    with open(handle, "rb", buffering=0) as file:
        return _limited(_pieces(file.fileno(), lambda: say(f"Waiting for {path}.")), str(path))


def read_text(path: Path, say: Say) -> str:
    """The text of a file that an option names. Raises UsageError."""
    try:
        return read_file(path, say).decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} holds no text in UTF-8.") from error


def read_stream(stream: BinaryIO, name: str, waiting: Callable[[], None]) -> bytes:
    """All that is to come from a stream; `waiting` is called once, when nothing comes for a while.

    Raises UsageError for what is larger than LARGEST, OSError otherwise.
    """
    try:
        handle = stream.fileno()
    except io.UnsupportedOperation:  # there is no file behind it
        return _limited(iter(lambda: stream.read(PIECE), b""), name)
    return _limited(_pieces(handle, waiting), name)


def is_begun(stream: BinaryIO) -> bool:
    """It is a file of which a part was read before, as by the loop of a shell."""
    try:
        handle = stream.fileno()
        about = os.fstat(handle)
        regular = stat.S_ISREG(about.st_mode)
        return regular and 0 < os.lseek(handle, 0, os.SEEK_CUR) < about.st_size
    except OSError:
        return False


def _limited(pieces: Iterator[bytes], name: str) -> bytes:
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) > LARGEST:
            raise TooLarge(f"{name} is larger than {LARGEST >> 20} MiB.")
    return bytes(found)


def _pieces(handle: int, waiting: Callable[[], None]) -> Iterator[bytes]:
    said = False
    while True:
        if not said and not _ready(handle, PATIENCE):
            said = True
            waiting()
        _ready(handle, None)
        try:
            piece = os.read(handle, PIECE)
        except BlockingIOError:
            continue
        if not piece:
            return
        yield piece


def _ready(handle: int, seconds: float | None) -> bool:
    """Something can be read, or the end was reached. Windows cannot tell; there a read waits."""
    return os.name == "nt" or bool(select.select([handle], [], [], seconds)[0])


_NO_TEXTS = (
    (pictures, "picture", "--image FILE shows one, from a file"),
    (recordings, "recording", "--audio FILE plays one, from a file"),
)
WAITING = "Waiting for standard input to end; with --no-stdin it is not read."
LEFT_ALONE = "Standard input was read in part by something else and is left alone (--no-stdin)."


def piped_text(stream: TextIO | None, say: Say, *, prompted: bool) -> str:
    """What was piped in; "" when standard input is a terminal or closed. Bytes that are no UTF-8
    are replaced; a zero byte means that it is no text at all.

    `prompted`: there is a prompt already, so that a file may be meant for others, who have begun to
    read it; then it is left to them. `say` gets a sentence about that, and about a long wait.
    Raises UsageError for what is no text or too large.
    """
    if stream is None or stream.closed or stream.isatty():
        return ""
    if prompted and is_begun(stream.buffer):
        say(LEFT_ALONE)
        return ""
    try:
        data = read_stream(stream.buffer, "What was piped in", lambda: say(WAITING))
    except OSError:  # a descriptor that was closed or cannot be read
        return ""
    text = data.decode("utf-8", "replace")
    if "\0" in text:
        for known, noun, how in _NO_TEXTS:
            if known.kind_of(data):
                raise UsageError(f"What was piped in is a {noun}.", f"{how}, or from /dev/stdin.")
            if other := known.other_kind(data):
                raise UsageError(
                    f"What was piped in is {other}, which cannot be read here.", known.KINDS
                )
        raise UsageError(
            "What was piped in is not text: it holds zero bytes.", "Only UTF-8 text can be sent."
        )
    return clean(text).strip("\n")
