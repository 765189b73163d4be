"""A scripted engine and a world around it, for tests of what a person types and sees.

The fake keeps the promises of the real engine: `End` comes last, `cancel` ends a reply soon (also
while the prompt is read), errors come before the first text, and counters add up. Run as a
program it is the real command line with this engine behind it; the script comes as JSON in FAKE.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gemma_mtp.api import (
    ON_CPU,
    ON_CPU_CHOICE,
    DeviceChoice,
    End,
    Event,
    FinishReason,
    LoadOptions,
    Message,
    PairFiles,
    PairInfo,
    Placement,
    Prefill,
    Progress,
    Request,
    Stats,
    Text,
    TextDelta,
    Thought,
    ToolCall,
    ToolCallDelta,
    ToolResult,
)
from gemma_mtp.cli.app import main
from gemma_mtp.cli.environment import Environment
from gemma_mtp.cli.finding import Finding
from gemma_mtp.conversations.archive import Archive
from gemma_mtp.errors import (
    BadPair,
    Cancelled,
    DoesNotFit,
    ModelNotAvailable,
    NotPulled,
    UsageError,
)
from gemma_mtp.models.machine import Machine
from gemma_mtp.models.pull.events import OnEvent, PullProgress
from gemma_mtp.models.pull.request import PullRequest
from gemma_mtp.models.store import BUILTIN_FOLDER
from gemma_mtp.options import Options

_NEVER = threading.Event()
NAMES = ("tiny", "e2b", "e4b", "12b", "26b-a4b", "31b")


class TerminalText(io.StringIO):
    """What is typed at a terminal, or shown there."""

    def isatty(self) -> bool:
        return True


@dataclass
class Script:
    """One reply. `error` is raised before the first text, `crash` after it; a delay is
    in seconds per token; the file `mark` is made after the first text. The reply waits before
    each word of which there is a file in the folder `hold`, and when so many tokens of the prompt
    are read as the name of a file there says. The end comes with `warning`. `calls`
    are the tools that it calls behind its text: name and arguments of each, under ids call_00,
    call_01 and so on, where the first digit is the number of the reply."""

    text: str = "Hello there."
    thought: str = ""
    error: str = ""
    crash: str = ""
    delay: float = 0.0
    prefill_delay: float = 0.0
    mark: str = ""
    hold: str = ""
    warning: str = ""
    calls: Sequence[tuple[str, str]] = ()  # after the text: names, and arguments as JSON


@dataclass
class FakeEngine:
    """Replies with `scripts` in turn (the last one again and again), two tokens a round."""

    scripts: list[Script] = field(default_factory=lambda: [Script()])
    context: int = 8192
    limit: int = 0  # the longest context that the model can hold; 0: not known
    room: int = 0  # the longest context that there is memory for; 0: not known
    plain_reason: str = ""
    name: str = "tiny"
    requests: list[Request] = field(default_factory=list)
    closed: bool = False
    prepared: list[Request | None] = field(default_factory=list)
    slowdown: float | None = None
    drafter_of: str = ""
    placement: Placement = ON_CPU
    exact_holds: bool = True
    device_choice: DeviceChoice = ON_CPU_CHOICE
    images: bool = True
    audio: bool = True

    @property
    def info(self) -> PairInfo:
        sizes = (2, 0, 60 << 20, 0, 10**7, 10**6)
        more = {
            "context_limit": self.limit,
            "exact_slowdown": self.slowdown,
            "state_bytes": 40 << 20,
            "drafter_of": self.drafter_of,
            "placement": self.placement,
            "exact_holds": self.exact_holds,
            "device_choice": self.device_choice,
            "images": self.images,
            "audio": self.audio,
        }
        return PairInfo(self.name, self.context, *sizes, self.plain_reason, **more)

    def close(self) -> None:
        self.closed = True

    def enlarge(self, context: int) -> None:
        assert not self.closed
        if self.limit and context > self.limit:
            raise UsageError(
                f"A context of {context} tokens is more than this model's {self.limit}."
            )
        if self.room and context > self.room:
            raise DoesNotFit(f"There is no memory for a context of {context} tokens.")
        self.context = max(context, self.context)

    def reply(self, request: Request, cancel: threading.Event) -> Iterator[Event]:
        _check_order(request)
        assert request.messages or request.prompt is not None
        assert not self.closed
        request.check()
        script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
        self.requests.append(request)
        if script.error:
            raise BadPair(script.error, "Try something else.")
        return self._events(script, request, cancel)

    def prepare(self, request: Request | None) -> None:
        assert not self.closed
        self.prepared.append(request)

    def count(self, request: Request) -> int:
        """A token for each word, four for each message, a hundred for each picture or recording."""
        request.check()
        if request.prompt is not None:
            return len(request.prompt.split())
        return sum(len(m.content.split()) + 4 + 100 * len(m.media) for m in request.messages)

    def _events(self, script: Script, request: Request, cancel: threading.Event) -> Iterator[Event]:
        prompt = self.count(request)
        stats = Stats(prompt_tokens=prompt, context_used=prompt, context_size=self.context)
        if prompt >= self.context:
            words = f"The prompt has {prompt} tokens; the context holds {self.context}."
            raise DoesNotFit(words, tokens=prompt, size=self.context)
        said: list[str] = []
        thought: list[str] = []
        called: list[ToolCall] = []

        def end(reason: FinishReason) -> End:
            ids = tuple(range(len(said)))
            seed = 7 if request.seed is None else request.seed
            message = _message("".join(said), "".join(thought), called, ids)
            more = {"warning": script.warning, "thought_tokens": len(thought)}
            return End(reason, message, "".join(thought), ids, seed, stats, **more)

        for done in range(0, prompt + 1, max(prompt // 4, 1)):
            yield Prefill(done, prompt, 0)
            held(script.hold, str(done), cancel)
            if cancelled(cancel, script.prefill_delay):
                yield end("cancelled")
                return
        pieces = [(piece, True) for piece in tokens(script.thought)]
        pieces += [(piece, False) for piece in tokens(_still_to_say(script.text, request))]
        for i, (piece, thinking) in enumerate(pieces):
            if held(script.hold, piece.strip(), cancel):
                yield end("cancelled")
                return
            (thought if thinking else said).append(piece)
            yield TextDelta(piece, drafted=i % 2 == 1, thought=thinking)
            if script.mark:
                Path(script.mark).touch()
            stats = replace(
                stats,
                completion_tokens=stats.completion_tokens + 1,
                context_used=stats.context_used + 1,
            )
            if i % 2:
                stats = count(stats, 2)
                yield Progress(stats)
            if script.crash:
                raise RuntimeError(script.crash)
            if cancelled(cancel, script.delay):
                yield end("cancelled")
                return
            if stats.context_used >= self.context:
                yield end("context")
                return
            if stats.completion_tokens == request.max_tokens:
                yield end("length")
                return
        for index, (name, arguments) in enumerate(script.calls):
            id = f"call_{len(self.requests) - 1}{index}"
            call = ToolCall(id, name, arguments)
            yield ToolCallDelta(index, id, name)
            for piece in tokens(arguments):
                yield ToolCallDelta(index, arguments=piece)
                if cancelled(cancel, script.delay):
                    yield end("cancelled")
                    return
            called.append(call)
        yield end("stop")


def _message(text: str, thought: str, calls: list[ToolCall], ids: tuple[int, ...]) -> Message:
    if not calls:
        return Message.text("assistant", text, ids)
    said = [*([Thought(thought)] if thought else []), *([Text(text)] if text else [])]
    return Message("assistant", (*said, *calls), ids)


def _check_order(request: Request) -> None:
    """The user and the assistant take turns, and after calls come their results."""
    messages = [m for m in request.messages if m.role != "system"]
    for before, after in itertools.pairwise(messages):
        calls = [call.id for call in before.calls]
        results = [part.id for part in after.parts if isinstance(part, ToolResult)]
        assert sorted(calls) == sorted(results), (before, after)
        follows = {"user": ("assistant",), "assistant": ("user",), "tool": ("assistant", "user")}
        assert after.role in (("tool",) if calls else follows[before.role]), (before, after)
    assert not messages or messages[0].role == "user"


def _still_to_say(text: str, request: Request) -> str:
    """What is left of a reply of which the request already holds the beginning."""
    last = request.messages[-1] if request.messages else None
    return text.removeprefix(last.content) if last and last.role == "assistant" else text


def cancelled(cancel: threading.Event, seconds: float) -> bool:
    """Work for some time, or until cancelled; never `wait`, see `interrupts.stoppable`."""
    end = time.monotonic() + seconds
    while not cancel.is_set() and time.monotonic() < end:
        time.sleep(0.005)
    return cancel.is_set()


def held(folder: str, name: str, cancel: threading.Event = _NEVER) -> bool:
    """Wait while there is a file of that name; whether cancelled meanwhile."""
    while folder and Path(folder, name).is_file() and not cancel.is_set():
        time.sleep(0.005)
    return cancel.is_set()


def tokens(text: str) -> list[str]:
    """Words with the space before them, and line ends of their own."""
    return re.findall(r"\n|[^\S\n]*\S+|[^\S\n]+", text)


def count(stats: Stats, committed: int) -> Stats:
    """One round more, at draft length 3, that took 5 ms."""
    return replace(
        stats,
        rounds=stats.rounds + 1,
        decoded=stats.decoded + committed,
        drafted=stats.drafted + 3,
        accepted=stats.accepted + committed - 1,
        decode_seconds=stats.decode_seconds + 0.005,
        draft_seconds=stats.draft_seconds + 0.001,
        verify_seconds=stats.verify_seconds + 0.003,
        sampling_seconds=stats.sampling_seconds + 0.0005,
        plain_seconds=stats.plain_seconds + 0.0071,
        compared_seconds=stats.compared_seconds + 0.005,
        speedup_basis="measured",
        drafts="used",
        accepted_histogram=(0, stats.rounds + 1, 0, 0),
    )


class FakeEnvironment(Environment):
    """Everything the command line reaches for, in memory."""

    def __init__(
        self,
        engine: FakeEngine | None = None,
        history: Path | None = None,
        home: Path | None = None,
    ) -> None:
        self.engine = engine or FakeEngine()
        self._own = None if home else tempfile.TemporaryDirectory()
        self.home = home or Path(self._own.name if self._own else "")
        self.broken: dict[str, str] = {}  # models that cannot be loaded, and why
        self.loaded: list[tuple[PairFiles, LoadOptions]] = []
        self.used: list[str] = []
        self.pulled: list[str] = []
        self.load_steps: tuple[float, int] = (0.0, 4)
        self.hold = ""  # as that of a Script: "loading" is when half of a pair is loaded
        self.configured: dict[str, Any] = {}
        self.wrong: list[Finding] = []
        self._history = history

    def archive(self) -> Archive:
        return Archive(self.home / "chats.sqlite")

    def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
        if model == "31b" and model not in self.pulled:
            raise NotPulled("31b")
        if model == "nosuch":
            raise ModelNotAvailable(
                'There is no model called "nosuch".', "Known models: tiny, e2b."
            )
        return PairFiles(model or "tiny", BUILTIN_FOLDER / "tiny-target.gguf", drafter)

    def attach(
        self, files: PairFiles, options: Options, progress: Callable[[float], bool]
    ) -> FakeEngine:
        return self.load(files, options.part(LoadOptions), progress)

    def load(
        self, files: PairFiles, options: LoadOptions, progress: Callable[[float], bool]
    ) -> FakeEngine:
        self.loaded.append((files, options))
        seconds, steps = self.load_steps
        for i in range(steps):
            time.sleep(seconds / steps)
            if not progress((i + 1) / steps):
                raise Cancelled("Loading was stopped.")
            if i == steps // 2:
                held(self.hold, "loading")
        if files.name in self.broken:
            raise BadPair(self.broken[files.name], "Pull it again.")
        self.engine.closed = False
        self.engine.name = files.name
        self.engine.context = options.context or self.engine.context
        return self.engine

    def remember_used(self, name: str) -> None:
        self.used.append(name)

    def remember_speed(self, name: str, stats: Stats) -> None:
        pass

    def known_speedup(self, name: str) -> float | None:
        return None

    def is_built_in(self, name: str) -> bool:
        return name == "tiny"

    def pull(self, name: str | None, on_event: OnEvent, request: PullRequest | None = None) -> str:
        assert name is not None
        if name not in NAMES:
            raise ModelNotAvailable(f'There is no model called "{name}".')
        for verifying in (False, True):
            for done in range(0, 61, 20):
                on_event(PullProgress(f"MTP/{name}.gguf", done << 20, 60 << 20, verifying))
                held(self.hold, f"{'checking' if verifying else 'fetching'} {done}")
                time.sleep(self.load_steps[0] / 8)
        self.pulled.append(name)
        return name

    def history(self) -> Path | None:
        return self._history

    def settings(self) -> dict[str, Any]:
        return self.configured

    def remember_setting(self, name: str, value: Any) -> Path:
        self.configured[name] = value
        return Path("config.toml")

    def machine(self) -> Machine:
        return Machine(int(6e9), int(8e9), cores=4, disk_free=int(50e9))

    def memory_speed(self) -> float | None:
        return 20e9

    def findings(self, offline: bool) -> list[Finding]:
        return [Finding("hub", "not asked" if offline else "answers"), *self.wrong]

    def versions(self) -> tuple[str, str]:
        return "0.3.36", "0c1e570"


class SavedEnvironment(FakeEnvironment):
    """A world with a file of conversations."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def archive(self) -> Archive:
        return Archive(self.path)


