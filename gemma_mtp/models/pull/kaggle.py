"""Which files of a variation on Kaggle are a pair: `kaggle:OWNER/MODEL/FRAMEWORK/VARIATION`.

What a file is, its header says, whatever it is called; which two of them are taken is decided as
for any repository. What Kaggle's own library has fetched on this machine is used without asking.
`pull.request` calls it for a pair that is not here.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from gemma_mtp.errors import BadPair, HubError
from gemma_mtp.files import names
from gemma_mtp.models import gguf_names, kaggle_names
from gemma_mtp.models.catalogue import Catalogue, Entry
from gemma_mtp.models.gguf_parser import first_values
from gemma_mtp.models.kaggle_names import KaggleName
from gemma_mtp.models.pair_check import TARGET_ARCH, is_drafter_arch
from gemma_mtp.models.pull import hub, kaggle_library, retry
from gemma_mtp.models.pull.choose_pair import Listing, pair_of, with_encoder
from gemma_mtp.models.pull.events import OnEvent, PullNote
from gemma_mtp.models.pull.hub_responses import HubFile
from gemma_mtp.models.pull.kaggle_library import KaggleBlob
from gemma_mtp.models.pull.official_drafter import BEGINNING, beginning

MOST_LOOKED_AT = 40  # files of a variation whose beginnings are read; it rarely holds three
OTHER_FORMATS = {
    ".safetensors": "safetensors",
    ".keras": "Keras weights", ".h5": "Keras weights", ".hdf5": "Keras weights",
    ".ckpt": "a PyTorch checkpoint", ".pt": "a PyTorch checkpoint", ".pth": "a PyTorch checkpoint",
    ".sbs": "weights of gemma.cpp", ".onnx": "ONNX weights",
    ".tflite": "weights of LiteRT", ".task": "weights of LiteRT", ".litertlm": "weights of LiteRT",
}  # fmt: skip
"""What endings say of weights that are not GGUF, in words."""
TEXTS = (".json", ".txt", ".md", ".jinja", ".model", ".py", ".yaml", ".yml", ".toml", ".png")


def look_up(name: str, catalogue: Catalogue, on_event: OnEvent, anew: bool, offline: bool) -> Entry:
    """The pair of a variation; says what was chosen and why. `anew`: whatever is on this machine,
    Kaggle is asked; `offline`: it is not.

    Raises what Kaggle and its library do, ModelNotAvailable for a quantization that is not there,
    and BadPair where no pair can be made of it.
    """
    about = kaggle_names.read(name)
    version = _version(about, on_event, anew, offline)
    files = _files(about, version, on_event, anew, offline)
    kinds = {file.path: _kind(about, file, on_event) for file in _worth_a_look(files)}
    models = [file for file in files if kinds.get(file.path)]
    if not any(kinds[file.path] == TARGET_ARCH for file in models):
        raise _without_target(about, files)
    there = [replace(file, path=kaggle_names.name_here(file.path)) for file in models]
    drafters = {
        here.path
        for here, file in zip(there, models, strict=True)
        if kinds[file.path] != TARGET_ARCH
    }
    listing = Listing(about.bare, there, lambda file: _beginning(about, file, on_event), drafters)
    target, drafter = pair_of(listing, about.quantization, catalogue, on_event)
    entry = kaggle_names.make_entry(name, str(version), target, drafter)
    others = [replace(file, path=kaggle_names.name_here(file.path)) for file in files]
    return with_encoder(entry, others, on_event)


def newest(about: KaggleName, on_event: OnEvent) -> int:
    """The number of the newest version that Kaggle has."""
    kaggle_library.require_library()
    longest = hub.longest_answer()
    return retry.ask(about.page, lambda: kaggle_library.current_version(about), longest, on_event)


def _version(about: KaggleName, on_event: OnEvent, anew: bool, offline: bool) -> int:
    if about.version is not None:
        return about.version
    here = None if anew else kaggle_names.newest_here(about)
    if here is None and offline:
        raise HubError(f"{about.name} is not on this machine, and --offline was given.")
    return here or newest(about, on_event)


def _files(
    about: KaggleName, version: int, on_event: OnEvent, anew: bool, offline: bool
) -> list[HubFile]:
    if not anew and kaggle_names.is_whole_here(about, version):
        on_event(PullNote(f"{about.name}: version {version} is in Kaggle's cache on this machine."))
        return [
            HubFile(path.as_posix(), None, "", str(version))
            for path in kaggle_names.files_here(about, version)
        ]
    if offline:
        raise HubError(f"{about.name} is not on this machine, and --offline was given.")
    kaggle_library.require_library()
    return retry.ask(
        about.page,
        lambda: kaggle_library.list_files(about, version),
        hub.longest_answer(),
        on_event,
    )


def _worth_a_look(files: list[HubFile]) -> list[HubFile]:
    """Those that may be GGUF, of a split one the first part, those called so first."""
    found = [
        file
        for file in files
        if not file.path.lower().endswith((*OTHER_FORMATS, *TEXTS))
        and not names.objection(kaggle_names.name_here(file.path))
    ]
    found.sort(key=lambda file: not file.path.lower().endswith(kaggle_names.ENDING))
    return found[:MOST_LOOKED_AT]


def _kind(about: KaggleName, file: HubFile, on_event: OnEvent) -> str:
    """The architecture that the header states, if half a pair can have it; else ""."""
    if gguf_names.part_number(file.path) > 1:
        return TARGET_ARCH  # it goes with its first part
    with suppress(BadPair):
        kind = _beginning(about, file, on_event).get("general.architecture")
        if kind == TARGET_ARCH or is_drafter_arch(str(kind)):
            return str(kind)
    return ""


def _beginning(about: KaggleName, file: HubFile, on_event: OnEvent) -> dict[str, Any]:
    here = kaggle_names.file_here(about, int(file.commit), file.path)
    if here is not None:
        with open(here, "rb") as data:
            return first_values(data.read(BEGINNING), here.name)
    blob = KaggleBlob(about, file.commit, file.path)
    return beginning(blob, file.path, file.bytes, on_event)


def _without_target(about: KaggleName, files: list[HubFile]) -> BadPair:
    """The error about a variation without a GGUF of Gemma 4: what it holds, what converts it."""
    endings = {PurePosixPath(file.path).suffix.lower() for file in files}
    words = dict.fromkeys(said for ending, said in OTHER_FORMATS.items() if ending in endings)
    if "safetensors" in words:
        return BadPair(
            f"{about.name} holds safetensors; only GGUF can be loaded.",
            "Fetch it with kagglehub, then: gemma-mtp convert FOLDER",
        )
    if words:
        return BadPair(
            f"{about.name} holds {' and '.join(words)}, which cannot be converted here.",
            "Choose a variation of the framework gguf or transformers.",
        )
    return BadPair(
        f"{about.name} holds no GGUF file of Gemma 4.", "Choose a variation of the framework gguf."
    )
