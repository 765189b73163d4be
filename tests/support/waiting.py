"""Waits until something holds that other threads or processes bring about."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 60.0  # seconds that a loaded machine may take


def wait_until(holds: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
