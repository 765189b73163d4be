"""Looks at this machine: engine, CPU, memory, disk, folders, settings, hub; and says what is wrong.

Knows where to look, not how it is shown. Every look survives whatever it finds.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from gemma_mtp import __version__, paths
from gemma_mtp.cli import unused_cards
from gemma_mtp.cli.finding import Finding
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.files import config_file, disk, places
from gemma_mtp.models import chat_states, machine
from gemma_mtp.text import byte_size, counted

LOW_DISK = 4_000_000_000  # bytes; less does not hold the smallest model that is worth it
# What makes a difference to quantized matrices, of the many names llama.cpp lists.
TELLING = ("AVX2", "AVX512", "AVX512_VNNI", "AVX_VNNI", "NEON", "DOTPROD", "MATMUL_INT8", "SVE")


def examine(offline: bool) -> list[Finding]:
    """All findings, in the order in which they are shown."""
    looks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("program", _program),
        ("engine", lambda: _engine(offline)),
        ("memory", _memory),
        ("folders", _folders),
        ("settings", _settings),
        ("hub", lambda: _hub(offline)),
    ]
    found: list[Finding] = []
    for name, look in looks:
        try:
            found += look()
        except GemmaMtpError as error:
            found.append(Finding(name, "", str(error), error.hint))
        except Exception as error:  # the other findings must still be shown
            found.append(Finding(name, "", f"cannot be examined: {error or type(error).__name__}."))
    return found


def _program() -> Iterator[Finding]:
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield Finding("gemma-mtp", f"{__version__}, Python {platform.python_version()}, {system}")


def _engine(offline: bool) -> Iterator[Finding]:
    try:
        from gemma_mtp import llama
        from gemma_mtp.llama import amx, threads
    except Exception as error:
        installed = _version("llama-cpp-python")
        yield Finding("llama.cpp", installed, f"{error}", unused_cards.built_anew())
        return
    python, cpp = llama.versions()
    yield Finding("llama.cpp", f"llama-cpp-python {python}, llama.cpp {cpp}")
    missing = llama.mtp_missing()
    hint = f"pip install llama-cpp-python=={llama.NEEDED_VERSION}"
    yield Finding("MTP", "no" if missing else "yes", missing and f"{missing}.", missing and hint)
    seen = list(_devices(llama.devices()))
    yield from seen
    yield from unused_cards.unused_cards(
        bool(seen), llama.backends(), llama.NEEDED_VERSION, offline
    )
    features = set(re.findall(r"(\w+) = 1", llama.features()))
    known = ", ".join(name for name in TELLING if name in features) or "none that matter"
    yield Finding("CPU", f"{machine.cpu_name()}, {threads.usable_threads()} cores to use; {known}")
    if amx.cpu_has_amx():
        yield Finding("AMX", "there, but refused: this llama.cpp crashes with it")


def _devices(devices: list[tuple[str, str, str, int, int]]) -> Iterator[Finding]:
    for name, description, kind, free, total in devices:
        if kind in ("gpu", "igpu"):
            room = f"{byte_size(free)} of {byte_size(total)} free"
            yield Finding("GPU", f"{description} ({name}), {room}")


def _memory() -> Iterator[Finding]:
    free, total = machine.memory()
    if free is None or total is None:
        yield Finding("memory", "", "How much memory is free cannot be found out here.")
    else:
        yield Finding("memory", f"{byte_size(free)} of {byte_size(total)} free")


def _folders() -> Iterator[Finding]:
    models = paths.models_dir()
    free = disk.free_bytes(models)
    if free is not None:
        low = "" if free >= LOW_DISK else "That is too little for a model worth having."
        hint = f"Free some space, or set {paths.HOME_VARIABLE} to a folder on another disk."
        yield Finding("disk", f"{byte_size(free)} free for {models}", low, hint if low else "")
    for name, folder in (
        ("cache", paths.cache_dir()),
        ("config", paths.config_dir()),
        ("state", paths.state_dir()),
    ):
        problem, hint = _unusable(folder)
        yield Finding(f"{name} folder", str(folder), problem, hint)
    if kept := chat_states.sizes():
        taken = f"{byte_size(sum(kept.values()))} in {chat_states.folder()}"
        yield Finding("kept chats", f"what was read of {counted(len(kept), 'chat')}, {taken}")
    for lost in places.dangling_below(models):
        # The finding about the cache folder has said it.
        if lost == places.dangling(paths.cache_dir()):
            continue
        yield Finding("models", "", f"{lost}.", "Connect its disk, or remove the link.")


def _unusable(folder: Path) -> tuple[str, str]:
    """Why no file can be made in it, now or after making the folder, and what helps."""
    if obstacle := places.folder_obstacle(folder):
        return f"{folder} cannot be written: {obstacle}.", places.HINT
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not os.access(there, os.W_OK):
        hint = f"Give yourself the right to write there, or set {paths.HOME_VARIABLE}."
        return f"{folder} cannot be written.", hint
    free = disk.free_bytes(there)
    return (f"The disk of {folder} is full.", "Free some space.") if free == 0 else ("", "")


def _settings() -> Iterator[Finding]:
    from gemma_mtp.models.catalogue import load_catalogue
    from gemma_mtp.models.typed_names import understand

    file = paths.config_file()
    values, slips = config_file.read(file), config_file.unknown(file)
    said = ", ".join(f"{k} = {config_file.KEYS[k].shown(v)}" for k, v in values.items())
    problem = f"{file} has settings that mean nothing: {', '.join(slips)}." if slips else ""
    yield Finding("settings", said or "none", problem, "gemma-mtp config" if slips else "")
    catalogue = load_catalogue(paths.own_models())
    own = [entry.name for entry in catalogue.entries if entry.own]
    if own:
        yield Finding("own models", ", ".join(own))
    default = understand(values["model"], catalogue).name if "model" in values else ""
    if default and catalogue.find(default) is None:
        yield from _unknown_default(default)


def _unknown_default(model: str) -> Iterator[Finding]:
    from gemma_mtp.models.hub_names import names_source
    from gemma_mtp.models.store import looks_like_path

    if looks_like_path(model) and not (file := paths.expanded(model)).is_file():
        problem = places.obstacle(file) or f"{file} is not there"
        yield Finding("default model", model, f"{problem}.", "gemma-mtp config --unset model")
    elif not looks_like_path(model) and not names_source(model):
        problem = f'The default model "{model}" is not known.'
        yield Finding("default model", model, problem, "gemma-mtp config --unset model")


def _hub(offline: bool) -> Iterator[Finding]:
    from gemma_mtp.models.pull import hub

    where = hub.endpoint()
    if offline or hub.is_offline():
        why = "--offline" if offline else "HF_HUB_OFFLINE is set"
        yield Finding("hub", f"{where}, not asked: {why}")
        return
    error = hub.unreachable()
    if error is None:
        yield Finding("hub", f"{where} answers")
    else:
        yield Finding("hub", where, str(error), error.hint)


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} is not installed"
