"""What the first bytes of a recording say, and what a decoder is given of it."""

from __future__ import annotations

import random

import pytest
from support.sounds import flac, id3, mp3, wav

from gemma_mtp.api import mp3 as mp3_frames
from gemma_mtp.api.recordings import check_recording, kind_of, length_of, plain_file
from gemma_mtp.errors import UsageError

SHORT = [wav(), mp3(), flac()]


@pytest.mark.parametrize(
    ("data", "kind", "seconds"),
    [
        (wav(0.5), "audio/wav", 0.5),
        (wav(0.5, 48000, channels=2), "audio/wav", 0.5),
        (wav(0.5, before=b"LIST\5\0\0\0abcde\0"), "audio/wav", 0.5),
        (wav(0.5, size=0), "audio/wav", 0.5),
        (wav(0.5, size=0xFFFFFFFF), "audio/wav", 0.5),
        (wav(0.5, size=0x7FFFFFFF), "audio/wav", 0.5),
        (mp3(0.5), "audio/mpeg", 19 * 1152 / 44100),
        (mp3(0.5, info=19), "audio/mpeg", 19 * 1152 / 44100),
        (mp3(0.5, info=7), "audio/mpeg", 19 * 1152 / 44100),
        (mp3(0.5, id3(3000)), "audio/mpeg", 19 * 1152 / 44100),
        (mp3(0.5) + b"TAG" + bytes(125), "audio/mpeg", 19 * 1152 / 44100),
        (flac(0.5), "audio/flac", 0.5),
        (id3() + flac(0.5), "audio/flac", 0.5),
    ],
)
def test_kind_and_length(data: bytes, kind: str, seconds: float) -> None:
    assert (kind_of(data), length_of(data)) == (kind, pytest.approx(seconds))
    check_recording(data, "a.b")


@pytest.mark.parametrize("data", SHORT)
def test_the_plain_file_is_its_own(data: bytes) -> None:
    assert plain_file(plain_file(data)) == plain_file(data) == data


def test_what_surrounds_the_sound_is_left_out() -> None:
    assert plain_file(wav(before=b"LIST\4\0\0\0abcd")) == wav()
    assert plain_file(id3() + mp3() + b"TAG" + bytes(125)) == mp3()
    assert plain_file(mp3(info=19)) == mp3(info=19)
    assert plain_file(mp3(info=2**31)) == mp3()
    assert plain_file(mp3(info=7)[:417] + mp3(info=2**31)) == mp3()
    assert plain_file(mp3(info=7)[:417] + mp3(info=19)) == mp3(info=19)
    assert plain_file(id3() + flac()) == flac()
    assert plain_file(mp3()[:400] + mp3()) == mp3()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "it is empty."),
        (b"<svg/>", "it is no recording that can be read here."),
        (b"\0\0\0\x18ftypM4A " + bytes(8), "it is an M4A recording (AAC), which cannot"),
        (b"\0\0\0\x18ftypisom" + bytes(8), "it is a video (MP4), which cannot"),
        (b"\0\0\0\x18ftypheic" + bytes(8), "it is no recording that can be read here."),
        (b"OggS" + bytes(30), "it is an OGG recording (Opus or Vorbis), which cannot"),
        (b"\x1a\x45\xdf\xa3" + bytes(30), "it is a WebM or MKV file, which cannot"),
        (b"\xff\xf1\x50\x80" + bytes(30), "it is an AAC recording, which cannot"),
        (wav(tag=2, depth=4), "it is a WAV recording of a compressed kind, which cannot be read"),
        (wav(data=b""), "it is too short: nothing could be heard in 0.00 seconds."),
        (wav(0.05), "it is too short: nothing could be heard in 0.05 seconds."),
        (wav()[:40], "it is damaged."),
        (wav(rate=0, data=bytes(100)), "it is damaged."),
        (id3() + b"nothing of the kind", "it is damaged."),
        (mp3(info=2**31)[:417], "it is damaged."),
        (flac(samples=0), "it does not say how long it lasts, as FLAC files can."),
        (flac(rate=384_000, channels=2), "it has more channels, or samples a second, than"),
        (flac(samples=2**36 - 1), "it lasts 71583 minutes, and 30 are the most."),
        (wav(rate=4000, depth=8, data=bytes(4000 * 1860)), "it lasts 31 minutes, and 30 are"),
    ],
)
def test_what_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(UsageError) as error:
        check_recording(data, "it")
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("whole", SHORT)
def test_a_damaged_file_gives_a_length_or_none(whole: bytes) -> None:
    chance = random.Random(7)
    for _ in range(300):
        data = bytearray(whole[: chance.randrange(len(whole))])
        for _ in range(min(len(data), 4)):
            data[chance.randrange(min(len(data), 80))] = chance.randrange(256)
        length = length_of(bytes(data))
        assert length is None or length >= 0


def test_what_looks_like_frames_of_mp3_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mp3_frames, "_MOST_FALSE", 1000)
    assert length_of(id3() + b"\xff\xfb\x90\xfd" * 2000) is None
