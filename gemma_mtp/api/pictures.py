"""What the first bytes of a picture's file say: its kind and its size.

Read before anybody decodes it: a small file may claim billions of pixels. `Request.check` asks it,
and whoever attaches a file may. Pure.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from gemma_mtp.errors import UsageError

MOST_PIXELS = 1 << 26
"""As many as 8192 x 8192: more than most cameras give. Decoding takes some ten bytes for each."""

KINDS = "PNG, JPEG, GIF and BMP are."  # what llama.cpp decodes
SAVE = "Save it as one of these first."
CONVERT = "ffmpeg -i FILE picture.png makes one of it."
_CONVERTED = ("a WebP picture", "an AVIF picture", "a TIFF picture")  # which ffmpeg reads
_BEGINNINGS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg",
               b"GIF87a": "image/gif", b"GIF89a": "image/gif", b"BM": "image/bmp"}  # fmt: skip
_OTHERS = {b"%PDF": "a PDF document", b"II*\0": "a TIFF picture", b"MM\0*": "a TIFF picture"}
_FORMS = {b"WEBP": "a WebP picture", b"heic": "a HEIC picture", b"heix": "a HEIC picture",
          b"mif1": "a HEIC picture", b"avif": "an AVIF picture"}  # fmt: skip
"""What files of other kinds are called, by their first bytes, and by those from 8 to 11."""
# Times that a JPEG may go over its pixels: one that comes in steps does so some ten times. A large
# one takes a millisecond each time, so that a small file could keep the decoder busy for minutes.
_MOST_SCANS = 1000
_PIECE = 1 << 20  # bytes of a PNG that are unpacked at a time
_EXIF, _IMAGE_BEGINS, _ORIENTATION = 0xE1, 0xDA, 0x112
_SCAN = bytes([0xFF, _IMAGE_BEGINS])
_NO_FRAME = {0xC4, 0xC8, 0xCC}  # markers of a JPEG from 0xC0 to 0xCF that say nothing of its size


def kind_of(data: bytes) -> str:
    """The media type, such as image/png; "" for what is no picture of a known kind."""
    return next((kind for start, kind in _BEGINNINGS.items() if data.startswith(start)), "")


def other_kind(data: bytes) -> str:
    """What a file is called that people take for a picture that can be read; "" if not known."""
    if data.startswith(b"RIFF") or data[4:8] == b"ftyp":
        return _FORMS.get(data[8:12], "")
    return next((name for start, name in _OTHERS.items() if data.startswith(start)), "")


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, as the file says; None where it does not."""
    try:
        size = _SIZES[kind_of(data)](data)
    except (KeyError, struct.error, IndexError):
        return None
    return size if min(size) > 0 else None


def turn_of(data: bytes) -> int:
    """How a camera was held, as EXIF numbers it from 1 to 8; 1 is upright, or not known."""
    try:
        return _orientation(data) if kind_of(data) == "image/jpeg" else 1
    except (struct.error, IndexError):
        return 1


def check_picture(data: bytes, name: str) -> None:
    """Raise UsageError, with a sentence about `name`, for what is no picture that can be read."""
    if not kind_of(data):
        if other := other_kind(data):
            helps = CONVERT if other in _CONVERTED else SAVE
            raise UsageError(f"{name} is {other}, which cannot be read here.", f"{KINDS} {helps}")
        raise UsageError(f"{name} is no picture that can be read here.", KINDS)
    size = size_of(data)
    if size is None:
        raise UsageError(f"{name} is damaged: its file does not say how large it is.")
    if size[0] * size[1] > MOST_PIXELS:
        raise UsageError(
            f"{name} has {size[0]} x {size[1]} pixels, and {MOST_PIXELS} are the most.",
            "Make it smaller first; the model sees it much smaller in any case.",
        )
    if kind_of(data) == "image/jpeg" and data.count(_SCAN) > _MOST_SCANS:
        raise UsageError(f"{name} is damaged: it holds its pixels too many times.")
    most = size[0] * size[1] * 8 + size[1] * 2 + _PIECE  # 16 bits, 4 channels, and what is between
    if kind_of(data) == "image/png" and _unpacks_to_more(data, most):
        raise UsageError(f"{name} is damaged: it holds something else than its pixels.")


def _unpacks_to_more(data: bytes, most: int) -> bool:
    """Whether a PNG holds more bytes than that, or what is no data at all. What decodes it unpacks
    all, however few pixels they are for."""
    packed, at = bytearray(), 8
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        packed += data[at + 8 : at + 8 + size] if name == b"IDAT" else b""
        at += 12 + size
    rest, unpacks = bytes(packed[2:]), zlib.decompressobj(-zlib.MAX_WBITS)  # without the header
    try:
        while rest and most >= 0 and not unpacks.eof:
            most -= len(unpacks.decompress(rest, _PIECE))
            rest = unpacks.unconsumed_tail
    except zlib.error:
        return True
    return most < 0


def _png(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise IndexError
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    return width, abs(height)  # below 0: the first row is the upper one


def _jpeg(data: bytes) -> tuple[int, int]:
    """That of the first frame."""
    for marker, at in _segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return width, height
    raise IndexError


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """The segments of a JPEG: their markers, and where each says how long it is. Raises IndexError
    or struct.error where the file ends too early."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        while data[at] == 0xFF:
            at += 1
        marker, at = data[at], at + 1
        if marker > 1 and not 0xD0 <= marker <= 0xD9:  # the others have no length
            yield marker, at
            at += _length(data, at)


def _orientation(data: bytes) -> int:
    """What the first directory of the EXIF segment says under the tag 0x112, in front of the
    picture itself; a segment of EXIF is a TIFF file but for its first ten bytes."""
    for marker, at in _segments(data):
        if marker == _IMAGE_BEGINS:
            return 1
        tiff = data[at + 8 : at + _length(data, at)]
        if marker != _EXIF or data[at + 2 : at + 8] != b"Exif\0\0":
            continue
        order = "<" if tiff.startswith(b"II") else ">"
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if tag == _ORIENTATION:
                return int(value) if 1 <= value <= 8 else 1
        return 1
    return 1


def _length(data: bytes, at: int) -> int:
    (length,) = struct.unpack_from(">H", data, at)
    return max(int(length), 2)


_SIZES = {"image/png": _png, "image/jpeg": _jpeg, "image/gif": _gif, "image/bmp": _bmp}
