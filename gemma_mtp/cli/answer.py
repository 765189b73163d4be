"""One answer: the pair is loaded, the reply written as it comes or as JSON, and a status given.

Used by `run`, and by `chat` where it is no conversation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gemma_mtp.api import (
    End,
    Event,
    Media,
    Message,
    PairInfo,
    Replies,
    Request,
    Tool,
    ToolCallDelta,
)
from gemma_mtp.chat.loading import introduce, load
from gemma_mtp.cli import tools
from gemma_mtp.cli.events import Lines
from gemma_mtp.conversations.attachments import message_of
from gemma_mtp.errors import DoesNotFit, ExitStatus, GemmaMtpError, UsageError
from gemma_mtp.files.media import kinds_in
from gemma_mtp.files.reading import piped_text
from gemma_mtp.models.larger_context import larger_context
from gemma_mtp.options import Options
from gemma_mtp.settings import View
from gemma_mtp.terminal.console import note
from gemma_mtp.terminal.figures import no_answer
from gemma_mtp.terminal.interrupts import stoppable
from gemma_mtp.terminal.render import Printer, write_reply
from gemma_mtp.terminal.screen import Screen
from gemma_mtp.text import json_text

if TYPE_CHECKING:
    from gemma_mtp.cli.continued import Continued
    from gemma_mtp.cli.environment import Environment


@dataclass(frozen=True)
class Report:
    """What `run` says besides the answer, or `json` and `jsonl` in its place; `quiet`: not which
    model it is. `model` is what it was called, and `load_seconds` went by before it."""

    stats: bool = False
    json: bool = False
    jsonl: bool = False
    fail_on_length: bool = False
    quiet: bool = False
    model: str = ""
    load_seconds: float = 0.0

    @property
    def is_data(self) -> bool:
        """Whether a program reads it."""
        return self.json or self.jsonl


def answer_once(
    env: Environment,
    model: str | None,
    prompt: str | None,
    options: Options,
    *,
    report: Report,
    no_stdin: bool,
    continued: Continued | None = None,
    more: Mapping[str, Any] = MappingProxyType({}),
    media: Sequence[Media] = (),
) -> int:
    """Load a pair and write its answer to the prompt, to what is piped in and to `media`, after
    what was said in a conversation that is `continued`. `more`: other fields of the request, such
    as a grammar or tools."""
    named = model or (continued.model if continued else None) or None
    files = env.resolve_or_offer(named, options, kinds_in(media))
    stdin = None if no_stdin else sys.stdin
    text = join_prompt(prompt, piped_text(stdin, note, prompted=prompt is not None))
    if not text and not media:
        words = f"run {model}" if model else "run"
        raise UsageError("The prompt is empty.", f'Try: gemma-mtp {words} "Why is the sky blue?"')
    if named is None and not report.quiet:
        note(env.who_answers(files.called))
    options = files.fill(options)
    printer = Printer(answers=not report.is_data, view=options.part(View))
    started = perf_counter()
    with _told(report, printer.screen), closing(load(env, files, options, printer)) as engine:
        report = replace(report, model=files.called, load_seconds=perf_counter() - started)
        if model:
            env.remember_used(files.called)
        introduce(env, engine, options, printer, named=True)  # which model it is was said
        if continued is not None:
            request = continued.request(message_of(media, text), files.called, options)
            with continued.saving():
                return answer(env, engine, request, printer, report, continued.ended)
        system = (Message.text("system", options.system),) if options.system else ()
        request = Request.of((*system, *files.opening, message_of(media, text)), options)
        request = replace(request, **more)
        return answer(env, engine, request, printer, report)


@contextmanager
def _told(report: Report, screen: Screen) -> Iterator[None]:
    """With --jsonl, an error is a line as well."""
    try:
        yield
    except GemmaMtpError as error:
        if report.jsonl:
            Lines(screen.write).failed(error)
        raise


def answer(
    env: Environment,
    engine: Replies,
    request: Request,
    printer: Printer,
    report: Report,
    ended: Callable[[End], None] = lambda end: None,
) -> int:
    """Write one answer to standard output; the status says how it ended, and `ended` is told."""
    started, lines = perf_counter(), Lines(printer.screen.write)
    calling = False
    try:
        with stoppable(ends=True) as cancel:

            def observe(event: Event) -> None:
                nonlocal calling
                calling = calling or isinstance(event, ToolCallDelta)
                if report.jsonl:
                    lines.show(event)
                if printer.screen.left:
                    cancel.set()

            end = write_reply(engine, request, printer, cancel, observe)
        ended(end)
        if report.is_data:
            seconds = perf_counter() - started
            found = as_json(end, engine.info, report.load_seconds, seconds, request.tools)
            found |= {"model": report.model} if report.model else {}
            if report.jsonl:
                lines.end(found)
            else:
                printer.screen.write(json_text(found) + "\n")
        else:
            for call in end.message.calls:
                printer.screen.write(json_text(tools.as_json(call)) + "\n")
    except DoesNotFit as error:
        hint = f"Shorten it; {_more_room(env, engine.info, error.tokens or 0)}."
        raise DoesNotFit(str(error), hint) from error
    if end.warning:
        printer.line(f"gemma-mtp: {end.warning}")
    if report.stats:
        printer.summary(end)
    if printer.screen.left:
        return ExitStatus.OK
    if end.reason == "cancelled":
        return cancel.status
    if not report.is_data:
        _say_why_nothing(env, engine.info, printer, request, end, calling)
    if end.reason == "context" and not report.stats and end.message.content:
        fill = f"{end.stats.context_used} of {end.stats.context_size} tokens"
        more = _more_room(env, engine.info)
        printer.line(f"gemma-mtp: the context is full ({fill}); {more}.")
    has_form = request.grammar or request.tool_choice.mode == "required"
    if end.reason in ("length", "context") and (report.fail_on_length or has_form):
        if has_form and (report.is_data or not no_answer(end)):
            by = "--max-tokens" if end.reason == "length" else "a full context"
            printer.line(f"gemma-mtp: the answer was cut by {by} before it was whole.")
        return ExitStatus.LENGTH
    return ExitStatus.OK


def _more_room(env: Environment, info: PairInfo, tokens: int = 0) -> str:
    """What holds `tokens`, or why nothing does, as a clause."""
    size = larger_context(env.machine, info, tokens)
    return size if isinstance(size, str) else f"--ctx {size} holds more"


def _say_why_nothing(
    env: Environment, info: PairInfo, printer: Printer, request: Request, end: End, calling: bool
) -> None:
    problem = no_answer(end, calling)
    if not problem:
        return
    helps = "Asking again may bring one"
    if end.reason == "length":
        helps = "A larger --max-tokens leaves room for one"
    elif end.reason == "context":
        helps = _more_room(env, info)
        helps = helps[0].upper() + helps[1:]
    thinks = end.thought and request.thinks and not calling
    printer.line(f"gemma-mtp: {problem}")
    printer.line(f"  {helps}{', and so may --think-budget 500' if thinks else ''}.")


def as_json(
    end: End, info: PairInfo, load: float, reply: float, declared: Sequence[Tool] = ()
) -> dict[str, Any]:
    """The object that `run --json` prints; seconds that loading and the whole reply took, and the
    tools that were declared."""
    times = {"load_seconds": round(load, 4), "total_seconds": round(load + reply, 4)}
    more = {
        "thought": end.thought,
        "thought_tokens": end.thought_tokens,
        "thought_cut": end.thought_cut,
        "warning": end.warning,
    }
    calls = [tools.as_json(call) for call in end.message.calls]
    called = bool(calls) and end.reason == "stop"
    return {
        "text": end.message.content,
        **({"tool_calls": calls} if declared else {}),
        **{name: value for name, value in more.items() if value},
        "model": info.name,
        "seed": end.seed,
        "finish_reason": "tool_calls" if called else end.reason,
        "prompt_tokens": end.stats.prompt_tokens,
        "completion_tokens": end.stats.completion_tokens,
        "stats": {**end.stats.as_json(), **times},
    }


def join_prompt(argument: str | None, piped: str) -> str:
    """The argument first, a blank line, then what was piped in."""
    return "\n\n".join(part for part in (argument or "", piped) if part.strip())
