"""Begins to start the engine before the command line has been read, as both take as long.

`__main__` asks. A command that comes to nothing leaves an engine that ends by itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.options import SETTINGS

ANSWERING = ("run", "chat")  # commands that want an engine
OTHERS = {"--help", "-h"}  # words that make another command of it


def start_engine(words: Sequence[str]) -> None:
    """Start the engine if the command of these words is going to, as far as they tell."""
    if not words or words[0] not in ANSWERING or OTHERS & {*words}:
        return
    from gemma_mtp import paths
    from gemma_mtp.files import config_file
    from gemma_mtp.resident.identity import engine_folder
    from gemma_mtp.resident.keep import usual
    from gemma_mtp.resident.start import begin

    with suppress(GemmaMtpError, OSError):  # the command itself says what is wrong
        written = config_file.read(paths.config_file())
        keep = _value("keep_alive", words, written)
        if (usual() if keep is None else keep) and not _value("server", words, written):
            begin(engine_folder())


def _value(name: str, words: Sequence[str], written: Mapping[str, Any]) -> Any:
    """What was chosen for a setting; None for what was not. Raises UsageError."""
    known = SETTINGS[name]
    typed = os.environ.get(known.variable, "")
    for word, after in zip(words, (*words[1:], ""), strict=True):
        flag, equals, value = word.partition("=")
        if flag.startswith("--") and flag[2:].replace("-", "_") in (known.name, known.alias):
            typed = value if equals else after
    return known.parse(typed) if typed else written.get(name)
