"""A server on a port of this machine: with the built-in pair and an engine of its own, or over a
scripted engine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import httpx
import pytest
from support.server_process import Server, server_process
from support.serving import FakeEngines, serving

from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.store import Store
from gemma_mtp.options import Options
from gemma_mtp.paths import HOME_VARIABLE
from gemma_mtp.resident.identity import place
from gemma_mtp.resident.line import ask
from gemma_mtp.server.engines import Engines

if TYPE_CHECKING:
    import openai


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home of its own for the tests of a file; the engine that runs there at the end is
    killed."""
    before = os.environ.get(HOME_VARIABLE)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ[HOME_VARIABLE] = folder
        try:
            yield Path(folder)
            status = ask(place(), "status")
            if status is not None:
                os.kill(status["pid"], signal.SIGKILL)
        finally:
            os.environ.pop(HOME_VARIABLE)
            if before is not None:
                os.environ[HOME_VARIABLE] = before


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    """A server in a process of its own, until the file's tests are done."""
    with server_process(home) as running:
        yield running


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[str]:
    """The address of a server that runs until the file's tests are done."""
    with serving(Engines(Store(load_catalogue()), Options(keep_alive=300), "tiny")) as url:
        yield url


@pytest.fixture(scope="module")
def scripted() -> Iterator[tuple[FakeEngines, str]]:
    """Scripted engines, and the address at which they are served until the file's tests are
    done."""
    engines = FakeEngines()
    with serving(engines, done=engines.records.append) as url:
        yield engines, url


@pytest.fixture
def engines(scripted: tuple[FakeEngines, str]) -> FakeEngines:
    """What is behind `url`, with nothing said yet."""
    scripted[0].say()
    return scripted[0]


@pytest.fixture
def url(scripted: tuple[FakeEngines, str], engines: FakeEngines) -> str:
    """Where the server is to be asked."""
    return scripted[1]


@pytest.fixture
def client(url: str) -> openai.OpenAI:
    """OpenAI's own client of it; files about other clients have theirs under this name."""
    import openai

    return openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)


@pytest.fixture
def http(served: str) -> Iterator[httpx.Client]:
    """For requests to the built-in pair as programs write them."""
    with httpx.Client(base_url=served, timeout=60) as client:
        yield client
