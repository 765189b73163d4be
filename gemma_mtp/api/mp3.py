"""The frames of an MP3: how long they last, and the file with nothing in it but them.

`recordings` asks. It keeps in step with what decodes the file, which looks for frames by itself and
believes a first one that says how many follow. Pure.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

# A header of 4 bytes: versions 2.5, 2 and 1 of layer III, with a bit rate.
_MP3 = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][\x10-\xef].", re.DOTALL)
# Bit rates by their number in the header: of version 1, and of the others.
_KILOBITS = ((0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
             (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160))  # fmt: skip
_MOST_FALSE = 100_000  # places that look like a frame and are none, until a file counts as damaged


class _Frame(NamedTuple):
    size: int  # bytes
    samples: int
    rate: int
    mono: bool


@lru_cache(4096)
def mp3_frame(head: bytes) -> _Frame | None:
    """What the header of a frame says; None for what is no header."""
    if not _MP3.fullmatch(head) or head[2] >> 2 & 3 == 3:
        return None
    version = head[1] >> 3 & 3  # 3: 1, 2: 2, 0: 2.5
    rate = (44100, 48000, 32000)[head[2] >> 2 & 3] >> (0, 1, 2)[{3: 0, 2: 1, 0: 2}[version]]
    samples = 1152 if version == 3 else 576
    bits = 1000 * _KILOBITS[version != 3][head[2] >> 4]
    return _Frame(
        samples // 8 * bits // rate + (head[2] >> 1 & 1), samples, rate, head[3] >> 6 == 3
    )


def mp3_sound(data: bytes, at: int) -> tuple[float, bytes] | None:
    """The seconds, and all frames of the kind of the first one behind `at`, without what lies
    between them; None where there are none."""
    frames: list[tuple[int, int]] = []
    kind: tuple[int, int, bool] | None = None
    false = 0
    while match := _MP3.search(data, at):
        frame, at = mp3_frame(match[0]), match.start()
        end = at + frame.size if frame else at
        sure = frame is not None and (kind == frame[1:] or mp3_frame(data[end : end + 4]))
        if frame is None or not sure or (kind and kind != frame[1:]):
            at, false = at + 1, false + 1
            if false > _MOST_FALSE:
                return None
            continue
        if end <= len(data):  # the last one may be cut
            frames.append((at, end))
        kind, at = frame[1:], end
    if not frames or kind is None:
        return None
    begin, rest = 0, len(frames) - 1
    while (said := _said_frames(data[slice(*frames[begin])])) not in (None, rest) and rest:
        begin, rest = begin + 1, rest - 1  # it holds no sound, and what it says is wrong
    samples, rate, _ = kind
    if not (sounding := rest + 1 if said is None else rest):
        return None
    plain = b"".join(data[start:end] for start, end in frames[begin:])
    return sounding * samples / rate, plain


def _said_frames(frame: bytes) -> int | None:
    """How many frames of sound follow, as the first one says instead of holding any; 0 where it
    does not say, None for one of sound."""
    found = [at for tag in (b"Xing", b"Info") if (at := frame.find(tag, 4, 48)) > 0]
    if not found:
        return None
    at = found[0]
    return int.from_bytes(frame[at + 8 : at + 12], "big") if frame[at + 7] & 1 else 0
