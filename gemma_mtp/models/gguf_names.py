"""What the name of a GGUF file says: part of a split model, quantization, model, role.

Names are how files are found and told apart before they are read, here and on a hub; what a file
is, its header says. Reads no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

# Precision hardly changes what a drafter proposes, but how long it takes to propose it.
QUICKEST_DRAFTERS = ("Q4_0", "Q8_0", "BF16", "F16")

_PART = re.compile(r"-(\d{5})-of-(\d{5})(?=\.gguf$)")  # as llama.cpp writes and expects them
_QUANT = re.compile(r"((?:UD-)?(?:I?Q\d\w*|BF16|F16|F32|MXFP4\w*))$", re.IGNORECASE)
_QAT = re.compile(r"(?<![a-z])qat(?![a-z])", re.IGNORECASE)
_ASSISTANT = re.compile(r"(?:^|[-_.])assistant(?=$|[-_.])")


def part_number(name: str) -> int:
    """Which part of a split model `name` is, from 1; 0 when it is a model by itself."""
    match = _PART.search(name)
    number, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    return number if parts > 1 and 1 <= number <= parts else 0


def first_part(name: str) -> str:
    """The part of which llama.cpp is told; `name` itself when it is a model by itself."""
    return _PART.sub(r"-00001-of-\2", name) if part_number(name) else name


def part_names(name: str) -> list[str]:
    """All parts of the split model that `name` is a part of, in order; else `name` alone."""
    match = _PART.search(name)
    if match is None or not part_number(name):
        return [name]
    start, parts = name[: match.start()], int(match[2])
    return [f"{start}-{number:05d}-of-{parts:05d}.gguf" for number in range(1, parts + 1)]


def parts_of(path: Path) -> list[Path]:
    """The files that `path` stands for, by its name, whether they exist or not."""
    return [path.with_name(name) for name in part_names(path.name)]


def drafters_among(paths: Iterable[str]) -> list[str]:
    """Those named mtp-* or in a folder MTP; where none is, those named *-assistant*."""
    named = [path for path in paths if not is_encoder(path)]
    found = [path for path in named if _is_mtp(path)]
    return found or [path for path in named if _ASSISTANT.search(_bare(_name(path)))]


def is_encoder(path: str) -> bool:
    """Named as image encoders are."""
    return _name(path).startswith("mmproj")


def quantization(path: str) -> str:
    """As in Q4_0 or UD-Q4_K_XL; "" where the name has none."""
    match = _QUANT.search(_bare(PurePosixPath(path).name))
    return match[1] if match else ""


def model(path: str) -> str:
    """The name without role, quantization and training: gemma-4-12b-it."""
    name = _QUANT.sub("", _bare(_name(path))).rstrip("-_.")
    return _ASSISTANT.sub("", name.removeprefix("mtp-")).removesuffix("-qat")


def says_qat(text: str) -> bool:
    """Whether a name or a description speaks of quantization-aware training."""
    return _QAT.search(text) is not None


def drafter_rank(path: str) -> int:
    """The lower, the quicker a drafter of this quantization is expected to be."""
    found = quantization(path).upper()
    known = found in QUICKEST_DRAFTERS
    return QUICKEST_DRAFTERS.index(found) if known else len(QUICKEST_DRAFTERS)


def _is_mtp(path: str) -> bool:
    return _name(path).startswith("mtp-") or PurePosixPath(path.lower()).parent.name == "mtp"


def _name(path: str) -> str:
    return PurePosixPath(path).name.lower()


def _bare(name: str) -> str:
    """Without the ending and the number of the part."""
    whole = _PART.sub("", name)
    return whole[: -len(".gguf")] if whole.lower().endswith(".gguf") else whole
