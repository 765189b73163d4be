"""How gemma-mtp was installed here, and so which command gives it another llama.cpp.

`__main__` says it to who sets up a checkout, `doctor` to everybody else.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from gemma_mtp.models.build.wheels import Wheel

PACKAGE = "llama-cpp-python"


def way(prefix: Path, checkout: Path) -> str:
    """ "checkout", "uv", "pipx" or "pip". `prefix` is the environment's folder, `checkout` the one
    that the package `gemma_mtp` lies in."""
    if prefix == checkout / ".venv" and (checkout / "scripts" / "chat").is_file():
        return "checkout"
    if (prefix / "pipx_metadata.json").is_file():
        return "pipx"
    try:
        made_by_uv = "\nuv = " in (prefix / "pyvenv.cfg").read_text()
    except OSError:
        made_by_uv = False
    return "uv" if made_by_uv else "pip"


class Installation:
    """This one, unless another is named."""

    def __init__(self, prefix: Path | None = None, checkout: Path | None = None) -> None:
        self.prefix = prefix or Path(sys.prefix)
        self.checkout = checkout or Path(__file__).parents[3]
        self.way = way(self.prefix, self.checkout)

    def build(self, arguments: str, release: str, anew: bool = False) -> str:
        """The command that compiles llama.cpp with these arguments of CMake; `anew` also where it
        was built with them before."""
        if self.way == "checkout" and anew:  # whose script chooses the arguments by itself
            environment, script = self.checkout / ".venv", self.checkout / "scripts" / "chat"
            return f"rm -r {shlex.quote(str(environment))}; {shlex.quote(str(script))} doctor"
        if self.way == "checkout":
            return _told(
                arguments, shlex.quote(str(self.checkout / "scripts" / "chat")) + " doctor"
            )
        exactly, afresh = f"{PACKAGE}=={release}", f"--no-binary {PACKAGE}"
        if self.way == "uv":
            options = f"--no-deps --no-cache --reinstall-package {PACKAGE} {afresh}"
        else:
            options = f"--no-deps --no-cache-dir --force-reinstall {afresh}"
        return _told(arguments, f"{self._install()} {options} {exactly}")

    def ready(self, wheel: Wheel, release: str) -> str:
        """The command that installs a build from the index."""
        packages = " ".join(map(_quoted, (f"{PACKAGE}=={release}", *wheel.beside)))
        if self.way == "uv":
            options = f"--reinstall-package {PACKAGE} --index {wheel.url}"
        else:
            options = f"--force-reinstall --extra-index-url {wheel.url}"
        return f"{self._install()} {options} --only-binary {PACKAGE} {packages}"

    def _install(self) -> str:
        folder = "Scripts" if sys.platform == "win32" else "bin"
        python = shlex.quote(str(self.prefix / folder / "python"))
        if self.way == "pipx":
            return "pipx runpip gemma-mtp install"
        return (
            f"uv pip install --python {python}" if self.way == "uv" else f"{python} -m pip install"
        )


def _told(arguments: str, command: str) -> str:
    if not arguments:
        return command
    if sys.platform == "win32":
        return f'$env:CMAKE_ARGS="{arguments}"; {command}'
    return f'CMAKE_ARGS="{arguments}" {command}'


def _quoted(requirement: str) -> str:
    return f'"{requirement}"' if "*" in requirement else requirement
