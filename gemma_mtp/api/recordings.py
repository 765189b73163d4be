"""What the first bytes of a recording's file say: its kind, and how long it lasts.

Read before anybody decodes it: a small file may claim hours. `Request.check` asks it, and whoever
attaches a file may. What decodes is given the file as `plain_file` writes it, so that it finds
nothing that was not looked at here. Pure.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from gemma_mtp.api.mp3 import mp3_frame, mp3_sound
from gemma_mtp.errors import UsageError

MOST_SECONDS = 1800.0
"""Half an hour takes 45,000 positions of the context and, while it is decoded, 350 MB."""
LEAST_SECONDS = 0.1  # of less, nothing is left that could be heard

KINDS = "WAV, MP3 and FLAC are."  # what llama.cpp decodes
SAVE = "Save it as one of these first: ffmpeg -i FILE recording.mp3"
_OTHERS = {b"OggS": "an OGG recording (Opus or Vorbis)", b"\x1a\x45\xdf\xa3": "a WebM or MKV file",
           b"FORM": "an AIFF recording", b"caff": "a CAF recording", b"#!AMR": "an AMR recording",
           b"0&\xb2u": "a WMA recording", b"MThd": "a MIDI file, which holds no sound",
           b"RF64": "a WAV recording of more than 4 GB", b"ADIF": "an AAC recording"}  # fmt: skip
_BRANDS = {b"M4A ": "an M4A recording (AAC)", b"M4B ": "an M4A recording (AAC)",
           b"qt  ": "a video (MOV)", b"3gp": "a 3GP recording"}  # fmt: skip
"""What files of other kinds are called, by their first bytes; those of MP4 by bytes 8 to 11."""
_FILMS = (b"heic", b"heix", b"mif1", b"avif")  # pictures in the same container
_AAC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")

_RATES = range(4000, 384_001)  # samples a second
_CHANNELS = range(1, 9)
# Samples a second of all channels of a FLAC file: 8 channels of 48 kHz, 2 of 192 kHz. Half an hour
# of silence takes a few kilobytes there, and this many of them take 5 seconds to decode.
_MOST_A_SECOND = 384_000
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_DEPTHS = {_PCM: (8, 16, 24, 32), _FLOAT: (32, 64), 6: (8,), 7: (8,)}  # the last two: telephones
_REST = (0, 0xFFFFFFFF)  # sizes that say: up to the end of the file


class Damaged(Exception):
    """The rest of a sentence about the file, and a hint."""

    def __init__(self, what: str = "is damaged.", hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


class _Found(NamedTuple):
    seconds: float
    plain: bytes


def kind_of(data: bytes) -> str:
    """The media type, such as audio/wav; "" for what is no recording of a known kind."""
    if data.startswith(b"RIFF") and data[8:12] == b"WAVE":
        return "audio/wav"
    tagged = data.startswith(b"ID3")
    if data.startswith(b"fLaC", _after_tag(data)):
        return "audio/flac"
    return "audio/mpeg" if tagged or mp3_frame(data[:4]) else ""


def length_of(data: bytes) -> float | None:
    """How many seconds it lasts, as its headers say; None where they do not."""
    try:
        return _read(data).seconds
    except Damaged:
        return None


def plain_file(data: bytes) -> bytes:
    """The recording with nothing in its file but sound, and headers that were looked at. Raises
    Damaged."""
    return _read(data).plain


def check_recording(data: bytes, name: str) -> None:
    """Raise UsageError, with a sentence about `name`, for what is no recording that can be read."""
    if not data:
        raise UsageError(f"{name} is empty.")
    if not kind_of(data):
        if other := other_kind(data):
            raise UsageError(f"{name} is {other}, which cannot be read here.", f"{KINDS} {SAVE}")
        raise UsageError(f"{name} is no recording that can be read here.", KINDS)
    try:
        seconds = _read(data).seconds
    except Damaged as error:
        raise UsageError(f"{name} {error}", error.hint) from error
    if seconds > MOST_SECONDS:
        raise UsageError(
            f"{name} lasts {seconds / 60:.0f} minutes, and {MOST_SECONDS / 60:.0f} are the most.",
            "Cut it in parts first.",
        )
    if seconds < LEAST_SECONDS:
        raise UsageError(f"{name} is too short: nothing could be heard in {seconds:.2f} seconds.")


def other_kind(data: bytes) -> str:
    """What a file is called that people take for a recording that can be read; "" if not known."""
    if data[4:8] == b"ftyp" and data[8:12] not in _FILMS:
        brand = data[8:12]
        return next((n for b, n in _BRANDS.items() if brand.startswith(b)), "a video (MP4)")
    if data.startswith(b"RIFF") and data[8:12] == b"AVI ":
        return "a video (AVI)"
    if _AAC.match(data):
        return "an AAC recording"
    return next((name for start, name in _OTHERS.items() if data.startswith(start)), "")


def _read(data: bytes) -> _Found:
    try:
        return _READERS[kind_of(data)](data)
    except (KeyError, struct.error, IndexError) as error:
        raise Damaged from error


def _after_tag(data: bytes) -> int:
    """Where the sound begins: behind a tag with a title and a picture, which may be there."""
    if not data.startswith(b"ID3") or len(data) < 10:
        return 0
    size = sum(
        (byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True)
    )
    return 10 + size + 10 * bool(data[5] & 0x10)


def _wav(data: bytes) -> _Found:
    """The first chunk with a format and the first with sound behind it, under a header of the plain
    form."""
    form: tuple[int, int, int, int] | None = None
    at = 12
    while True:
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"fmt ":
            form = _wav_form(data, at)
        elif name == b"data" and form:
            break
        at += size + size % 2
    tag, channels, rate, depth = form
    frame = channels * depth // 8
    size = (len(data) - at if size in _REST else min(size, len(data) - at)) // frame * frame
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, tag,
                         channels, rate, rate * frame, frame, depth, b"data", size)  # fmt: skip
    return _Found(size / frame / rate, header + data[at : at + size])


def _wav_form(data: bytes, at: int) -> tuple[int, int, int, int]:
    """How the sound is written, the number of channels, samples a second, and bits of a sample."""
    tag, channels, rate, _, frame, depth = struct.unpack_from("<HHIIHH", data, at)
    if tag == _EXTENSIBLE:
        (tag,) = struct.unpack_from("<H", data, at + 24)
    if tag not in _DEPTHS:
        raise Damaged("is a WAV recording of a compressed kind, which cannot be read here.", SAVE)
    fits = depth in _DEPTHS[tag] and frame == channels * depth // 8
    if not fits or rate not in _RATES or channels not in _CHANNELS:
        raise Damaged
    return tag, channels, rate, depth


def _flac(data: bytes) -> _Found:
    """The description of the stream and its frames, without the blocks between them."""
    start = at = _after_tag(data) + 4
    last = False
    while not last:
        (head,) = struct.unpack_from(">I", data, at)
        last, kind, size = bool(head >> 31), head >> 24 & 0x7F, head & 0xFFFFFF
        if (kind == 0) != (at == start) or (kind == 0 and size != 34):
            raise Damaged
        at += 4 + size
    info = data[start + 4 : start + 38]
    least, most = struct.unpack_from(">HH", info)
    (bits,) = struct.unpack_from(">Q", info, 10)  # 20 rate, 3 channels, 5 depth, 36 samples
    rate, depth, samples = bits >> 44, (bits >> 36 & 31) + 1, bits & 0xFFFFFFFFF
    if rate not in _RATES or depth < 4 or not 16 <= least <= most or at >= len(data):
        raise Damaged
    if rate * ((bits >> 41 & 7) + 1) > _MOST_A_SECOND:
        raise Damaged("has more channels, or samples a second, than can be read here.", SAVE)
    if not samples:
        again = "ffmpeg -i FILE recording.flac writes one that does."
        raise Damaged("does not say how long it lasts, as FLAC files can.", again)
    return _Found(samples / rate, b"fLaC\x80\0\0\x22" + info + data[at:])


def _mp3(data: bytes) -> _Found:
    found = mp3_sound(data, _after_tag(data))
    if found is None:
        raise Damaged
    return _Found(*found)


_READERS = {"audio/wav": _wav, "audio/flac": _flac, "audio/mpeg": _mp3}
