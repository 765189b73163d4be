"""Finds the drafter of a target that the user named by its file: by headers, training, name, place.

Looks beside the target, in a folder MTP or assistant there, where the target lies in a folder named
after its quantization in the folder above, and then among the pairs that were pulled. `store` asks.
Knows neither llama.cpp nor the network.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.files import disk
from gemma_mtp.models import drafter_rule, foreign_drafter, gguf, gguf_names, pair_check
from gemma_mtp.models.catalogue import Catalogue, Entry
from gemma_mtp.models.check_cache import remembered
from gemma_mtp.models.contents import sampled
from gemma_mtp.models.pair_record import read_record
from gemma_mtp.models.size_of_file import drafter_of_size, says_qat
from gemma_mtp.text import byte_size

ALONE = "drafter-"  # begins the name of a drafter that was pulled alone; its pair's follows
SEVERAL = "several drafters fit it"
UNCONVERTED = "its drafter cannot be converted"


@dataclass(frozen=True)
class Found:
    """The drafter of a target, else why there is none. `drafter_of` is whose it is, if it is not
    the target's own. Where nothing says which of two kinds fits, `rival` is one of the other."""

    drafter: Path | None
    why_none: str = ""
    drafter_of: str = ""
    rival: Path | None = None
    rival_of: str = ""


@dataclass(frozen=True)
class _Pulled:
    """Whose a drafter is that was pulled: the name of the pair, and its target."""

    name: str
    target: Path | None  # None: it was pulled alone

    def is_that_of(self, target: Path) -> bool:
        """Whether `target` is a copy of the target of this pair."""
        if self.target is None:
            return False
        with suppress(OSError):
            same_size = disk.size_of(self.target) == disk.size_of(target)
            return same_size and sampled(self.target) == sampled(target)
        return False


def find_drafter(target: Path, catalogue: Catalogue) -> Found:
    """The drafter that belongs to `target`. The choice is remembered until one of the files
    changes."""
    near, pulled = list(_drafters_near(target)), dict(_pulled_drafters())
    files = [target, *near, *pulled, paths.own_models()]  # the catalogue has a say
    find = lambda: json.dumps(_find(target, near, list(pulled), catalogue))  # noqa: E731
    drafter, rival, why = json.loads(remembered(files, find, "drafter"))
    if not drafter:
        return Found(None, why)
    found, other = Path(drafter), Path(rival) if rival else None
    return Found(
        found,
        drafter_of=_whose(target, pulled.get(found)),
        rival=other,
        rival_of=_whose(target, pulled.get(other)) if other else "",
    )


def find_rival(
    target: Path, drafter: Path, names: tuple[str, ...], catalogue: Catalogue
) -> tuple[Path | None, str]:
    """A drafter that was pulled for other targets and may fit better than `drafter`, which the
    target does not have of its own, and whose it is; None where there is none, or where `names` or
    the target's header say of which kind it is."""
    pulled = {path: about for path, about in _pulled_drafters() if path != drafter}
    files = [target, drafter, *pulled, paths.own_models()]

    def find() -> str:
        ours = gguf.read_header(target)
        if says_qat(ours.metadata, *names):
            return ""
        fitting, _ = _fitting(ours, list(pulled))
        return _rival(ours, gguf.read_header(drafter), fitting, [], catalogue)

    found = Path(remembered(files, find, f"rival {names}"))
    return (found, _whose(target, pulled[found])) if found in pulled else (None, "")


def _whose(target: Path, pulled: _Pulled | None) -> str:
    """The pair that a drafter belongs to, if that has another target."""
    return "" if pulled is None or pulled.is_that_of(target) else pulled.name


def _find(
    target: Path, near: list[Path], pulled: list[Path], catalogue: Catalogue
) -> tuple[str, str, str]:
    """The path of the drafter, or "", that of a rival, or "", and why there is none; only those
    that are `near` are spoken of."""
    ours = gguf.read_header(target)
    fitting, problems = _fitting(ours, [*near, *pulled])
    fitting = [drafter for drafter in fitting if drafter.path in near] or fitting
    best, several = _best(ours, fitting, near, catalogue)
    if best is not None:
        return str(best.path), _rival(ours, best, fitting, near, catalogue), ""
    if several:
        names = ", ".join(drafter.path.name for drafter in several)
        return "", "", f"{SEVERAL}: {names}; name one with --drafter"
    known = drafter_of_size(ours.metadata, is_qat(ours, catalogue), catalogue)
    command = f"gemma-mtp pull {shlex.quote(str(ours.path))}"
    pull = f"that of {known[0].name}{_size(known[0])} fits: {command}" if known else ""
    spoken_of = [problem for path, problem in problems.items() if path in near]
    why = [f": {str(problem).rstrip('.')}" for problem in spoken_of[:1]]
    why += [f"; {pull}"] if pull else []
    return "", "", f"there is no drafter for this model{''.join(why)}" if why else ""


