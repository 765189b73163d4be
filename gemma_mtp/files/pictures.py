"""Pictures that a person or a program gives: an `Image` is made of them here for all who take any.

Knows nothing of what they show; whether one can be decoded, the engine finds out.
"""

from __future__ import annotations

from pathlib import Path

from gemma_mtp.api import Image
from gemma_mtp.api.pictures import KINDS, check_picture, kind_of, size_of
from gemma_mtp.errors import UsageError
from gemma_mtp.files import reading
from gemma_mtp.files.reading import Say
from gemma_mtp.text import byte_size

LARGEST = 16 << 20  # bytes of one picture; photographs have a third of that
SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".heic", ".heif", ".avif",
            ".tif", ".tiff")  # fmt: skip
"""How files are named that people mean as pictures; `picture` says which of them cannot be read."""
UNNAMED = "This"  # what a picture without a name is called

__all__ = ["KINDS", "LARGEST", "SUFFIXES", "UNNAMED", "described", "kind_of", "picture", "read",
           "size_of"]  # fmt: skip


def picture(data: bytes, name: str = "") -> Image:
    """The picture that these bytes are; `name` is what messages call it.

    Raises UsageError for what is no picture, or too large.
    """
    called = name or UNNAMED
    if len(data) > LARGEST:
        most = f"{byte_size(LARGEST)} are the most"
        raise UsageError(f"{called} has {byte_size(len(data))}: {most} for a picture.")
    check_picture(data, called)
    return Image(data, kind_of(data), name)


def read(path: Path, say: Say) -> Image:
    """The picture in a file. Raises UsageError."""
    try:
        return picture(reading.read_file(path, say), str(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def described(image: Image) -> str:
    """A picture in a line of text: [picture cat.png 640x480]."""
    size = size_of(image.data)
    shown = "{}x{}".format(*size) if size else byte_size(len(image.data))
    name = Path(image.name).name
    return f"[picture {f'{name} ' if name else ''}{shown}]"
