"""Runs a chat template in a process of its own, and ends that when the template takes too much.

A template is a program of whoever made the model file. Jinja's sandbox keeps it from files and
network, but not from `9**9**9`, a string of six gigabytes or loops without end, and nothing within
a process can stop those. Knows no template and no message.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import IO, Any

from gemma_mtp.engine.template_rendering import Failure, TooSlow, never
from gemma_mtp.errors import Cancelled, GemmaMtpError

SECONDS = 5.0  # a template of 16 kB takes about 0.1 s to compile and 3 ms for 20 messages
SECONDS_PER_MESSAGE = 0.002  # some go through all messages for each of them
LONG_TO_LOAD = 500 << 20  # bytes of a target that takes longer to load than the process to start
STEP = 0.05  # seconds between two looks at whether the user wants no more

# The search path comes as a line of its own, as no encoding of arguments holds every path.
PROGRAM = """\
import json, sys
sys.path[:] = json.loads(sys.stdin.buffer.readline())
from gemma_mtp.engine.template_rendering import serve
serve()
"""


class RendererProcess:
    """A renderer whose process starts when it is needed, and again after it had to be ended.

    Time is bounded everywhere. Memory is where the system limits a process (Linux); elsewhere by
    how much can be filled in that time.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: SimpleQueue[bytes] = SimpleQueue()
        self._source = ""
        self._one_at_a_time = Lock()

    def start(self) -> None:
        """Have the process ready; its imports take a tenth of a second, so do it in good time.

        Raises GemmaMtpError where the system has no process to give.
        """
        try:
            self._process = subprocess.Popen(
                # Not from this folder (-P), nor anything that is found besides the path (-S).
                [sys.executable, "-P", "-S", "-c", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl-C is for the program, which decides what becomes of this process.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise GemmaMtpError(
                f"The process for the model's chat template cannot be started: {error.strerror}.",
                "End other programs and try again.",
            ) from error
        self._answers = SimpleQueue()
        output = self._process.stdout
        assert output is not None
        Thread(target=_collect, args=(output, self._answers), daemon=True).start()
        self._send([path for path in sys.path if isinstance(path, str)])

    def compile(self, source: str, cancelled: Callable[[], bool] = never) -> None:
        """Get ready to render `source`. Raises Failure, Cancelled."""
        with self._one_at_a_time:
            self._source = source
            self._compile(cancelled)

    def render(
        self, variables: dict[str, Any], longest: int, cancelled: Callable[[], bool] = never
    ) -> str:
        """The text. Raises Failure, Cancelled."""
        seconds = SECONDS + SECONDS_PER_MESSAGE * len(variables["messages"])
        with self._one_at_a_time:
            if self._process is None:
                self._compile(cancelled)
            return self._ask({"variables": variables, "longest": longest}, seconds, cancelled)

    def close(self) -> None:
        """End the process at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdin is not None
            with suppress(OSError):  # what could not be written any more
                process.stdin.close()

    def _compile(self, cancelled: Callable[[], bool]) -> None:
        if self._process is None:
            self.start()
        self._ask({"source": self._source}, SECONDS, cancelled)

    def _ask(self, request: dict[str, Any], seconds: float, cancelled: Callable[[], bool]) -> str:
        try:
            self._send(request)
            answer = self._answer(seconds, cancelled)
        except BaseException:  # an answer that comes later would be taken for that of the next
            self.close()
            raise
        if "failed" in answer:
            raise Failure(answer["failed"], answer["bound"])
        return str(answer["text"])

    def _send(self, what: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, which shows when its answer is read
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()

    def _answer(self, seconds: float, cancelled: Callable[[], bool]) -> dict[str, Any]:
        # Steps are counted, not time: a computer that slept in between has not used them up.
        for _ in range(round(seconds / STEP)):
            if cancelled():
                raise Cancelled("Stopped.")
            try:
                line = self._answers.get(timeout=STEP)
            except Empty:
                continue
            if not line:
                raise Failure("it made the process end in which it ran", bound=True)
            answer: dict[str, Any] = json.loads(line)
            return answer
        raise TooSlow("it takes too long", bound=True)


def head_start(model: Path) -> RendererProcess | None:
    """A process for the template in this file, to start while the model is loaded, if that takes
    long; None if it is not worth it, or there is no such file."""
    try:
        if model.stat().st_size < LONG_TO_LOAD:
            return None
    except OSError:  # loading the model will report this
        return None
    renderer = RendererProcess()
    # Not every template needs the process; rendering reports it where one does.
    with suppress(GemmaMtpError):
        renderer.start()
    return renderer


def _collect(output: IO[bytes], answers: SimpleQueue[bytes]) -> None:
    """Put every line into the queue, and an empty one at the end."""
    with output:
        for line in output:
            answers.put(line)
    answers.put(b"")
