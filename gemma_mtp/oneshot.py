"""One request, one reply: written out as it comes, stoppable with Ctrl-C, counted at the end.

`run` is one of these, a chat many. Knows neither how a pair is found and loaded nor who reads the
reply at the other end of the pipe.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from types import FrameType
from typing import Any, Protocol, TextIO

from gemma_mtp.arguments import clean
from gemma_mtp.errors import DoesNotFit, ExitStatus, GemmaMtpError, UsageError
from gemma_mtp.events import End, Event, Message, Request
from gemma_mtp.options import PairInfo
from gemma_mtp.render import Printer


class Engine(Protocol):
    """What a reply needs of a loaded pair."""

    @property
    def info(self) -> PairInfo: ...

    def reply(self, request: Request, cancel: threading.Event) -> Iterator[Event]: ...

    def prompt(self, request: Request) -> list[int]: ...

    def prepare(self, request: Request | None) -> None: ...

    def close(self) -> None: ...


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets; a second Ctrl-C raises `KeyboardInterrupt` as usual, and those
    after it nothing more, so that whoever catches it can put things in order.

    Ask it `is_set()`: to `wait()` for it on the main thread, where the handler runs, can deadlock.
    """
    cancel = threading.Event()
    pressed = 0
    if threading.current_thread() is not threading.main_thread():
        yield cancel
        return

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed += 1
        cancel.set()
        if pressed == 2:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def breakable() -> Iterator[None]:
    """For a question while something is `stoppable`: Ctrl-C raises `KeyboardInterrupt`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def write_reply(
    engine: Engine,
    request: Request,
    printer: Printer,
    cancel: threading.Event,
    observe: Callable[[Event], None] = lambda event: None,
) -> End:
    """Show every event of a reply and return the last one; `observe` gets each before it shows."""
    end: End | None = None
    printer.begin()
    events = engine.reply(request, cancel)
    try:
        for event in events:
            if isinstance(event, End):
                end = event
            observe(event)
            printer.show(event)
    finally:
        close = getattr(events, "close", None)
        if close:  # gives the engine the chance to roll back on every way out
            close()
        printer.finish()
    if end is None:
        raise GemmaMtpError("The engine ended the reply without a result.")
    return end


@dataclass(frozen=True)
class Report:
    """What `run` says besides the answer; `load_seconds` went by before it."""

    stats: bool = False
    json: bool = False
    fail_on_length: bool = False
    load_seconds: float = 0.0


def answer(engine: Engine, request: Request, printer: Printer, report: Report) -> ExitStatus:
    """Write one answer to standard output; the status says how it ended."""
    started = perf_counter()
    try:
        with stoppable() as cancel:
            end = write_reply(engine, request, printer, cancel)
        if report.json:
            seconds = perf_counter() - started
            found = as_json(end, engine.info, report.load_seconds, seconds)
            text = json.dumps(found, ensure_ascii=False)
            printer.screen.write(text + "\n")
    except BrokenPipeError:  # the reader has left; all was flushed, so nothing fails at exit
        return ExitStatus.ERROR
    except DoesNotFit as error:
        raise DoesNotFit(str(error), "Shorten it, or use a larger --ctx.") from error
    if end.warning:
        printer.line(f"gemma-mtp: {end.warning}")
    if report.stats:
        printer.summary(end)
    if end.reason == "cancelled":
        return ExitStatus.INTERRUPTED
    if end.reason == "context" and not report.stats:
        fill = f"{end.stats.context_used} of {end.stats.context_size} tokens"
        printer.line(f"gemma-mtp: the context is full ({fill}); a larger --ctx holds more.")
    if end.reason in ("length", "context") and report.fail_on_length:
        return ExitStatus.LENGTH
    return ExitStatus.OK


def as_json(end: End, info: PairInfo, load: float, reply: float) -> dict[str, Any]:
    """The object that `run --json` prints; seconds that loading and the whole reply took."""
    times = {"load_seconds": round(load, 4), "total_seconds": round(load + reply, 4)}
    more = {"thought": end.thought, "warning": end.warning}
    return {
        "text": end.message.content,
        **{name: text for name, text in more.items() if text},
        "model": info.name,
        "seed": end.seed,
        "finish_reason": end.reason,
        "prompt_tokens": end.stats.prompt_tokens,
        "completion_tokens": end.stats.completion_tokens,
        "stats": {**end.stats.as_json(), **times},
    }


def with_prompt(messages: tuple[Message, ...], prompt: str) -> tuple[Message, ...]:
    """The conversation with one more message of the user."""
    return (*messages, Message("user", prompt))


def piped_text(stream: TextIO | None) -> str:
    """What was piped in; "" when standard input is a terminal or closed. Bytes that are no UTF-8
    are replaced; a zero byte means that it is no text at all."""
    if stream is None or stream.closed or stream.isatty():
        return ""
    try:
        raw = getattr(stream, "buffer", None)
        text = raw.read().decode("utf-8", "replace") if raw else stream.read()
    except OSError:  # a descriptor that was closed or cannot be read
        return ""
    if "\0" in text:
        raise UsageError(
            "What was piped in is not text: it holds zero bytes.", "Only UTF-8 text can be sent."
        )
    return clean(text).strip("\n")


def join_prompt(argument: str | None, piped: str) -> str:
    """The argument first, a blank line, then what was piped in."""
    return "\n\n".join(part for part in (argument or "", piped) if part.strip())
