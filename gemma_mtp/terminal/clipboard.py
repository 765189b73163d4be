"""Text to the clipboard, by the program this desktop has for it, else through the terminal.

Says what was done, since no terminal answers whether it took the text.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import TextIO

from gemma_mtp.terminal.escapes import to_clipboard

PATIENCE = 5.0  # seconds for a program that should take none
MOST = 74_994  # bytes; several terminals ignore longer sequences

_FENCE = re.compile(r"^(`{3,}|~{3,})[^\n]*\n(.*?)^\1[ \t]*$", re.DOTALL | re.MULTILINE)


def last_code(text: str) -> str | None:
    """The last fenced block of a reply."""
    blocks = _FENCE.findall(text)
    return blocks[-1][1].rstrip("\n") if blocks else None


def copy(text: str, terminal: TextIO | None, env: Mapping[str, str] | None = None) -> str:
    """Copy `text`; a sentence about how, or why not. `terminal` None: there is none to ask."""
    env = os.environ if env is None else env
    for command in _programs(env):
        if _runs(command, text):
            return f"Copied with {command[0]}."
    if terminal is None:
        return "There is no clipboard here: no program for it, and no terminal."
    data = base64.b64encode(text.encode())
    if len(data) > MOST:
        return "Too long to be copied through the terminal; /export writes a file."
    terminal.write(to_clipboard(data.decode()))
    terminal.flush()
    return "Sent to the terminal, which may or may not put it on the clipboard (OSC 52)."


def _programs(env: Mapping[str, str]) -> list[list[str]]:
    """Programs that reach the clipboard of the person at the keyboard, not of a remote machine."""
    if env.get("SSH_CONNECTION") or env.get("SSH_TTY"):
        return []
    found = [["pbcopy"]] if sys.platform == "darwin" else []
    if os.name == "nt" or env.get("WSL_DISTRO_NAME"):
        found.append(["clip.exe"])
    if env.get("WAYLAND_DISPLAY"):
        found.append(["wl-copy"])
    if env.get("DISPLAY"):
        found += [["xclip", "-selection", "clipboard"], ["xsel", "--clipboard", "--input"]]
    return [command for command in found if shutil.which(command[0], path=env.get("PATH"))]


def _runs(command: list[str], text: str) -> bool:
    encoding = "utf-16-le" if command[0] == "clip.exe" else "utf-8"
    try:
        # Some of them stay in the background and would hold a pipe open.
        subprocess.run(
            command,
            input=text.encode(encoding),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True
