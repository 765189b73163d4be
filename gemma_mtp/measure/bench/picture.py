"""The picture as a file: whether it can be written is known before anything is measured.

Knows the disk and what is drawn; not how.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.files import atomic
from gemma_mtp.measure.bench.report import Bench, curve, svg_rows
from gemma_mtp.measure.bench.svg import draw
from gemma_mtp.text import harmless


def check(file: Path) -> None:
    """Raise `UsageError` where `write` could not succeed."""
    if file.suffix.lower() != ".svg":
        raise UsageError(f"--plot writes SVG; {file.name} should end in .svg.")
    if file.is_dir():
        raise UsageError(f"--plot: {file} is a folder.")
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--plot: there is no folder {file.parent}.")
    try:  # permissions alone do not tell: the file system may be read-only
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UsageError(f"--plot: {file} cannot be written: {error.strerror}.") from None


def write(file: Path, found: Bench) -> None:
    """Draw what was measured."""
    name = harmless(Path(found.conditions["model"]).name)  # XML has no control characters
    title = f"{name}: tokens per second by draft length"
    if found.plan.synthetic_acceptance is not None:
        title += f", synthetic acceptance {found.plan.synthetic_acceptance:g}"
    try:
        atomic.write_text(file, draw(title, svg_rows(found.results), curve(found.costs)))
    except OSError as error:
        message = f"The picture cannot be written to {file}: {error.strerror}."
        raise GemmaMtpError(message) from None
