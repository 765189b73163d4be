"""A resident engine in threads of the test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from support.scripted_resident import Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    with TemporaryDirectory() as short:  # paths of sockets must not be long
        running = Engine(Path(short))
        yield running
        running.close()
