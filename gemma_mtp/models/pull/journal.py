"""Which ranges of a partial file are on disk, written down beside it as they arrive.

One short line is appended for each flushed range, after its bytes were written, so a process that
is killed loses what came since its last line and nothing else. When the machine itself went down,
only what was forced to the disk (`synced`) is believed. Knows nothing of where the bytes come from.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

Range = tuple[int, int]
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Ranges:
    """A set of bytes, as sorted half-open ranges that do not touch."""

    def __init__(self) -> None:
        self._spans: list[Range] = []
        self.total = 0

    def add(self, start: int, stop: int) -> None:
        """Take in the bytes from `start` up to `stop`, known or not."""
        if start >= stop:
            return
        apart = [s for s in self._spans if s[1] < start or s[0] > stop]
        joined = [s for s in self._spans if not (s[1] < start or s[0] > stop)]
        apart.append((min([start, *(s[0] for s in joined)]), max([stop, *(s[1] for s in joined)])))
        self._spans = sorted(apart)
        self.total = sum(b - a for a, b in self._spans)

    def gaps(self, size: int) -> list[Range]:
        """What is missing of the first `size` bytes."""
        edges = [(0, 0), *self._spans, (size, size)]
        gaps = [(left[1], min(right[0], size)) for left, right in pairwise(edges)]
        return [(start, stop) for start, stop in gaps if start < stop]

    @property
    def prefix(self) -> int:
        """How many bytes are there without a gap from the beginning."""
        return self._spans[0][1] if self._spans and self._spans[0][0] == 0 else 0

    def __iter__(self) -> Iterator[Range]:
        return iter(self._spans)


class Journal:
    """The file beside a partial file. Threads may share it."""

    def __init__(self, path: Path, sha256: str, size: int, on_disk: int) -> None:
        """Go on with what `path` says, if it is about the same contents, or begin anew.

        `on_disk`: the length of the partial file, which the caller has just forced to the disk;
        what lies beyond is not believed.
        """
        self._lock = threading.Lock()
        self._title = f"gemma-mtp partial file 1 {sha256 or '-'} {size}"
        self.ranges, self.changed = _read(path, self._title, on_disk)
        self._written = 0
        fresh = path.with_name(path.name + ".tmp")
        with open(fresh, "w", encoding="ascii") as out:
            out.write(f"{self._title} {_boot() or '-'}\n")
            for start, stop in self.ranges:
                out.write(f"{start} {stop}\n")
                self._written += 1
            out.write(f"synced {self._written}\n")
        self._synced = self._written
        fresh.replace(path)
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by close()

    def add(self, start: int, stop: int) -> None:
        """These bytes were written to the partial file."""
        with self._lock:
            self._file.write(b"%d %d\n" % (start, stop))
            self._written += 1
            self.ranges.add(start, stop)

    @property
    def unsynced(self) -> bool:
        """Something came since the last `synced`."""
        return self._written > self._synced

    def mark(self) -> int:
        """How many lines there are now; to be given to `synced` after the file was forced out."""
        with self._lock:
            return self._written

    def synced(self, mark: int) -> None:
        """The bytes of the first `mark` lines survive a power cut."""
        with self._lock:
            self._file.write(b"synced %d\n" % mark)
            self._synced = mark

    def close(self) -> None:
        with self._lock:
            self._file.close()


def _read(path: Path, title: str, on_disk: int) -> tuple[Ranges, bool]:
    """The believable ranges, and whether the journal was about other contents."""
    ranges = Ranges()
    try:
        lines = path.read_text(encoding="ascii", errors="replace").split("\n")
    except OSError:
        return ranges, False
    head, _, boot = lines[0].rpartition(" ")
    if head != title:
        return ranges, bool(lines[0])
    spans, synced = [], 0
    for line in lines[1:-1]:  # what follows the last newline was cut off
        words = line.split()
        if len(words) == 2 and words[1].isdigit():
            if words[0] == "synced":
                synced = int(words[1])
            elif words[0].isdigit():
                spans.append((int(words[0]), int(words[1])))
    believed = spans if boot == _boot() else spans[:synced]
    for start, stop in believed:
        ranges.add(start, min(stop, on_disk))
    return ranges, False


def _boot() -> str:
    """Changes when the machine starts; "" where that cannot be asked, and nothing equals it."""
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""
