"""Small pictures made for tests: PNG files that decode, and beginnings of other kinds."""

from __future__ import annotations

import base64
import zlib


def png(width: int = 4, height: int = 3, colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """A whole PNG file of one colour."""
    rows = (b"\0" + bytes(colour) * width) * height
    head = width.to_bytes(4) + height.to_bytes(4) + b"\x08\x02\0\0\0"
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)
        for kind, data in chunks
    )


def jpeg(width: int, height: int) -> bytes:
    """The beginning of a JPEG file, up to where its size stands."""
    about = b"\xff\xe1\0\x08Exif\0\0"  # a segment that has to be passed over
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
