"""The built-in pair, loaded once for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.pairs import TINY

from gemma_mtp.api import LoadOptions
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = load(TINY, LoadOptions(context=2048, threads=1))
    yield engine
    engine.close()
