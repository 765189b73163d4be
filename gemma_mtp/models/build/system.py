"""What a machine has: tools on the PATH and in their usual folders, files, what a tool answers.

`cards` and `choice` look through it, and tests give it a folder in place of the machine.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from gemma_mtp.text import harmless

ANSWER_SECONDS = 30.0  # nvidia-smi can take seconds where the driver was not loaded


class System:
    """The machine whose files are below `root`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    @property
    def is_mac(self) -> bool:
        return self.ask("uname", "-s").strip() == "Darwin" if os.name == "posix" else False

    def tool(self, name: str, *folders: str) -> str:
        """Where a program is: on the PATH, or in one of these folders; "" where in none."""
        if found := shutil.which(name):
            return found
        places = (self.root / folder.lstrip("/") / name for folder in folders)
        return next((str(place) for place in places if os.access(place, os.X_OK)), "")

    def ask(self, *command: str) -> str:
        """What a program writes, safe for a screen; "" where it is missing or fails."""
        with suppress(OSError, subprocess.SubprocessError, ValueError):
            done = subprocess.run(
                command,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=ANSWER_SECONDS,
                check=True,
            )
            return harmless(done.stdout.decode(errors="replace"))
        return ""

    def first(self, *patterns: str) -> Path | None:
        """The first file that one of these patterns leads to."""
        for pattern in patterns:
            with suppress(OSError):
                if found := sorted(self.root.glob(pattern.lstrip("/"))):
                    return found[0]
        return None

    def read(self, pattern: str) -> list[str]:
        """The texts of all files of a pattern, safe for a screen."""
        texts = []
        for file in sorted(self.root.glob(pattern.lstrip("/"))):
            with suppress(OSError, ValueError):
                texts.append(harmless(file.read_text()))
        return texts

    @property
    def packager(self) -> str:
        """The program that installs packages here, such as "apt"; "" where it is not known."""
        like = " ".join(self._said(r'^ID(?:_LIKE)?="?([^"\n]*)')).split()
        known = {"debian": "apt", "ubuntu": "apt", "fedora": "dnf", "rhel": "dnf",
                 "arch": "pacman", "suse": "zypper", "opensuse": "zypper"}  # fmt: skip
        return next((known[name] for name in like if name in known), "")

    @property
    def codenames(self) -> set[str]:
        """What this release is called, such as "bookworm"; also the one that it is made from."""
        return {*self._said(r'^\w*CODENAME="?(\w+)')}

    def _said(self, pattern: str) -> list[str]:
        return re.findall(pattern, "\n".join(self.read("etc/os-release")), re.M)


def platform_tag() -> str:
    """How a wheel's name ends that runs here."""
    machine = os.uname().machine if hasattr(os, "uname") else "AMD64"
    return "win_amd64.whl" if sys.platform == "win32" else f"_{machine}.whl"
