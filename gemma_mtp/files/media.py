"""Pictures and recordings that a person or a program gives: parts of a message are made of them
here, for all who take any.

Knows nothing of what they hold; whether one can be decoded, the engine finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gemma_mtp.api import Audio, Image, Media, Part, pictures, recordings
from gemma_mtp.errors import UsageError
from gemma_mtp.files import reading
from gemma_mtp.files.reading import Say
from gemma_mtp.text import byte_size

LARGEST = 16 << 20  # bytes of one file; photographs have a third of that
UNNAMED = "This"  # what a file without a name is called


class OtherKind(UsageError):
    """A picture where a recording is meant, or the other way round; `hint` of its kind helps."""

    def __init__(self, called: str, found: Kind, meant: Kind) -> None:
        super().__init__(f"{called} is a {found.noun}, not a {meant.noun}.")
        self.found = found


@dataclass(frozen=True)
class Kind:
    """Pictures, or another kind of what goes along with a message beside its text.

    `noun` is one in words, `key` what programs call a list of them, which is also where `PairInfo`
    says whether a model understands any; with an `encoder` of that name it can do what `can` says.
    `suffixes`: how files are named that people mean as such; `check` says which of them cannot be
    read, and `smaller` what helps where one is too large. `media_type` is "" for what is no such
    file, and `other` what one is called that is not read here, "" if not known. `measure` is how
    large or how long one is, "" where its file does not say.
    """

    part: type[Media]
    noun: str
    key: str
    flag: str
    example: str
    shows: str
    encoder: str
    can: str
    suffixes: tuple[str, ...]
    smaller: str
    media_type: Callable[[bytes], str]
    other: Callable[[bytes], str]
    check: Callable[[bytes, str], None]
    measure: Callable[[bytes], str]

    def made(self, data: bytes, name: str = "") -> Media:
        """The part of a message that these bytes are; `name` is what sentences call it.

        Raises UsageError for what is no such file, or too large.
        """
        called = name or UNNAMED
        if len(data) > LARGEST:
            what = f"{byte_size(len(data))}: {byte_size(LARGEST)} are the most for a {self.noun}."
            raise UsageError(f"{called} has {what}", self.smaller)
        found = kind_of_data(data) or self
        if found is not self and found.media_type(data):
            raise OtherKind(called, found, self)
        found.check(data, called)
        return self.part(data, self.media_type(data), name)

    def read(self, path: Path, say: Say) -> Media:
        """That in a file. Raises UsageError."""
        try:
            data = reading.read_file(path, say)
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
        except reading.TooLarge as error:
            error.hint = self.smaller
            raise
        try:
            return self.made(data, str(path))
        except OtherKind as error:
            error.hint = error.found.hint
            raise

    @property
    def astray(self) -> str:
        """A sentence about some that are to go along with what the user has not said."""
        return (
            f"{self.key}: {self.noun}s belong to a message of the user, and the last one is none."
        )

    def lacking(self, model: str) -> str:
        """A sentence where a model does not understand any."""
        return f"{model} has no {self.encoder} here, so it cannot {self.can}."

    @property
    def hint(self) -> str:
        """How one is given on the command line."""
        return f"--{self.flag} FILE {self.shows}."


def _pixels(data: bytes) -> str:
    size = pictures.size_of(data)
    return "{}x{}".format(*size) if size else ""


def _length(data: bytes) -> str:
    seconds = recordings.length_of(data)
    return "" if seconds is None else "{}:{:02}".format(*divmod(max(round(seconds), 1), 60))


PICTURE = Kind(
    Image,
    noun="picture",
    key="images",
    flag="image",
    example="cat.png",
    shows="shows it to the model",
    encoder="image encoder",
    can="read pictures",
    suffixes=(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".heic", ".heif", ".avif", ".tif",
              ".tiff"),
    smaller="The model sees it much smaller in any case.",
    media_type=pictures.kind_of,
    other=pictures.other_kind,
    check=pictures.check_picture,
    measure=_pixels,
)  # fmt: skip
RECORDING = Kind(
    Audio,
    noun="recording",
    key="audio",
    flag="audio",
    example="memo.wav",
    shows="plays it to the model",
    encoder="audio encoder",
    can="hear recordings",
    suffixes=(".wav", ".mp3", ".flac", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".aiff", ".wma",
              ".webm", ".mp4", ".mov", ".mkv"),
    smaller="It is smaller as MP3: ffmpeg -i FILE -ac 1 memo.mp3",
    media_type=recordings.kind_of,
    other=recordings.other_kind,
    check=recordings.check_recording,
    measure=_length,
)  # fmt: skip
KINDS = (PICTURE, RECORDING)


def kind_of_name(name: str) -> Kind | None:
    """What a file is by its name; None for what is neither."""
    return next((kind for kind in KINDS if name.lower().endswith(kind.suffixes)), None)


def kind_of_data(data: bytes) -> Kind | None:
    """What a file is by its first bytes, be it read here or not; None for what is neither."""
    return next((kind for kind in KINDS if kind.media_type(data) or kind.other(data)), None)


def kind_of_part(part: Media) -> Kind:
    return next(kind for kind in KINDS if isinstance(part, kind.part))


def kinds_in(parts: Iterable[Media]) -> list[Kind]:
    """Those of which there are some."""
    found = [*parts]
    return [kind for kind in KINDS if any(isinstance(part, kind.part) for part in found)]


def placed(media: Iterable[Media], texts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts of a message: pictures before its text, and recordings behind it, as the model card
    of Gemma 4 has it."""
    found = [*media]
    before = (part for part in found if not isinstance(part, Audio))
    return (*before, *texts, *(part for part in found if isinstance(part, Audio)))


def described(part: Media) -> str:
    """One in a line of text: [picture cat.png 640x480], [recording memo.wav 0:12]."""
    kind = kind_of_part(part)
    shown = kind.measure(part.data) or byte_size(len(part.data))
    name = Path(part.name).name
    return f"[{kind.noun} {f'{name} ' if name else ''}{shown}]"
