"""One request, one reply: written out as it comes, stoppable with Ctrl-C, counted at the end.

`run` is one of these, a chat many. Knows neither how a pair is found and loaded nor who reads the
reply at the other end of the pipe.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from types import FrameType
from typing import Any, Protocol, TextIO

from gemma_mtp.api import End, Event, Message, Request
from gemma_mtp.arguments import clean
from gemma_mtp.errors import DoesNotFit, ExitStatus, GemmaMtpError, UsageError
from gemma_mtp.files.reading import Say, is_begun, read_stream
from gemma_mtp.options import PairInfo
from gemma_mtp.terminal.output import json_text
from gemma_mtp.terminal.render import Printer

WAITING = "Waiting for standard input to end; with --no-stdin it is not read."
LEFT_ALONE = "Standard input was read in part by something else and is left alone (--no-stdin)."


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
            text = json_text(as_json(end, engine.info, report.load_seconds, seconds))
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
    if not report.json:
        _say_why_nothing(printer, request, end)
    if end.reason == "context" and not report.stats and end.message.content:
        fill = f"{end.stats.context_used} of {end.stats.context_size} tokens"
        printer.line(f"gemma-mtp: the context is full ({fill}); a larger --ctx holds more.")
    if end.reason in ("length", "context") and report.fail_on_length:
        return ExitStatus.LENGTH
    return ExitStatus.OK


def no_answer(end: End) -> str:
    """A sentence about a reply without a word of an answer, and why; "" if there is one, or if it
    was stopped on purpose."""
    if end.message.content or end.reason == "cancelled":
        return ""
    if end.reason == "stop":
        why = "the model ended its reply with its thought" if end.thought else "the reply was empty"
    else:
        limit = "the context was full" if end.reason == "context" else "the token limit came"
        while_ = "while the model was still thinking" if end.thought else "before its first word"
        why = f"{limit} {while_}"
    return f"There is no answer: {why}."


def _say_why_nothing(printer: Printer, request: Request, end: End) -> None:
    problem = no_answer(end)
    if not problem:
        return
    more = {
        "length": "A larger --max-tokens leaves room for one",
        "context": "A larger --ctx leaves room for one",
    }
    helps = more.get(end.reason, "Asking again may bring one")
    thinks = end.thought and request.think
    printer.line(f"gemma-mtp: {problem}")
    printer.line(f"  {helps}{', and so may leaving out --think' if thinks else ''}.")


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


def piped_text(stream: TextIO | None, say: Say, *, prompted: bool) -> str:
    """What was piped in; "" when standard input is a terminal or closed. Bytes that are no UTF-8
    are replaced; a zero byte means that it is no text at all.

    `prompted`: there is a prompt already, so that a file may be meant for others, who have begun to
    read it; then it is left to them. `say` gets a sentence about that, and about a long wait.
    Raises UsageError for what is no text or too large.
    """
    if stream is None or stream.closed or stream.isatty():
        return ""
    if prompted and is_begun(stream.buffer):
        say(LEFT_ALONE)
        return ""
    try:
        data = read_stream(stream.buffer, "What was piped in", lambda: say(WAITING))
    except OSError:  # a descriptor that was closed or cannot be read
        return ""
    text = data.decode("utf-8", "replace")
    if "\0" in text:
        raise UsageError(
            "What was piped in is not text: it holds zero bytes.", "Only UTF-8 text can be sent."
        )
    return clean(text).strip("\n")


def join_prompt(argument: str | None, piped: str) -> str:
    """The argument first, a blank line, then what was piped in."""
    return "\n\n".join(part for part in (argument or "", piped) if part.strip())
