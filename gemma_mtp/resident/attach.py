"""Whether a pair is loaded in the resident engine or in this process, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable

from gemma_mtp.api import LoadOptions, PairFiles, Replies
from gemma_mtp.files.reading import Say
from gemma_mtp.options import Options
from gemma_mtp.resident.client import ResidentPair
from gemma_mtp.resident.identity import NoEngine, engine_folder, place
from gemma_mtp.resident.keep import tell_once, usual
from gemma_mtp.resident.line import ask
from gemma_mtp.resident.start import ran_before


def attach(
    files: PairFiles, options: Options, progress: Callable[[float], bool], say: Say
) -> Replies:
    """The pair in the resident engine, which is started where none runs; in this process where
    nothing is to stay and none runs, or where none can be started.

    Raises what loading raises.
    """
    runs = ran_before(place())
    keep = options.keep_alive if options.keep_alive is not None or runs else usual()
    if not runs and keep == 0:
        return _here(files, options, progress)
    try:
        pair = ResidentPair(engine_folder(), files, options.part(LoadOptions), keep)
        pair.load(progress)
    except NoEngine as error:
        say(f"{error} The model is loaded for this command alone.")
        return _here(files, options, progress)
    if not runs and keep is not None:
        tell_once(say, keep)
    return pair


def stay(pair: Replies, options: Options) -> bool:
    """Say how long a pair is to stay from its next request on; whether it is one that stays."""
    if not isinstance(pair, ResidentPair):
        return False
    pair.stay(usual() if options.keep_alive is None else options.keep_alive)
    return True


def _here(files: PairFiles, options: Options, progress: Callable[[float], bool]) -> Replies:
    from gemma_mtp.resident.pairs import load  # takes time that a loaded pair does not need

    return load(files, options.part(LoadOptions), progress)


def make_room(say: Say, waits: Callable[[str], bool]) -> None:
    """Have the resident engine unload its pair: whoever measures needs the machine.

    Where it is busy, `waits` is told for whom and says whether to wait for the end of that; else it
    is left alone.
    """
    folder = place()
    status = ask(folder, "status")
    if status is None or not (status["model"] or status["busy_for"]):
        return
    if status["busy_for"] and not waits(status["busy_for"]):
        say("It goes on meanwhile; what is measured shares the machine with it.")
        return
    ask(folder, "unload")
    if status["model"]:
        say(f"{status['model']} was loaded for the next command; it is unloaded for this.")
