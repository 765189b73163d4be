"""The resident engine as tests look at it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gemma_mtp.resident.line import ask

PATIENCE = 60.0  # seconds


def status(folder: Path) -> Any:
    """What the engine of this folder says of itself; None where none runs."""
    return ask(folder, "status")


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
