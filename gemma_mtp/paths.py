"""Where files live on this machine. Creates no file and reads none.

GEMMA_MTP_HOME puts everything under one folder: cache/, config/ and state/.
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import PlatformDirs

from gemma_mtp.errors import UsageError

HOME_VARIABLE = "GEMMA_MTP_HOME"
_DIRS = PlatformDirs("gemma-mtp", appauthor=False)


def cache_dir() -> Path:
    """Things that can be fetched or measured again: models, cost curves."""
    return _place("cache", _DIRS.user_cache_path)


def config_dir() -> Path:
    """What the user writes."""
    return _place("config", _DIRS.user_config_path)


def state_dir() -> Path:
    """What the program remembers: the last used pair, input history."""
    return _place("state", _DIRS.user_state_path)


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


def _place(kind: str, default: Path) -> Path:
    home = os.environ.get(HOME_VARIABLE)
    if not home:
        return default
    try:
        return expanded(home).absolute() / kind
    except UsageError as error:
        raise UsageError(
            f"{HOME_VARIABLE} is {home}, and there is no user of that name.",
            f"Set {HOME_VARIABLE} to a folder, or leave it out.",
        ) from error
