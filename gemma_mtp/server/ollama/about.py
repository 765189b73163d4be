"""What Ollama's clients want to know of a model, from the headers of its files."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from gemma_mtp.api import DEFAULT_CONTEXT
from gemma_mtp.models import gguf
from gemma_mtp.models.encoder_check import parts_in
from gemma_mtp.models.gguf import Header
from gemma_mtp.models.gguf_header import Count
from gemma_mtp.models.inventory import StoredFile
from gemma_mtp.options import Options
from gemma_mtp.setting import settings_of
from gemma_mtp.settings import Sampling
from gemma_mtp.text import timestamp

TEMPLATE = "tokenizer.chat_template"
THINKING = "enable_thinking"  # the variable by which Gemma 4's templates are told to think

TOOLS = re.compile(r"\btools\b")  # the variable with the tools that they declare


def header_of(path: Path) -> Header:
    """The header of a model file; it is read once. Raises BadPair and ModelNotAvailable."""
    try:
        status = path.stat()
    except OSError:
        return gguf.read_header(path)  # which says what is wrong
    return _header(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)  # headers, of some kilobytes each: reading one takes up to half a second
def _header(path: Path, size: int, time: int) -> Header:
    return gguf.read_header(path)


def template_of(header: Header) -> str:
    """The chat template of the file, "" where it has none."""
    found = header.metadata.get(TEMPLATE)
    return found if isinstance(found, str) else ""


def knows_thinking(header: Header) -> bool:
    """Whether the model can be told to think; the template for files without one can."""
    template = template_of(header)
    return not template.strip() or THINKING in template


def capabilities(header: Header, encoder: Path | None) -> list[str]:
    """What can be asked of the model, in the words that clients look for; `encoder` is that of
    pictures, and perhaps of recordings, if there is one."""
    found = ["completion", *(parts_in(encoder) if encoder else [])]
    if knows_thinking(header):
        found.append("thinking")
    if TOOLS.search(template_of(header)):
        found.append("tools")
    return found


def details(header: Header) -> dict[str, Any]:
    """The object `details`."""
    about = gguf.describe(header)
    return {
        "parent_model": "",
        "format": "gguf",
        "family": about.architecture,
        "families": [about.architecture],
        "parameter_size": parameter_size(about.parameters),
        "quantization_level": about.quantization,
    }


def model_info(header: Header, model: str) -> dict[str, Any]:
    """The metadata of the file but for its long lists, such as the tokens.

    `model` is how the client calls it: clients show `general.basename` as its name, and files of
    all sizes have the same one.
    """
    kept = {
        key: value
        for key, value in header.metadata.items()
        if key not in (TEMPLATE, "general.name") and not isinstance(value, Count)
    }
    about = gguf.describe(header)
    return {**kept, "general.basename": model, "general.parameter_count": about.parameters}


def parameters(header: Header, options: Options) -> dict[str, Any]:
    """The parameters of a reply to a client that says nothing of them, by Ollama's names."""
    trained = gguf.describe(header).context_length or DEFAULT_CONTEXT
    context = options.context or min(DEFAULT_CONTEXT, trained)
    sampling = {known.name: getattr(options, known.field) for known in settings_of(Sampling)}
    return {"num_ctx": context, **sampling}


def parameter_size(count: int) -> str:
    """15.2M, 5.1B."""
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.1f}M"


def digest(files: tuple[StoredFile, ...]) -> str:
    """What tells these files from others, in 64 digits: of their sha256, as Ollama's digest is of
    a list of such; of size and time of change where a sha256 is not known."""
    known = (file.sha256 or f"{file.bytes} {file.path.stat().st_mtime_ns}" for file in files)
    return hashlib.sha256("\n".join(known).encode()).hexdigest()


def modified_at(path: Path) -> str:
    """When a file was written, as clients parse it."""
    return timestamp(datetime.fromtimestamp(path.stat().st_mtime, UTC))
