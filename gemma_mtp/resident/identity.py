"""Which resident engine is meant, and the private folder in which it can be found.

One for each user, cache folder, version of llama-cpp-python and set of variables that choose
devices: all of them decide what an engine is able to do.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.paths import cache_dir, state_dir

LONGEST = 100  # bytes of a socket's path; systems allow 103 (macOS) or 107 (Linux)
SOCKET = "socket"
DEVICES = ("CUDA_", "HIP_", "ROCR_", "GPU_", "GGML_", "LLAMA_", "ONEAPI_", "ZE_", "VK_")
"""Beginnings of the names of variables that choose devices and how they are used."""


WITHOUT = "--keep-alive 0 does without an engine that stays."


class NoEngine(GemmaMtpError):
    """No engine can be started here."""


def place() -> Path:
    """The folder of the engine, which need not be there."""
    name = identity()
    folder = state_dir() / "engine" / name
    if len(os.fsencode(folder / SOCKET)) > LONGEST:
        from getpass import getuser

        folder = Path(tempfile.gettempdir()) / f"gemma-mtp-{getuser()}" / name
    return folder


def engine_folder() -> Path:
    """The folder of the engine, made where it is missing; nobody else can look into it.

    Raises NoEngine where it cannot be had.
    """
    folder = place()
    try:
        for private in (folder.parent, folder):
            _make_private(private)
    except OSError as error:
        raise NoEngine(f"{folder} cannot be used: {error.strerror}.", WITHOUT) from error
    return folder


def identity() -> str:
    """What one engine is told from another by."""
    chosen = {name: text for name, text in os.environ.items() if name.startswith(DEVICES)}
    try:
        library = version("llama-cpp-python")
    except PackageNotFoundError:
        library = ""
    told = json.dumps([str(cache_dir()), library, sorted(chosen.items())])
    return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()[:12]


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "nt":  # profiles are private there
        return
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NoEngine(f"{folder} belongs to somebody else.", WITHOUT)
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)