class FakeConsole:
    """Somebody at the keyboard: `lines` are typed (or raised), `answers` given to questions, and
    `edited` is what comes back from the editor (None: nothing was changed)."""

    def __init__(self, *lines: str | type[BaseException]) -> None:
        self.lines = [*lines]
        self.answers: list[int | None] = []
        self.edited: str | None = None
        self.offered: list[str] = []
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        self.numbers: Sequence[int] | None = None  # of the choices asked for last
        self.shown = io.StringIO()
        self.history_on = True
        self.vi = False

    def read(self, default: str) -> str:
        self.offered.append(default)
        if not self.lines:
            raise EOFError
        line = self.lines.pop(0)
        if not isinstance(line, str):
            raise line
        self.shown.write(f">>> {line}\n")
        return line

    def edit(self, text: str) -> str | None:
        return self.edited

    def ask(
        self, question: str, choices: Sequence[str], numbers: Sequence[int] | None = None
    ) -> int | None:
        self.numbers = numbers
        self.asked.append((question, tuple(choices)))
        return self.answers.pop(0)


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str


def invoke(*arguments: str, stdin: bytes | None = b"", env: Environment | None = None) -> Outcome:
    """Run the command line in this process; `stdin` None is a closed standard input."""
    before = sys.stdin, sys.stdout, sys.stderr
    out, err = io.BytesIO(), io.BytesIO()
    sys.stdin = None if stdin is None else io.TextIOWrapper(io.BytesIO(stdin))
    sys.stdout, sys.stderr = io.TextIOWrapper(out), io.TextIOWrapper(err)
    try:
        status = main(arguments, env or FakeEnvironment())
        sys.stdout.flush()
        sys.stderr.flush()
        return Outcome(status, out.getvalue().decode(), err.getvalue().decode())
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


class BrokenEnvironment(FakeEnvironment):
    """Something nobody expected goes wrong while loading."""

    def load(self, *_: object) -> FakeEngine:
        raise ZeroDivisionError("division by zero")


def from_json(script: str) -> FakeEnvironment:
    """The world a pseudo-terminal test describes."""
    asked = json.loads(script)
    engine = FakeEngine([Script(**s) for s in asked.get("scripts", [{}])])
    engine.context = asked.get("context", engine.context)
    engine.plain_reason = asked.get("plain_reason", "")
    history, home = (Path(asked[key]) if key in asked else None for key in ("history", "home"))
    env = FakeEnvironment(engine, history, home)
    env.broken = asked.get("broken", {})
    env.load_steps = (asked.get("load", 0.0), 20)
    env.hold = asked.get("hold", "")
    return env


__all__ = [
    "BrokenEnvironment",
    "FakeConsole",
    "FakeEngine",
    "FakeEnvironment",
    "SavedEnvironment",
    "Script",
]

if __name__ == "__main__":
    sys.exit(main(env=from_json(os.environ.get("FAKE", "{}"))))
