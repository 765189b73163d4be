"""Kaggle on this machine for tests: its own library asks the hub of the tests instead; and what
that library keeps, as its sources say (kagglehub/cache.py)."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.hub_server import KAGGLE, Hub


def listen(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the library ask `hub`. Skips the test where the library is missing."""
    sdk = pytest.importorskip("kagglesdk.kaggle_env")
    monkeypatch.setitem(sdk._env_to_endpoint, sdk.KaggleEnv.LOCAL, hub.url)
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    for variable in ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLEHUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)


def cached(home: Path, files: dict[str, bytes], version: int = 1, whole: bool = True) -> Path:
    """The folder of a version that the library has fetched: all of it, or each file by itself."""
    folder = home.joinpath(".cache", "kagglehub", "models", *KAGGLE.split("/"))
    for name, body in files.items():
        path = folder / str(version) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        if not whole:
            mark = folder / ".complete" / str(version) / f"{name}.complete"
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
    if whole:
        (folder / f"{version}.complete").touch()
    return folder / str(version)
