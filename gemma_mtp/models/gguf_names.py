"""What the name of a GGUF file says: part of a split model, quantization, model, role.

Names are how files are found and told apart before they are read, here and on a hub; what a file
is, its header says. Reads no file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

# Precision hardly changes what a drafter proposes, but how long it takes to propose it.
QUICKEST_DRAFTERS = ("Q4_0", "Q8_0", "BF16", "F16")
ENCODERS = ("F16", "BF16", "Q8_0", "F32")  # of images, in the order in which they are preferred
LARGEST_DRAFTER = 1500 << 20  # bytes; that of 31B takes 1 GB in 16 bits, the smallest target 2.3 GB

_PART = re.compile(r"-(\d{5})-of-(\d{5})(?=\.gguf$)")  # as llama.cpp writes and expects them
_BITS = r"(?:UD-)?(?:I?Q\d\w*?|TQ\d_\d|BF16|F16|F32|MXFP4\w*?)"
# Google writes gemma-4-31B_q4_0-it; others, what was done to the table of tokens or the role last.
_QUANT = re.compile(rf"(?:^|(?<=[-_. ]))({_BITS})(?=([-_]q\d+emb|[-_]it|[-_]mtp)*$)", re.IGNORECASE)
_QAT = re.compile(r"(?<![a-z])qat(?![a-z])", re.IGNORECASE)
_WORDS = re.compile(r"[-_. ]+")
ROLES = ("mtp", "assistant", "draft", "drafter")
_NO_NAME = (*ROLES, "mmproj", "qat", "i1", "google", *(f"q{bits}emb" for bits in (4, 5, 6, 8)))
# What comes beside models and is none: encoders of pictures, statistics, adapters, vocabularies,
# and drafters of kinds that Gemma 4's own llama.cpp support does not cover.
_ENCODERS = ("mmproj",)
_NO_MODELS = ("imatrix", "dflash", "dspark", "eagle", "eagle3")
_SMALL_NO_MODELS = ("lora", "adapter", "vocab")  # a model of that name, merged, is large


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


def parts_of(*models: Path) -> list[Path]:
    """The files that these paths stand for, by their names, whether they exist or not."""
    return [path.with_name(name) for path in models for name in part_names(path.name)]


def drafters_among(sizes: Mapping[str, int | None]) -> list[str]:
    """Those named mtp-* or in a folder named so; where none is, those with such a word anywhere in
    their names that are not too large for it. `sizes` are their bytes, by path."""
    models = [path for path, size in sizes.items() if not is_no_model(path, size)]
    found = [path for path in models if _is_mtp(path)]
    small = (path for path in models if (sizes[path] or 0) <= LARGEST_DRAFTER)
    return found or [path for path in small if any(role in _words(path) for role in ROLES)]


def is_no_model(path: str, size: int | None) -> bool:
    """Named as what lies beside models, and of such a size in bytes: an image encoder, statistics,
    an adapter."""
    small = (size or 0) <= LARGEST_DRAFTER
    words = (*_NO_MODELS, *(_SMALL_NO_MODELS if small else ()))
    return is_encoder(path) or any(word in _words(path) for word in words)


def is_encoder(path: str) -> bool:
    """Named as image encoders are, and certainly no model."""
    return any(word in _words(path) for word in _ENCODERS)


def quantization(path: str) -> str:
    """As in Q4_0 or UD-Q4_K_XL, by its name or its folder's; "" where neither has one."""
    whole = PurePosixPath(path)
    match = _QUANT.search(_bare(whole.name)) or _QUANT.search(whole.parent.name)
    return match[1] if match else ""


def model(path: str) -> str:
    """The name without role, quantization and training: gemma-4-12b-it."""
    name = _QUANT.sub("", _bare(_name(path)))
    return "-".join(word for word in _WORDS.split(name) if word and word not in _NO_NAME)


def says_qat(text: str) -> bool:
    """Whether a name or a description speaks of quantization-aware training."""
    return _QAT.search(text) is not None


def drafter_rank(path: str) -> int:
    """The lower, the quicker a drafter of this quantization is expected to be."""
    found = quantization(path).upper()
    known = found in QUICKEST_DRAFTERS
    return QUICKEST_DRAFTERS.index(found) if known else len(QUICKEST_DRAFTERS)


def best_encoder(target: str, encoders: Collection[str]) -> str:
    """The image encoder for the target at this path: one beside it or at the root, with its name
    or with none, in the precision that is quickest; "" where there is none.

    Of those in 16 bits F16 comes first: all devices compute with it.
    """
    name, folder = model(target), PurePosixPath(target).parent

    def rank(path: str) -> tuple[bool, bool, int, str]:
        beside = "/" not in path or PurePosixPath(path).parent == folder
        kind = quantization(path).upper()
        known = ENCODERS.index(kind) if kind in ENCODERS else len(ENCODERS)
        return model(path) not in ("", name), not beside, known, path

    return min((path for path in encoders if not part_number(path)), key=rank, default="")


def _is_mtp(path: str) -> bool:
    folder = PurePosixPath(path.lower()).parent.name
    return _name(path).startswith(("mtp-", "mtp_")) or folder in ROLES


def _words(path: str) -> list[str]:
    return _WORDS.split(_bare(_name(path)))


def _name(path: str) -> str:
    return PurePosixPath(path).name.lower()


def _bare(name: str) -> str:
    """Without the ending and the number of the part."""
    whole = _PART.sub("", name)
    return whole[: -len(".gguf")] if whole.lower().endswith(".gguf") else whole
