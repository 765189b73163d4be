"""Fixtures that several test files share: terminals, a hub on this machine, a home of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from support import gguf_writer
from support.hub_server import Hub
from support.kaggle import listen
from support.pulls import CONTENTS, entry_at

from gemma_mtp import paths
from gemma_mtp.models import store
from gemma_mtp.models.catalogue import Entry
from gemma_mtp.models.pull import ollama_registry, retry, transfer
from gemma_mtp.resident.identity import engine_folder
from gemma_mtp.resident.start import kill

if TYPE_CHECKING:
    from support.terminal import Terminal

os.environ.pop("PYTHONUNBUFFERED", None)  # hides what happens to output that nobody takes
for _variable in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):  # what the tests say is printed
    os.environ.pop(_variable, None)
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):  # else each process compiles all it imports
    BYTECODE = TemporaryDirectory(ignore_cleanup_errors=True)
    os.environ["PYTHONPYCACHEPREFIX"] = BYTECODE.name
# Tests leave no engine behind; those of the engine that stays say how long it does.
os.environ["GEMMA_MTP_KEEP_ALIVE"] = "0"


@pytest.fixture
def open_terminal() -> Iterator[Callable[..., Terminal]]:
    """Starts the command line in pseudo-terminals; none outlives its test."""
    from support.terminal import Terminal  # POSIX only

    opened: list[Terminal] = []

    def start(*arguments: str, **settings: object) -> Terminal:
        opened.append(Terminal(*arguments, **settings))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


@pytest.fixture
def engine_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the resident engine in a home of its own; none outlives its test."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as home:
        monkeypatch.setenv("GEMMA_MTP_HOME", home)
        monkeypatch.delenv("GEMMA_MTP_KEEP_ALIVE", raising=False)
        found = engine_folder()
        yield found
        kill(found)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's caches, settings and conversations are."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv(paths.HOME_VARIABLE, str(home))
    return home


@pytest.fixture
def synthetic_pair(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty machine, with small files in place of the built-in pair."""
    folder = tmp_path / "builtin"
    folder.mkdir()
    gguf_writer.write(folder / "tiny-target.gguf", *gguf_writer.target())
    gguf_writer.write(folder / "tiny-drafter.gguf", *gguf_writer.drafter())
    monkeypatch.setattr(store, "BUILTIN_FOLDER", folder)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder with nothing in it: no token, no caches, no models, no proxies."""
    from huggingface_hub import constants

    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv(paths.HOME_VARIABLE, str(home / "gemma"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hf-cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    variables = "HF_TOKEN HUGGING_FACE_HUB_TOKEN OLLAMA_MODELS http_proxy https_proxy all_proxy"
    for variable in (*variables.split(), *variables.upper().split()):
        monkeypatch.delenv(variable, raising=False)
    return home


@pytest.fixture
def hub(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub every pull of this test asks, quick to try again."""
    from huggingface_hub import close_session, constants

    hub = Hub(dict(CONTENTS))
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 30.0)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 30.0)
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(retry, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(transfer, "SMALLEST_PIECE", 256 << 10)
    close_session()
    yield hub
    hub.close()
    close_session()


@pytest.fixture(params=["the hub", "Ollama's registry", "Kaggle"])
def entry(request: pytest.FixtureRequest, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A pair at each of the places that pairs are pulled from; all of them are `hub`."""
    monkeypatch.setenv(ollama_registry.VARIABLE, hub.url)
    if request.param == "Kaggle":
        listen(hub, monkeypatch)
        hub.versions = [list(hub.files)]
    return entry_at(request.param)
