"""Finds the drafter of a target that the user named by its file: by headers, training, name, place.

Looks beside the target, in a folder MTP there, where the target lies in a folder named after its
quantization in the folder above, and then among the pairs that were pulled. `store` asks. Knows
neither llama.cpp nor the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.models import foreign_drafter, gguf, gguf_names, pair_check
from gemma_mtp.models.catalogue import Catalogue
from gemma_mtp.models.check_cache import remembered
from gemma_mtp.models.pair_record import read_record
from gemma_mtp.models.size_of_file import drafter_of_size, says_qat


def find_drafter(target: Path, catalogue: Catalogue) -> tuple[Path | None, str]:
    """The drafter that belongs to `target`, and where it is from if it is not the target's own;
    else None, and why there is none.

    The choice is remembered until one of the files changes.
    """
    near, pulled = list(_drafters_near(target)), dict(_pulled_drafters())
    files = [target, *near, *pulled, paths.own_models()]  # the catalogue has a say
    drafter, why = json.loads(
        remembered(files, lambda: json.dumps(_find(target, [*near, *pulled], near, catalogue)))
    )
    if not drafter:
        return None, why
    found = Path(drafter)
    return found, f"Its drafter is that of {pulled[found]}." if found in pulled else ""


def _find(
    target: Path, places: list[Path], near: list[Path], catalogue: Catalogue
) -> tuple[str, str]:
    """The path of the drafter, or "" and why there is none; those that are `near` are spoken of."""
    ours = gguf.read_header(target)
    fitting: list[gguf.Header] = []
    problems: list[GemmaMtpError] = []
    for path in places:
        try:
            header = gguf.read_header(path)
            foreign_drafter.check(ours, header)
            fitting.append(header)
        except GemmaMtpError as error:
            problems += [error] if path in near else []
    best = _best(ours, fitting, catalogue)
    if len(best) == 1:
        return str(best[0].path), ""
    if best:
        names = ", ".join(drafter.path.name for drafter in best)
        return "", f"several drafters fit it: {names}; name one with --drafter"
    known = drafter_of_size(ours.metadata, _is_qat(ours, catalogue), catalogue)
    pull = f"that of {known[0].name} fits: gemma-mtp pull {known[0].name}" if known else ""
    why = [str(problem).rstrip(".") for problem in problems[:1]] + [pull] * bool(pull)
    return "", f"there is no drafter for this model: {'; '.join(why)}" if why else ""


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


def _pulled_drafters() -> Iterator[tuple[Path, str]]:
    """Those of complete pairs, and the names of these."""
    for folder in _entries(paths.models_dir()):
        if record := read_record(folder):
            first = next((file.path for file in record.files if file.role == "drafter"), "")
            if first and (folder / first).is_file():
                yield folder / first, record.name


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
