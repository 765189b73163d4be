"""The process of a step: `python -m gemma_mtp.models.convert.child FILE MODULE_OR_SCRIPT WORDS...`.

Runs a module, or a script by its path, and ends with the process that started it: that one holds
this one's standard input, whose end is the sign. The unfinished FILE goes with it, so that not even
a killed command leaves gigabytes that nobody asked for. `step` starts it.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path


def _watch(unfinished: Path) -> None:
    """Ends the process when nobody holds the other end of its standard input any more."""
    with suppress(OSError):
        while os.read(0, 1):
            pass
    with suppress(OSError):
        unfinished.unlink()
    os._exit(1)


def main(unfinished: str, what: str, *words: str) -> None:
    """Runs `what` as the main program. Ctrl-C is for whoever started this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=[Path(unfinished)], daemon=True).start()
    sys.argv = [what, *words]
    if what.endswith(".py"):
        sys.path[0] = str(Path(what).parent)
        runpy.run_path(what, run_name="__main__")
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
