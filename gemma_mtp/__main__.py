"""`python -m gemma_mtp` is the command `gemma-mtp`, which begins here, too.

Most of the time until the first word goes into imports. Nothing is lost if Ctrl-C ends them on the
spot, while an exception in their midst can come out as another one.
"""

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130


def main() -> int:
    """Run the command line and return its exit status."""
    usual = signal.default_int_handler
    try:
        if signal.getsignal(signal.SIGINT) is usual:  # else Ctrl-C is not for this program
            signal.signal(signal.SIGINT, _leave)
        from gemma_mtp.cli.early import start_engine

        start_engine(sys.argv[1:])
        from gemma_mtp.cli.app import main as command

        if signal.getsignal(signal.SIGINT) is _leave:
            signal.signal(signal.SIGINT, usual)
        return command()
    except KeyboardInterrupt:
        return INTERRUPTED


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
