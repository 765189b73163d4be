"""What a shell does with a program: when it stops, take the terminal and say how it is.

Run with the words of a command, it starts that as a job; Enter goes on with one that stopped.
"""

from __future__ import annotations

import os
import signal
import sys
import termios

MODES = [("ICRNL", 0), ("ICANON", 3), ("ECHO", 3)]


def main(command: list[str]) -> None:
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.execv(sys.executable, [sys.executable, *command])
    while os.WIFSTOPPED(os.waitpid(child, os.WUNTRACED)[1]):
        os.tcsetpgrp(0, os.getpgrp())
        modes = termios.tcgetattr(0)
        on = [name for name, i in MODES if modes[i] & getattr(termios, name)]
        print("shell:", *on)
        input()
        os.tcsetpgrp(0, child)
        os.killpg(child, signal.SIGCONT)


if __name__ == "__main__":
    main(sys.argv[1:])
