"""Whether an encoder belongs to a target, from their headers; and the one that lies beside a target
that the user named by its file.

`store` and pulls ask. An encoder is what llama.cpp calls mmproj: it turns pictures and
recordings into embeddings of the target's width.
"""

from __future__ import annotations

from pathlib import Path

from gemma_mtp.errors import BadPair, GemmaMtpError
from gemma_mtp.models import gguf, gguf_names, hub_names, local_names
from gemma_mtp.models.catalogue import Catalogue, Entry
from gemma_mtp.models.check_cache import remembered
from gemma_mtp.models.encoder_rules import check_encoder_keys, check_pictures, parts_of
from gemma_mtp.models.encoder_sounds import check_sounds
from gemma_mtp.models.gguf_header import Header
from gemma_mtp.models.header_keys import refuse
from gemma_mtp.models.pair_check import TARGET_ARCH

ENCODER_ARCH = "clip"
KINDS = {"vision": ("gemma4v", "gemma4uv"), "audio": ("gemma4a", "gemma4ua")}
"""What the parts of Gemma 4's encoders are called: a transformer, and that of 12B, which is hardly
one."""
CHECKS = {"vision": check_pictures, "audio": check_sounds}
EXAMPLE = "e2b"  # the smallest model of the catalogue that reads pictures
BESIDE = "Its mmproj-*.gguf is looked for in the folder of the model file."
HEARING = "E2B, E4B and 12B hear: gemma-mtp pull e2b"
ONLY_PICTURES = "{} is for pictures alone. " + HEARING
WRONG_ENCODER = "Use the mmproj file that was published together with this target."


def check_encoder(target: Header, encoder: Header) -> None:
    """Raise `BadPair` unless the encoder is one of Gemma 4 for targets of this width."""
    metadata = encoder.metadata
    parts = parts_of(encoder)
    if encoder.architecture != ENCODER_ARCH or not parts:
        raise refuse(encoder, "is no encoder of pictures or recordings (mmproj).", WRONG_ENCODER)
    if len(encoder.files) > 1:  # of which it would read the first alone, and end the process
        raise refuse(encoder, "is in several files, which llama.cpp cannot read.", WRONG_ENCODER)
    ours = target.metadata.get(f"{TARGET_ARCH}.embedding_length")
    for part in parts:
        if (kind := _kind(encoder, part)) not in KINDS[part]:
            what = f"is an encoder of the kind {kind[:40]!r}, not Gemma 4's."
            raise refuse(encoder, what, WRONG_ENCODER)
        theirs = metadata.get(f"clip.{part}.projection_dim")
        if ours != theirs:
            why = f"it is made for width {theirs}, the target has {ours}"
            raise BadPair(
                f"{encoder.path.name} does not belong to {target.path.name}: {why}.", WRONG_ENCODER
            )
    check_encoder_keys(encoder)
    for part in parts:
        CHECKS[part](encoder, _kind(encoder, part))


def _kind(encoder: Header, part: str) -> str:
    # In this order llama.cpp asks for it.
    names = ("clip.projector_type", f"clip.{part}.projector_type")
    return next((str(encoder.metadata[name]) for name in names if encoder.metadata.get(name)), "")


def what_brings_encoder(name: str, target: Path, catalogue: Catalogue) -> str:
    """What helps where the model of this name has no image encoder here, as a hint."""
    if hub_names.names_source(name) and not local_names.is_local(name):
        return f"gemma-mtp pull {name}"
    entry = catalogue.find(name)
    if entry is None:
        return why_none_near(target) or BESIDE
    if entry.encoder is None:
        return f"{EXAMPLE} has one: gemma-mtp pull {EXAMPLE}"
    return f"gemma-mtp pull {entry.name}"


def parts_in(encoder: Path) -> list[str]:
    """Which of "vision" and "audio" an encoder that fits is for; none where it cannot be read."""
    own = lambda: " ".join(parts_of(gguf.read_header(encoder)))  # noqa: E731
    try:
        return remembered([encoder], own, "parts").split()
    except GemmaMtpError:
        return []


def what_brings_hearing(encoder: Path | None, lacking: str, entry: Entry | None) -> str:
    """What helps where recordings are not understood, as a hint: `lacking` where an encoder is;
    "" where they are."""
    if encoder is not None:
        return "" if "audio" in parts_in(encoder) else ONLY_PICTURES.format(encoder.name)
    deaf = entry is not None and entry.encoder is not None and not entry.hears
    return HEARING if deaf else lacking


def encoder_near(target: Path) -> Path | None:
    """The image encoder in the folder of a target, or, where that is named after a quantization,
    in the one above it. What does not fit is passed over."""
    if not (near := _near(target)):
        return None
    found = remembered([target, *near], lambda: _fitting(target, near), "encoder")
    return Path(found) if found else None


def why_none_near(target: Path) -> str:
    """What is wrong with the image encoder that lies there and was passed over; "" for none."""
    near = {path.name: path for path in reversed(_near(target))}
    if not (name := gguf_names.best_encoder(target.name, list(near))):
        return ""
    return remembered([target, near[name]], lambda: _problem(target, near[name]), "no encoder")


def _near(target: Path) -> list[Path]:
    folder = target.parent
    above = [folder.parent] if gguf_names.quantization(folder.name) == folder.name != "" else []
    return [path for place in (folder, *above) for path in _encoders_in(place)]


def _problem(target: Path, encoder: Path) -> str:
    try:
        check_encoder(gguf.read_header(target), gguf.read_header(encoder))
    except GemmaMtpError as error:
        return f"{error} {error.hint}".strip()
    return ""


def fits(target: Path, encoder: Path) -> bool:
    """Whether llama.cpp can load this encoder for the target."""
    check = lambda: _problem(target, encoder)  # noqa: E731
    return encoder.is_file() and not remembered([target, encoder], check, "no encoder")


def _fitting(target: Path, near: list[Path]) -> str:
    ours, left = gguf.read_header(target), {path.name: path for path in reversed(near)}
    while name := gguf_names.best_encoder(target.name, list(left)):
        path = left.pop(name)
        try:
            check_encoder(ours, gguf.read_header(path))
            return str(path)
        except GemmaMtpError:
            continue
    return ""


def _encoders_in(folder: Path) -> list[Path]:
    try:
        names = sorted(folder.iterdir())
    except OSError:
        return []
    return [
        path
        for path in names
        if path.suffix.lower() == ".gguf" and gguf_names.is_encoder(path.name) and path.is_file()
    ]
