"""Files of recordings, small and whole, for the tests."""

from __future__ import annotations

import math
import struct

import numpy as np


def tune(seconds: float, rate: int = 16000, seed: int = 1) -> np.ndarray:
    """16-bit samples: notes of chance, 20 a second."""
    at = np.arange(round(seconds * rate))
    notes = 2.0 ** np.random.default_rng(seed).uniform(7, 11, at.size * 20 // rate + 1)
    wave = np.sin(2 * math.pi * np.cumsum(notes[at * 20 // rate]) / rate)
    return np.asarray(wave * 20000, dtype="<i2")


def wav(
    seconds: float = 0.5, rate: int = 16000, seed: int = 1, *, tag: int = 1,
    channels: int = 1, depth: int = 16, data: bytes | None = None, size: int | None = None,
    before: bytes = b"",
) -> bytes:  # fmt: skip
    """WAV; `size` is what its header claims, `before` are chunks in front of the sound."""
    sound = np.repeat(tune(seconds, rate, seed), channels).tobytes() if data is None else data
    frame = channels * depth // 8
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, rate, rate * frame, frame, depth)
    claimed = len(sound) if size is None else size
    body = b"WAVE" + form + before + struct.pack("<4sI", b"data", claimed) + sound
    return b"RIFF" + struct.pack("<I", len(body) % 2**32) + body


def mp3(seconds: float = 0.5, tag: bytes = b"", info: int | None = None) -> bytes:
    """MP3 of nothing but silence, at 44.1 kHz and 128 kbit/s; `info`: a first frame without sound
    that says how many there are."""
    silent = b"\xff\xfb\x90\xc4" + bytes(413)
    first = b""
    if info is not None:
        first = silent[:21] + b"Info" + struct.pack(">II", 1, info)
        first += bytes(417 - len(first))
    return tag + first + silent * max(1, round(seconds * 44100 / 1152))


def flac(
    seconds: float = 0.5, rate: int = 16000, samples: int | None = None, channels: int = 1
) -> bytes:
    """FLAC as it is written without compression; `samples` and `channels` are what its header
    claims."""
    sound, block = tune(seconds, rate), 4096
    total = len(sound) if samples is None else samples
    info = struct.pack(">HH", block, block) + bytes(6)
    info += struct.pack(">Q", rate << 44 | channels - 1 << 41 | 15 << 36 | total) + bytes(16)
    frames = [_flac_frame(n, sound[n * block :][:block]) for n in range(-(-len(sound) // block))]
    return b"fLaC\x80\0\0\x22" + info + b"".join(frames)


def id3(size: int = 20) -> bytes:
    return b"ID3\4\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)


def _flac_frame(number: int, sound: np.ndarray) -> bytes:
    head = b"\xff\xf8\x70\x08" + bytes([number]) + struct.pack(">H", len(sound) - 1)
    head += bytes([_crc(head, 0x07, 8)])
    frame = head + b"\x02" + sound.astype(">i2").tobytes()
    return frame + struct.pack(">H", _crc(frame, 0x8005, 16))


def _crc(data: bytes, poly: int, bits: int) -> int:
    value, top, mask = 0, 1 << (bits - 1), (1 << bits) - 1
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ poly if value & top else value << 1) & mask
    return value
