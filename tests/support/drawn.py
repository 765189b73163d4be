"""Small pictures made for tests: PNG files that decode, and beginnings of other kinds."""

from __future__ import annotations

import base64
import zlib
from typing import Literal


def png(width: int = 4, height: int = 3, colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """A whole PNG file of one colour."""
    rows = (b"\0" + bytes(colour) * width) * height
    head = width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\0\0\0"
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)
        for kind, data in chunks
    )


def jpeg(
    width: int, height: int, turn: int = 0, order: Literal["little", "big"] = "little"
) -> bytes:
    """The beginning of a JPEG file, up to where its size stands; with a `turn`, EXIF says how the
    camera was held, and something else before that."""
    about = b"\xff\xe1\0\x08Exif\0\0"  # a segment that has to be passed over
    if turn:
        mark = b"II*\0" if order == "little" else b"MM\0*"
        entries = [0x10F.to_bytes(2, order) + (2).to_bytes(2, order) + bytes(8)]
        entries += [0x112.to_bytes(2, order) + (3).to_bytes(2, order) + (1).to_bytes(4, order)]
        entries[1] += turn.to_bytes(2, order) + bytes(2)
        exif = mark + (8).to_bytes(4, order) + (2).to_bytes(2, order) + b"".join(entries)
        about = b"\xff\xe1" + (len(exif) + 8).to_bytes(2) + b"Exif\0\0" + exif
    frame = b"\xff\xff\xc2\0\x11\x08" + height.to_bytes(2) + width.to_bytes(2)
    return b"\xff\xd8" + about + b"\xff\xc4\0\x04ab" + frame + bytes(10)


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + bytes(3)


def bmp(width: int, height: int) -> bytes:
    sizes = width.to_bytes(4, "little") + height.to_bytes(4, "little", signed=True)
    return b"BM" + bytes(12) + (40).to_bytes(4, "little") + sizes


def webp() -> bytes:
    return b"RIFF\x24\0\0\0WEBPVP8 " + bytes(20)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def address(data: bytes, kind: str = "image/png") -> str:
    """The data: address of a picture."""
    return f"data:{kind};base64,{base64_of(data)}"
