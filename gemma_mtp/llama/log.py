"""llama.cpp's log lines: where they go, and what is read out of them.

There is one log for the whole process, as in llama.cpp. Knows no model.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

import llama_cpp

from gemma_mtp.files import private

LOG_LEVEL_ERROR = 4  # ggml.h; not exported to Python
FUNCTION = re.compile(r"^(\w+: )+")  # of llama.cpp, in front of most lines


BUFFER = re.compile(r"(\S+)\s+(model|KV|compute|output) buffer size\s*=\s*([\d.]+) MiB")


Buffers = Counter[tuple[str, str]]
"""Bytes by where they are (`devices.memory_name`) and what for: model, KV, compute or output."""


class Log:
    """Receives llama.cpp's log lines: to a file or stderr, and what we read out of them."""

    def __init__(self) -> None:
        self.stream: IO[str] | None = None
        self.listener: Callable[[str], None] = lambda line: None  # gets each line as well
        self.buffers: Buffers = Counter()
        self.error = ""  # the first line of an error since `forget`: it names the reason

    def write(self, level: int, text: bytes, _user_data: object) -> None:
        line = text.decode("utf-8", "replace")
        # There is no call for the sizes of buffers; their allocation is announced in the log.
        if match := BUFFER.search(line):
            self.buffers[match[1], match[2]] += int(float(match[3]) * 2**20)
        if level == LOG_LEVEL_ERROR:
            self.error = self.error or FUNCTION.sub("", line.strip())
        self.listener(line)
        if self.stream is not None:
            try:
                self.stream.write(line)
                self.stream.flush()
            except (OSError, ValueError):  # ctypes would print a traceback of it for every line
                self._close()

    def open(self, path: Path | None, verbose: bool) -> None:
        """Write to stderr if `verbose`, else to `path`; a log that cannot be written is none."""
        self._close()
        if verbose:
            self.stream = sys.stderr
        elif path is not None:
            with suppress(OSError):
                descriptor = private.open_file(path, os.O_WRONLY | os.O_TRUNC)
                self.stream = open(descriptor, "w", encoding="utf-8")  # noqa: SIM115

    def _close(self) -> None:
        stream, self.stream = self.stream, None
        if stream not in (None, sys.stderr):
            with suppress(OSError):  # closing writes the end of the log, which fails on a full disk
                stream.close()

    def taken(self) -> Buffers:
        """Bytes that were announced since this was asked last."""
        held, self.buffers = self.buffers, Counter()
        return held

    @property
    def kv_bytes(self) -> int:
        """Bytes of KV caches among those."""
        return sum(count for (_, kind), count in self.buffers.items() if kind == "KV")

    def forget(self) -> None:
        """What went wrong before is no reason for what comes now."""
        self.error = ""

    def why(self) -> str:
        """The reason of the last failure, for a message; without a full stop."""
        reason, self.error = self.error.rstrip("."), ""
        return reason or "llama.cpp gave no reason"


log = Log()
# ctypes frees a callback that nothing refers to, and llama.cpp would call into freed memory.
log_callback = llama_cpp.llama_log_callback(log.write)


def attach() -> None:
    """Send llama.cpp's lines to `log` from now on."""
    llama_cpp.llama_log_set(log_callback, ctypes.c_void_p(0))
