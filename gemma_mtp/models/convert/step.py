"""A step of a conversion: a process of its own that writes one file.

The file has another name until it is whole, so that a step that was stopped, or killed, leaves
nothing that looks like a model. How far it is, its size tells. `quantize` and `pair` run steps;
knows nothing of what a step does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gemma_mtp.errors import Cancelled, GemmaMtpError
from gemma_mtp.files import atomic, disk
from gemma_mtp.files.folder_lock import try_lock
from gemma_mtp.text import one_line

Progress = Callable[[str, str, int, int], bool]
"""Gets what is done ("quantizing"), the name of the file, its bytes so far and in all (about), and
answers whether to go on."""

CHILD = [sys.executable, "-m", "gemma_mtp.models.convert.child"]
UNFINISHED = ".unfinished"  # ending of a file that a step is at
_ENDED = "The system ended the step, perhaps for want of memory"
INTERVAL = 0.2  # seconds between two looks at the size of the file


def run_step(
    doing: str,
    words: Sequence[str],
    out: Path,
    expected: int,
    progress: Progress,
    check: Callable[[Path], None],
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    elsewhere: str = disk.ELSEWHERE,
    begin: Callable[[], None] = lambda: None,
) -> None:
    """Run `words`, in which the path `unfinished(out)` stands for the file, and give it its name
    when `check` has raised nothing.

    `expected`: bytes it will have, about. Raises Cancelled when `progress` says so, GemmaMtpError
    for a step that fails and for what the disk refuses. What a failed one said is kept as `log`;
    `env` is added to its environment. `elsewhere`: how to have the file in another folder. `begin`
    is called when nobody else can write the file any more, and may raise.
    """
    temporary = unfinished(out)
    try:
        with _alone(temporary, out) as held:
            begin()
            command = [*CHILD, str(temporary), *words]
            said = _run(doing, command, out, expected, progress, env or {}, held)
            if said is not None:
                raise _failure(said, log)
            check(temporary)
            _flush(temporary)
            temporary.replace(out)
    except OSError as error:
        raise disk.disk_error(error, out.parent, "try again", elsewhere) from error


@contextmanager
def _alone(temporary: Path, out: Path) -> Iterator[tuple[int, ...]]:
    """Begin the unfinished file, and remove it if it is still there at the end. The descriptors
    that the step's process is to hold, too: as long as one of both lives, nobody else begins.

    Raises GemmaMtpError where somebody else is at it.
    """
    if sys.platform == "win32":  # where nobody can remove a file that is being written
        temporary.unlink(missing_ok=True)
        try:
            yield ()
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        return
    if temporary.is_symlink():
        temporary.unlink()
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        if not try_lock(descriptor) or not _is_at(temporary, descriptor):
            raise GemmaMtpError(
                f"{out.name} is being written by another command.", "Wait until that has ended."
            )
        try:
            yield (descriptor,)
        finally:
            with suppress(OSError):
                if _is_at(temporary, descriptor):
                    temporary.unlink()
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether an open file still has this name."""
    return path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor))


def unfinished(out: Path) -> Path:
    """What a file is called until it is whole."""
    return out.with_name(out.name + UNFINISHED)


def _run(
    doing: str,
    command: list[str],
    out: Path,
    expected: int,
    progress: Progress,
    env: Mapping[str, str],
    held: tuple[int, ...],
) -> bytes | None:
    """What the process, which holds these descriptors, said if it failed."""
    temporary = unfinished(out)
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **env},
            pass_fds=held,
        )
        try:
            while not _ended(child):
                size = min(max(disk.size_of(temporary), 0), expected)
                if not progress(doing, out.name, size, expected):
                    raise Cancelled("Stopped.", "Nothing half made is left.")
        finally:
            child.kill()
            child.wait()
        if child.returncode:
            errors.seek(0)
            ended = f"\n{_ENDED} (signal {-child.returncode})." if child.returncode < 0 else ""
            return errors.read() + ended.encode()
    progress(doing, out.name, expected, expected)
    return None


def _ended(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(INTERVAL)
    except subprocess.TimeoutExpired:
        return False
    return True


def _failure(said: bytes, log: Path | None) -> GemmaMtpError:
    """The last line that is no warning's; the whole is in the log."""
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    hint = ""
    if log is not None:
        with suppress(OSError):
            atomic.write_text(log, "\n".join(lines) + "\n")
            hint = f"All that was said is in {log}."
    return GemmaMtpError(one_line(lines[-1], 300) if lines else "The step failed.", hint)


def _flush(path: Path) -> None:
    """On the disk when this returns."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
