"""Finds the drafter of a target that the user named by its file: by headers, training, name, place.

Looks beside the target, in a folder MTP there, and, where the target lies in a folder named after
its quantization, in the folder above. `store` asks. Knows neither llama.cpp nor the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.models import gguf, gguf_names, pair_check
from gemma_mtp.models.catalogue import Catalogue
from gemma_mtp.models.check_cache import remembered
from gemma_mtp.models.size_of_file import says_qat


def find_drafter(target: Path, catalogue: Catalogue) -> tuple[Path | None, str]:
    """The drafter that belongs to `target`; else None, and why, if there was one to look at.

    The choice is remembered until one of the files changes.
    """
    near = list(_drafters_near(target))
    if not near:
        return None, ""
    files = [target, *near, paths.own_models()]  # the catalogue has a say
    drafter, why = json.loads(remembered(files, lambda: json.dumps(_find(target, near, catalogue))))
    return Path(drafter) if drafter else None, why


def _find(target: Path, near: list[Path], catalogue: Catalogue) -> tuple[str, str]:
    ours = gguf.read_header(target)
    fitting: list[gguf.Header] = []
    problems: list[GemmaMtpError] = []
    for path in near:
        try:
            header = gguf.read_header(path)
            pair_check.check_pair(ours, header)
            fitting.append(header)
        except GemmaMtpError as error:
            problems.append(error)
    best = _best(ours, fitting, catalogue)
    if len(best) == 1:
        return str(best[0].path), ""
    if best:
        names = ", ".join(drafter.path.name for drafter in best)
        return "", f"several drafters fit it: {names}; name one with --drafter"
    return "", f"there is no drafter for this model: {problems[0]}".rstrip(".")


def _best(
    target: gguf.Header, fitting: list[gguf.Header], catalogue: Catalogue
) -> list[gguf.Header]:
    """The one to use, or those between which only the user can decide.

    A drafter that was trained on other weights fits as well and guesses worse, so training comes
    first. Files of the same name but for their quantization are taken for the same weights.
    """
    name, qat = gguf_names.model(target.path.name), _is_qat(target, catalogue)
    best = [d for d in fitting if _is_qat(d, catalogue) == qat] or fitting
    best = [d for d in best if gguf_names.model(d.path.name) == name] or best
    best = [d for d in best if d.path.parent == best[0].path.parent]  # the nearest comes first
    if len({gguf_names.model(d.path.name) for d in best}) > 1:
        return best
    return sorted(best, key=lambda d: d.file_size)[:1]


def _is_qat(header: gguf.Header, catalogue: Catalogue) -> bool:
    """Whether it was trained for its quantization: as it says, or as the catalogue says of a file
    of exactly this size, since published drafters of both kinds have the same name."""
    if says_qat(header.metadata, header.path.name):
        return True
    known = (e for e in catalogue.entries if header.file_size in (e.target.total, e.drafter.total))
    return any(entry.qat for entry in known)


def _drafters_near(target: Path) -> Iterator[Path]:
    """Files whose headers say that they are drafters, the nearest first."""
    folder = target.parent
    named_after_quantization = gguf_names.quantization(folder.name) == folder.name != ""
    for near in (folder, folder.parent) if named_after_quantization else (folder,):
        below = [path for path in _entries(near) if path.name.lower() == "mtp" and path.is_dir()]
        for place in (near, *below):
            for path in _entries(place):
                first = path.suffix.lower() == ".gguf" and gguf_names.part_number(path.name) < 2
                if first and path.is_file() and pair_check.is_drafter_arch(gguf.architecture(path)):
                    yield path


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
