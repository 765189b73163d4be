"""llama.cpp's converter of safetensors, convert_hf_to_gguf.py: where it is, and how it is got.

It is part of llama.cpp's sources and of no package. The source distribution of llama-cpp-python
holds the one that belongs to the llama.cpp in use here; pip fetches it. `convert` asks.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from gemma_mtp import llama, paths
from gemma_mtp.errors import GemmaMtpError, HubError, UsageError
from gemma_mtp.files import disk
from gemma_mtp.files.checksum import sha256_of

SCRIPT = "convert_hf_to_gguf.py"
VARIABLE = "GEMMA_MTP_LLAMA_CPP"
NEEDED = ("torch", "transformers", "yaml", "tqdm")
"""Modules that the script imports; `gemma-mtp[convert]` brings them."""
SOURCE = "llama-cpp-python"
SOURCE_BYTES = 76_589_250
SOURCE_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
"""Of the source distribution of `llama.NEEDED_VERSION` on PyPI."""
KNOWS = b"Gemma4AssistantForCausalLM"
"""A word in converters that are new enough."""
_USUAL = ("llama.cpp", "src/llama.cpp", "git/llama.cpp", "code/llama.cpp")  # below a home folder
_TAKEN = (SCRIPT, "conversion/", "gguf-py/gguf/", "LICENSE")  # of the sources of llama.cpp


def find(given: Path | None) -> Path | None:
    """The script: the one that was named, that of this version if it was fetched before, else that
    of a checkout on this machine; None where none is new enough.

    Raises UsageError where the one that was named is not to be used.
    """
    named = given or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        named = paths.expanded(named).absolute()
        script = named if named.name == SCRIPT else named / SCRIPT
        if not script.is_file():
            raise UsageError(f"{named} has no {SCRIPT}.", "Name a checkout of llama.cpp.")
        if not _is_new(script):
            raise UsageError(f"{script} is too old to know Gemma 4's assistants.",
                             "Update the checkout, or leave it out.")  # fmt: skip
        return script
    places = [_fetched(), *_on_path(), Path.cwd(), Path.cwd() / "llama.cpp"]
    places += [Path.home() / place for place in _USUAL]
    return next((p / SCRIPT for p in places if _is_new(p / SCRIPT)), None)


def require_packages() -> None:
    """Raise GemmaMtpError where this Python lacks what the script imports."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise GemmaMtpError(
            f"llama.cpp's converter needs {' and '.join(missing)}, which are not installed.",
            "pip install 'gemma-mtp[convert]' brings it; in a checkout: pip install '.[convert]'",
        )


def fetch() -> Path:
    """The script of this version, fetched by pip. Raises HubError, and GemmaMtpError for what the
    disk refuses."""
    final = _fetched()
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=final.parent) as work:
            _unpack(download(Path(work)), Path(work) / "unpacked")
            shutil.rmtree(final, ignore_errors=True)
            (Path(work) / "unpacked").replace(final)
    except OSError as error:
        raise disk.disk_error(error, final.parent, "try again") from error
    return final / SCRIPT


def _fetched() -> Path:
    return paths.cache_dir() / "converter" / llama.NEEDED_VERSION


def _on_path() -> list[Path]:
    """Folders of the script, or of a build of llama.cpp, that PATH leads to."""
    script, tool = shutil.which(SCRIPT), shutil.which("llama-quantize")
    found = [Path(script).resolve().parent] if script else []
    return found + ([*Path(tool).resolve().parents][:4] if tool else [])


def _is_new(script: Path) -> bool:
    """Whether it is there and knows assistants; since 2026 what it knows lies beside it."""
    try:
        files = [script, *(script.parent / "conversion").glob("*.py")]
        return script.is_file() and any(KNOWS in file.read_bytes() for file in files)
    except OSError:
        return False


def download(folder: Path) -> Path:
    """llama-cpp-python's source archive, as it is on PyPI or on the user's mirror of it. Raises
    HubError."""
    wanted = f"{SOURCE}=={llama.NEEDED_VERSION}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", SOURCE]
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--dest", str(folder), wanted],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    found = next(folder.glob("*.tar.gz"), None)
    if done.returncode or found is None:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = f": {said[-1].removeprefix('ERROR: ')}" if said else ""
        raise HubError(
            f"pip cannot download the sources of {wanted}{why}.",
            f"A checkout of llama.cpp does as well: --llama-cpp FOLDER, or {VARIABLE}.",
        )
    if sha256_of(found, lambda done: None) != SOURCE_SHA256:
        raise HubError(f"{found.name} is not as it was published: its sha256 differs.",
                       "Check the index that pip uses.")  # fmt: skip
    return found


def _unpack(archive: Path, folder: Path) -> None:
    """The converter out of all the sources."""
    with tarfile.open(archive) as tar:
        for member in tar:
            inside = member.name.partition("/vendor/llama.cpp/")[2]
            if member.isfile() and inside.startswith(_TAKEN):
                member.name = inside
                tar.extract(member, folder, filter="data")
