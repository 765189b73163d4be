"""Whether a pair is loaded in the resident engine or in this process, and what is said about it.

None is started unless the user wants one that stays.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from gemma_mtp.api import LoadOptions, PairFiles, Replies
from gemma_mtp.files.reading import Say
from gemma_mtp.paths import state_dir
from gemma_mtp.resident.client import ResidentPair
from gemma_mtp.resident.identity import engine_folder, place
from gemma_mtp.resident.line import ask
from gemma_mtp.resident.sockets import is_running
from gemma_mtp.settings import KEEP_ALIVE, SETTINGS, Options

VARIABLE = "GEMMA_MTP_KEEP_ALIVE"
TOLD = "engine/told"  # in the state folder: that an engine stays was said once


def attach(
    files: PairFiles, options: Options, progress: Callable[[float], bool], say: Say
) -> Replies:
    """The pair in the resident engine, which is started where none runs; in this process where
    none is to stay, and none runs.

    Raises what loading raises, and UsageError for a value of the variable that makes no sense.
    """
    keep = _chosen(options)
    runs = is_running(place())
    if options.verbose or not (runs or keep):
        from gemma_mtp.resident.pairs import load

        return load(files, options.part(LoadOptions), progress)
    pair = ResidentPair(engine_folder(), files, options.part(LoadOptions), keep)
    pair.load(progress)
    if not runs:
        _tell_once(say, keep or KEEP_ALIVE)
    return pair


def make_room(say: Say) -> None:
    """Have the resident engine unload its pair, when the reply in progress is done.

    Whoever measures needs the machine."""
    folder = place()
    status = ask(folder, "status")
    if status is None or status["model"] is None:
        return
    if status["busy_for"]:
        say(f"{status['busy_for']} gets a reply first; what is measured begins after it.")
    ask(folder, "unload")
    say(f"{status['model']}, loaded for the next command, is unloaded, so as not to disturb this.")


def _chosen(options: Options) -> int | None:
    """How long the pair is to stay, in seconds; None where the user has not said so."""
    if options.keep_alive is not None or VARIABLE not in os.environ:
        return options.keep_alive
    found: int | None = SETTINGS["keep_alive"].parse(os.environ[VARIABLE], VARIABLE)
    return found


def _tell_once(say: Say, seconds: float) -> None:
    mark = state_dir() / TOLD
    try:
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
    from gemma_mtp.text import counted

    whole = round(seconds)
    for unit, size in (("hour", 3600), ("minute", 60)):
        if whole and whole % size == 0:
            return counted(whole // size, unit)
    return counted(whole, "second")
