"""What the first bytes of a picture say."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Literal

import pytest
from support.drawn import bmp, gif, jpeg, png, webp

from gemma_mtp.api import Image
from gemma_mtp.api.pictures import KINDS, check_picture, kind_of, size_of, turn_of
from gemma_mtp.errors import UsageError
from gemma_mtp.files import media
from gemma_mtp.files.media import PICTURE, described


@pytest.mark.parametrize(
    ("data", "kind", "size"),
    [
        (png(640, 480), "image/png", (640, 480)),
        (jpeg(4032, 3024), "image/jpeg", (4032, 3024)),
        (gif(10, 20), "image/gif", (10, 20)),
        (bmp(7, 9), "image/bmp", (7, 9)),
        (bmp(7, -9), "image/bmp", (7, 9)),
    ],
)
def test_kind_and_size(data: bytes, kind: str, size: tuple[int, int]) -> None:
    assert PICTURE.made(data, "a.b") == Image(data, kind, "a.b")
    assert size_of(data) == size


@pytest.mark.parametrize("whole", [png(5, 5), jpeg(5, 5), gif(5, 5), bmp(5, 5)])
def test_a_beginning_of_any_length_does_no_harm(whole: bytes) -> None:
    for end in range(len(whole)):
        kind_of(whole[:end])
        assert size_of(whole[:end]) in (None, (5, 5))


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_how_the_camera_was_held(order: Literal["little", "big"], turn: int) -> None:
    data = jpeg(40, 30, turn, order)
    assert turn_of(data) == turn
    assert size_of(data) == (40, 30)
    for end in range(len(data)):
        assert turn_of(data[:end]) in (1, turn)


def test_how_no_camera_was_held() -> None:
    assert turn_of(jpeg(40, 30, 77)) == turn_of(jpeg(40, 30)) == turn_of(png()) == 1


def test_segments_that_never_end() -> None:
    assert size_of(b"\xff\xd8\xff" + b"\xff" * 1000) is None
    assert size_of(b"\xff\xd8\xff\xe0\0\0" * 100) is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "cat.png is no picture that can be read here."),
        (b"<svg/>", "cat.png is no picture that can be read here."),
        (b"RIFF\x24\0\0\0ACONLIST", "cat.png is no picture that can be read here."),
    ],
)
def test_what_is_none(data: bytes, said: str) -> None:
    with pytest.raises(UsageError) as error:
        PICTURE.made(data, "cat.png")
    assert (str(error.value), error.value.hint) == (said, KINDS)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (webp(), "a WebP picture"),
        (b"\0\0\0\x18ftypheic" + bytes(8), "a HEIC picture"),
        (b"\0\0\0\x18ftypmif1" + bytes(8), "a HEIC picture"),
        (b"\0\0\0\x18ftypavif" + bytes(8), "an AVIF picture"),
        (b"II*\0" + bytes(8), "a TIFF picture"),
        (b"%PDF-1.4\n", "a PDF document"),
    ],
)
def test_what_phones_scanners_and_web_pages_give_is_called_by_its_name(
    data: bytes, kind: str
) -> None:
    with pytest.raises(UsageError, match=f"^it is {kind}, which cannot be read here") as error:
        PICTURE.made(data, "it")
    helps = "ffmpeg -i FILE picture.png makes one of it."
    if "HEIC" in kind or "PDF" in kind:  # of which ffmpeg reads some, or none
        helps = "Save it as one of these first."
    assert error.value.hint == f"{KINDS} {helps}"


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "LARGEST", 20)
    with pytest.raises(UsageError, match=r"a\.png has \d+ bytes: 20 bytes are the most"):
        PICTURE.made(png(), "a.png")


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    found = PICTURE.read(tmp_path / "a.png", print)
    assert (found.media_type, found.name) == ("image/png", str(tmp_path / "a.png"))
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        PICTURE.read(tmp_path / "b.png", print)


def test_in_words() -> None:
    assert described(Image(png(640, 480), "image/png", "/tmp/cat.png")) == (
        "[picture cat.png 640x480]"
    )
    assert described(Image(b"\xff\xd8\xff", "image/jpeg")) == "[picture 3 bytes]"


def test_a_png_that_holds_more_than_its_pixels_is_not_unpacked() -> None:
    whole = png(100, 100)
    start, packed = whole[: whole.index(b"IDAT") - 4], zlib.compress(bytes(4 << 20))
    bomb = start + struct.pack(">I4s", len(packed), b"IDAT") + packed + bytes(4)
    for data in (bomb, whole.replace(b"IHDR", b"CgBI")):
        with pytest.raises(UsageError, match="is damaged"):
            check_picture(data, "it")
    for data in (whole, png(1, 1), png(3000, 2)):
        check_picture(data, "it")


def test_a_jpeg_of_endless_scans_is_not_decoded() -> None:
    with pytest.raises(UsageError, match="it holds its pixels too many times"):
        check_picture(jpeg(8000, 8000) + b"\xff\xda\0\x08" * 2000, "it")
