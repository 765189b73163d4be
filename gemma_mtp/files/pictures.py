"""What a picture is, by the first bytes of its file: its kind, and its size in pixels.

Whoever takes pictures from a person or a program makes an `Image` of them here. Knows nothing of
what they show; whether one can be decoded, the engine finds out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from gemma_mtp.api import Image
from gemma_mtp.errors import UsageError
from gemma_mtp.files import reading
from gemma_mtp.files.reading import Say
from gemma_mtp.text import byte_size

LARGEST = 16 << 20  # bytes of one picture; photographs have a third of that
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
KINDS = "PNG, JPEG, GIF and BMP are."
UNNAMED = "This"  # what a picture without a name is called

Order = Literal["little", "big"]
Size = tuple[int, int]
"""Width and height in pixels."""


def picture(data: bytes, name: str = "") -> Image:
    """The picture that these bytes are; `name` is what messages call it.

    Raises UsageError for what is no picture, or too large.
    """
    called = name or UNNAMED
    if len(data) > LARGEST:
        most = f"{byte_size(LARGEST)} are the most"
        raise UsageError(f"{called} has {byte_size(len(data))}: {most} for a picture.")
    kind = kind_of(data)
    if kind == "image/webp":
        raise UsageError(f"{called} is a WebP picture, which cannot be read here.", KINDS)
    if not kind:
        raise UsageError(f"{called} is no picture that can be read here.", KINDS)
    return Image(data, kind, name)


def read(path: Path, say: Say) -> Image:
    """The picture in a file. Raises UsageError."""
    try:
        return picture(reading.read_file(path, say), str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def kind_of(data: bytes) -> str:
    """The media type, such as image/png; "" for what is no picture of a known kind."""
    if data[8:12] == b"WEBP" and data.startswith(b"RIFF"):
        return "image/webp"
    return next((kind for start, (kind, _) in _KINDS.items() if data.startswith(start)), "")


def size_of(data: bytes) -> Size | None:
    """How large a picture is; None where its beginning does not say so."""
    for start, (_, size) in _KINDS.items():
        if data.startswith(start):
            found = size(data)
            return found if found and all(found) else None
    return None


def described(image: Image) -> str:
    """A picture in a line of text: [picture cat.png 640x480]."""
    size = size_of(image.data)
    shown = "{}x{}".format(*size) if size else byte_size(len(image.data))
    name = Path(image.name).name
    return f"[picture {f'{name} ' if name else ''}{shown}]"


def _png(data: bytes) -> Size | None:
    return _whole(data, 16, 4, "big") if data[12:16] == b"IHDR" else None


def _gif(data: bytes) -> Size | None:
    return _whole(data, 6, 2, "little")


def _bmp(data: bytes) -> Size | None:
    found = _whole(data, 18, 4, "little")
    # Where the first line is the topmost, the height is below zero.
    return found and (found[0], min(found[1], (1 << 32) - found[1]))


def _jpeg(data: bytes) -> Size | None:
    """The size stands in the first frame header, behind segments that say how long they are."""
    at = 2
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
        mark, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        if mark == 0xFF:  # a byte that only fills
            at += 1
            continue
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):  # three of these are tables
            height_width = _whole(data, at + 5, 2, "big")
            return height_width and height_width[::-1]
        at += 2 + length
    return None


def _whole(data: bytes, at: int, width: int, order: Order) -> Size | None:
    """Two numbers of `width` bytes each, one behind the other."""
    both = data[at : at + 2 * width]
    if len(both) < 2 * width:
        return None
    return int.from_bytes(both[:width], order), int.from_bytes(both[width:], order)


_KINDS: dict[bytes, tuple[str, Callable[[bytes], Size | None]]] = {
    b"\x89PNG\r\n\x1a\n": ("image/png", _png),
    b"\xff\xd8\xff": ("image/jpeg", _jpeg),
    b"GIF87a": ("image/gif", _gif),
    b"GIF89a": ("image/gif", _gif),
    b"BM": ("image/bmp", _bmp),
}
"""How files of a kind begin, and where they say how large they are."""
