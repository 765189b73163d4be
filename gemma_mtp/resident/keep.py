"""How long a pair stays loaded where the user has not said so, and what is told about that."""

from __future__ import annotations

import os
from collections.abc import Mapping

from gemma_mtp.files.reading import Say
from gemma_mtp.options import SETTINGS
from gemma_mtp.paths import state_dir
from gemma_mtp.settings import KEEP_ALIVE
from gemma_mtp.text import counted

TOLD = "engine/told"  # in the state folder: that an engine stays was said once
BUILD_SERVERS = ("CI", "CONTINUOUS_INTEGRATION", "TF_BUILD", "TEAMCITY_VERSION", "JENKINS_URL")
"""Variables that say that no person is there: nearly all set the first, the others their own."""


def usual() -> int:
    """Seconds: a while where somebody is at a terminal, none on a build server, in a cron job or
    behind pipes alone."""
    return KEEP_ALIVE if _at_a_terminal() and not on_build_server(os.environ) else 0


def _at_a_terminal() -> bool:
    return any(os.isatty(stream) for stream in range(3))


def on_build_server(environment: Mapping[str, str]) -> bool:
    """Whether a program that builds and tests set these variables."""
    return any(
        environment.get(name, "").lower() not in ("", "0", "false") for name in BUILD_SERVERS
    )


def tell_once(say: Say, seconds: float) -> None:
    """Say that the pair stays, and how to change it, unless that was said before."""
    mark = state_dir() / TOLD
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch(exist_ok=False)
    except OSError:
        return
    known = SETTINGS["keep_alive"]
    stays = "until gemma-mtp stop" if seconds < 0 else f"for {_words(seconds)} after a reply"
    say(
        f"The model stays loaded {stays}, so that the next command answers at once; "
        f"--{known.name.replace('_', '-')} or gemma-mtp config {known.name} changes that."
    )


def _words(seconds: float) -> str:
    whole = round(seconds)
    for unit, size in (("hour", 3600), ("minute", 60)):
        if whole and whole % size == 0:
            return counted(whole // size, unit)
    return counted(whole, "second")