def _size(entry: Entry) -> str:
    return f" ({byte_size(entry.drafter.total)})" if entry.drafter.total else ""


def _fitting(
    target: gguf.Header, drafters: list[Path]
) -> tuple[list[gguf.Header], dict[Path, GemmaMtpError]]:
    """Those that fit the target, and what is wrong with the others."""
    fitting: list[gguf.Header] = []
    problems: dict[Path, GemmaMtpError] = {}
    for path in drafters:
        try:
            header = gguf.read_header(path)
            foreign_drafter.check(target, header)
            fitting.append(header)
        except GemmaMtpError as error:
            problems[path] = error
    return fitting, problems


def _rival(
    target: gguf.Header, best: gguf.Header, fitting: list[gguf.Header], near: list[Path],
    catalogue: Catalogue,
) -> str:  # fmt: skip
    """A drafter of the other kind, where nothing says of which kind the target is; else ""."""
    kind = is_qat(best, catalogue)
    if is_qat(target, catalogue) or is_known(target, catalogue):
        return ""
    others = [drafter for drafter in fitting if is_qat(drafter, catalogue) != kind]
    rival, _ = _best(target, others, near, catalogue)
    return str(rival.path) if rival else ""


def _best(
    target: gguf.Header, fitting: list[gguf.Header], near: list[Path], catalogue: Catalogue
) -> tuple[gguf.Header | None, list[gguf.Header]]:
    """The one to use, or those between which only the user can decide. Of drafters that were
    pulled for other targets, which the user did not put there, the first one is taken."""
    folders = list(dict.fromkeys(path.parent for path in near))
    known = {str(drafter.path): drafter for drafter in fitting}
    candidates = [
        drafter_rule.Candidate(
            name,
            is_qat(drafter, catalogue),
            folders.index(drafter.path.parent) if drafter.path in near else len(folders),
            drafter.file_size,
        )
        for name, drafter in known.items()
    ]
    qat = is_qat(target, catalogue)
    found, several = drafter_rule.best(str(target.path), qat, candidates)
    if several and several[0].distance == len(folders):
        found, several = several[0], []
    return known[found.path] if found else None, [known[each.path] for each in several]


def is_qat(header: gguf.Header, catalogue: Catalogue) -> bool:
    """Whether it was trained for its quantization: as it says, or as the catalogue says of a file
    of exactly this size, since published drafters of both kinds have the same name."""
    if says_qat(header.metadata, header.path.name):
        return True
    return any(entry.qat for entry in _alike(header, catalogue))


def is_known(header: gguf.Header, catalogue: Catalogue) -> bool:
    """Whether it is a file of the catalogue, going by its size."""
    return bool(_alike(header, catalogue))


def _alike(header: gguf.Header, catalogue: Catalogue) -> list[Entry]:
    size = header.file_size
    return [e for e in catalogue.entries if size in (e.target.total, e.drafter.total)]


def _drafters_near(target: Path) -> Iterator[Path]:
    """Files whose headers say that they are drafters, the nearest first."""
    folder = target.parent
    named_after_quantization = gguf_names.quantization(folder.name) == folder.name != ""
    for near in (folder, folder.parent) if named_after_quantization else (folder,):
        below = [p for p in _entries(near) if p.name.lower() in gguf_names.ROLES and p.is_dir()]
        for place in (near, *below):
            for path in _entries(place):
                first = path.suffix.lower() == ".gguf" and gguf_names.part_number(path.name) < 2
                if first and path.is_file() and pair_check.is_drafter_arch(gguf.architecture(path)):
                    yield path


def _pulled_drafters() -> Iterator[tuple[Path, _Pulled]]:
    """Those of complete pairs, and whose they are."""
    for folder in _entries(paths.models_dir()):
        if record := read_record(folder):
            first = {file.role: folder / file.path for file in reversed(record.files)}
            if "drafter" in first and first["drafter"].is_file():
                whose = record.name.removeprefix(ALONE)
                yield first["drafter"], _Pulled(whose, first.get("target"))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
