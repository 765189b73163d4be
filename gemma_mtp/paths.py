"""Where files live on this machine. Everybody asks here; it creates no file and reads none.

GEMMA_MTP_HOME puts everything under one folder: cache/, config/ and state/.
"""

from __future__ import annotations

import os
from pathlib import Path

from gemma_mtp.errors import UsageError

HOME_VARIABLE = "GEMMA_MTP_HOME"


def cache_dir() -> Path:
    """Things that can be fetched or measured again: models, cost curves."""
    return _place("cache")


def config_dir() -> Path:
    """What the user writes."""
    return _place("config")


def state_dir() -> Path:
    """What the program remembers: the last used pair, input history."""
    return _place("state")


def models_dir() -> Path:
    """One folder for each pulled pair."""
    return cache_dir() / "models"


def config_file() -> Path:
    """The user's settings."""
    return config_dir() / "config.toml"


def own_models() -> Path:
    """Models the user adds to the catalogue, or overrides."""
    return config_dir() / "models.toml"


def expanded(path: str | Path) -> Path:
    """`path` with a ~ in front replaced by the folder it stands for.

    Raises UsageError where nobody has the name behind the ~.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{path} cannot be read: there is no user of that name.") from error


def _place(kind: str) -> Path:
    home = os.environ.get(HOME_VARIABLE)
    if not home:
        from platformdirs import PlatformDirs  # takes time that --help does not have

        usual: Path = getattr(PlatformDirs("gemma-mtp", appauthor=False), f"user_{kind}_path")
        return usual
    try:
        return expanded(home).absolute() / kind
    except UsageError as error:
        raise UsageError(
            f"{HOME_VARIABLE} is {home}, and there is no user of that name.",
            f"Set {HOME_VARIABLE} to a folder, or leave it out.",
        ) from error
