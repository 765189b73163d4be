"""The user's own editor on a text, while a message is typed and for `/edit`."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.terminal.interrupts import handled
from gemma_mtp.terminal.tty_modes import cooked_mode

HINT = "The variables VISUAL and EDITOR name the one that is used."


def edited(text: str) -> str:
    """`text` as the editor left it; the file in between is the user's alone and then removed."""
    handle, name = tempfile.mkstemp(prefix="gemma-mtp-", suffix=".md")
    file = Path(name)
    try:
        with open(handle, "w", encoding="utf-8", errors="replace", newline="") as out:
            out.write(text)
        _run([*command(), name])
        return _as_given(file.read_text(encoding="utf-8", errors="replace"), text)
    except OSError as error:
        raise GemmaMtpError(f"The editor gave no text: {error.strerror or error}.", HINT) from error
    finally:
        with suppress(OSError):
            file.unlink()


def command() -> list[str]:
    """The editor and its options."""
    for variable in ("VISUAL", "EDITOR"):
        try:
            words = shlex.split(os.environ.get(variable, ""), posix=os.name != "nt")
        except ValueError as error:
            said = str(error).removeprefix("No ").lower()
            raise GemmaMtpError(f"There is no {said} in {variable}.", HINT) from error
        if words:
            return words
    for known in ("editor", "nano", "vim", "vi", "notepad"):
        if found := shutil.which(known):
            return [found]
    raise GemmaMtpError("There is no editor here.", HINT)


def _as_given(after: str, before: str) -> str:
    """Without the line end that editors add."""
    return after if before.endswith("\n") else after.removesuffix("\n")


def _run(words: list[str]) -> None:
    with cooked_mode(), _deaf():
        try:
            status = subprocess.call(words)
        except OSError as error:
            raise GemmaMtpError(f"{words[0]} does not start: {error.strerror}.", HINT) from error
    if status:
        raise GemmaMtpError(f"{words[0]} ended with status {status}; the text stays.", HINT)


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C is the editor's. Ignoring it would be inherited, so it is handled by doing nothing,
    and no event loop is told."""
    with handled(lambda number, frame: None, signal.SIGINT):
        told = signal.set_wakeup_fd(-1)
        try:
            yield
        finally:
            signal.set_wakeup_fd(told)
