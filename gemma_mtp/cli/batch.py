"""`run --batch`: many prompts of a file, and their answers in another."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from gemma_mtp.errors import ExitStatus, ModelNotAvailable, UsageError
from gemma_mtp.options import Options
from gemma_mtp.terminal.console import note
from gemma_mtp.text import counted, duration, number, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gemma_mtp.api import End, Event, PairFiles, PairInfo, Replies, Request
    from gemma_mtp.batch.answers import Answers
    from gemma_mtp.batch.lines import Line
    from gemma_mtp.batch.work import Tally
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.terminal.figures import Parts
    from gemma_mtp.terminal.render import Printer
    from gemma_mtp.terminal.screen import Screen

DASH = Path("-")  # standard input, or output
REFRESH = 0.5  # seconds between two looks at the line of progress
SAID_EVERY = 60.0  # seconds between two lines of progress where nothing can move

Batch = Annotated[
    Path | None,
    Option("--batch", metavar="FILE", help="Answer each line of this file; - is standard input."),
]
Out = Annotated[
    Path | None,
    Option("--out", metavar="FILE", help="Where answers of a batch go, and are taken up from."),
]
FailFast = Annotated[
    bool, Option("--fail-fast", help="End a batch at the first line without an answer.")
]
RetryFailed = Annotated[
    bool, Option("--retry-failed", help="Try the lines of a batch again that have no answer.")
]


@dataclass(frozen=True)
class Wanted:
    """What was asked for besides the model and the options; `out` None is standard output. `more`:
    fields of all requests whose lines do not have them."""

    batch: Path
    out: Path | None
    more: Mapping[str, Any]
    fail_fast: bool
    retry_failed: bool
    fail_on_length: bool
    quiet: bool


def file_of(out: Path | None) -> Path | None:
    """The file of answers; None for standard output, which - is as well."""
    return None if out == DASH else out


def answer_batch(env: Environment, model: str | None, options: Options, wanted: Wanted) -> int:
    """Answer all lines that have no answer yet; the status says how that went."""
    from gemma_mtp.batch.lines import read
    from gemma_mtp.batch.work import ForAll, Work
    from gemma_mtp.terminal.interrupts import stoppable
    from gemma_mtp.terminal.render import Printer

    lines = read(_raw(wanted.batch), _plain)
    if not lines:
        raise UsageError(f"There is no line in {_named(wanted.batch)}.")
    printer = Printer(answers=False)
    with closing(_answers(wanted, lines, printer.screen)) as answers:
        view = _View(printer, wanted)
        files = _files(env, model, options, lines, wanted.quiet)
        for_all = ForAll(options, files, **wanted.more)
        work = Work(lines, answers, for_all, view.show, fail_fast=wanted.fail_fast)
        view.begin(work.tally)
        if work.tally.done < work.tally.total:
            engine = _loaded(env, files, options, printer, model)
            with closing(engine), view.ending(), stoppable(ends=True) as cancel:
                view.stop = cancel.set
                work.run(engine, cancel)
        if printer.screen.left:
            return ExitStatus.OK
        if work.tally.done < work.tally.total:
            return cancel.status
    return _status(work.tally, wanted)


def _status(tally: Tally, wanted: Wanted) -> ExitStatus:
    if tally.failed:
        return ExitStatus.LINES_FAILED
    matters = wanted.fail_on_length or wanted.more.get("grammar") or tally.form_cut
    return ExitStatus.LENGTH if tally.cut and matters else ExitStatus.OK


def _loaded(
    env: Environment, files: PairFiles, options: Options, printer: Printer, model: str | None
) -> Replies:
    from gemma_mtp.chat.loading import introduce, load

    options = files.fill(options)
    engine = load(env, files, options, printer)
    if model:
        env.remember_used(files.called)
    introduce(env, engine, options, printer, named=True)
    return engine


def _plain(end: End, info: PairInfo, request: Request, seconds: float) -> dict[str, Any]:
    from gemma_mtp.cli.answer import as_json

    return as_json(end, info, 0.0, seconds, request.tools)


def _raw(path: Path) -> list[bytes]:
    """The lines of the file, or of standard input, which is read to its end before any is
    answered."""
    try:
        if path != DASH:
            return path.read_bytes().split(b"\n")
        data = b"" if sys.stdin is None else sys.stdin.buffer.read()
        return data.split(b"\n")
    except OSError as error:
        raise UsageError(f"{_named(path)} cannot be read: {error.strerror}.") from error


def _named(path: Path) -> str:
    return "standard input" if path == DASH else str(path)


def _answers(wanted: Wanted, lines: Sequence[Line], screen: Screen) -> Answers:
    """Where answers go, with those that are there. Raises UsageError for those of other lines."""
    from gemma_mtp.batch.answers import Kept, Printed, forget_failed

    if wanted.out is None:
        if not wanted.quiet:
            note("Answers go to standard output; only those of --out FILE can be taken up later.")
        return Printed(screen.write)
    with suppress(OSError):
        if os.path.samefile(wanted.batch, wanted.out):
            raise UsageError("--batch and --out name the same file.")
    if wanted.retry_failed:
        forget_failed(wanted.out)
    answers = Kept(wanted.out)
    known = {line.key for line in lines} | {*range(lines[-1].index + 1)}
    for key in answers.done.keys() - known:
        answers.close()
        which = f"line {key + 1}" if isinstance(key, int) else f'the custom_id "{key}"'
        where = _named(wanted.batch)
        raise UsageError(
            f"{wanted.out} has an answer to {which}, which is not in {where}.",
            "Give --out another name.",
        )
    return answers


def _files(
    env: Environment, model: str | None, options: Options, lines: Sequence[Line], quiet: bool
) -> PairFiles:
    """The pair: that of the command, which answers all lines, else the one that the lines name."""
    named = {line.model for line in lines if line.model}
    if model is None and len(named) > 1:
        raise UsageError(
            f"The lines name several models: {', '.join(sorted(named))}.",
            "A MODEL in the command answers all of them.",
        )
    try:
        first = next(iter(named), None)
        files = env.resolve_or_offer(model or first, options)
    except ModelNotAvailable as error:
        if model is None and named:
            error.hint = f"{error.hint} A MODEL in the command answers all lines.".strip()
        raise
    if quiet:
        return files
    if model is None and not named:
        note(env.who_answers(files.called))
    elif others := named - {model, files.name, files.called}:
        note(f"{files.called} answers, also where a line names {', '.join(sorted(others))}.")
    return files


WHY = "says why; --retry-failed tries them again"


class _View:
    """Says how far the batch is: in a line that moves on a terminal, else now and then."""

    def __init__(self, printer: Printer, wanted: Wanted) -> None:
        self._printer, self._quiet, self._out = printer, wanted.quiet, wanted.out
        self._next = time.monotonic() + (0.0 if printer.screen.live else SAID_EVERY)
        self.stop: Callable[[], None] = lambda: None

    def begin(self, tally: Tally) -> None:
        self._tally = tally
        if tally.done and not self._quiet:
            done = f"{tally.done} of {counted(tally.total, 'line')}"
            rest = "nothing is left to do" if tally.done == tally.total else "the others follow"
            failed = f" ({tally.failed} failed)" if tally.failed else ""
            note(f"{self._out} has {done}{failed}; {rest}.")
            if tally.failed and tally.done == tally.total:
                note(f"{self._out} {WHY}.")

    def show(self, event: Event | None) -> None:
        if self._printer.screen.left:
            self.stop()
        if self._quiet or time.monotonic() < self._next:
            return
        if self._printer.screen.live:
            self._next = time.monotonic() + REFRESH
            self._printer.progress(self._tally.done / self._tally.total, _parts(self._tally))
        elif event is None:
            self._next = time.monotonic() + SAID_EVERY
            self._printer.line(f"gemma-mtp: {', '.join(text for _, text in _parts(self._tally))}.")

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Say in the end, whatever it is, what became of the lines."""
        try:
            yield
        finally:
            self._printer.finish()
            if not self._printer.screen.left:
                self._end()

    def _end(self) -> None:
        tally, line = self._tally, self._printer.line
        if tally.lines and not self._quiet:
            line(f"gemma-mtp: {', '.join(text for _, text in _ended(tally))}.")
        if tally.failed and self._out and not self._quiet:
            line(f"gemma-mtp: {self._out} {WHY}.")
        if tally.ignored:
            names = " ".join(sorted(tally.ignored))
            line(f"gemma-mtp: passed over, since nobody here knows it: {names}.")
        if tally.done < tally.total:
            left = f"{counted(tally.total - tally.done, 'line')} left without an answer"
            how = (
                "the same command goes on with them" if self._out else "they have to be asked again"
            )
            line(f"gemma-mtp: {left}; {how}.")


def _parts(tally: Tally) -> Parts:
    parts = [(9, f"{tally.done} of {counted(tally.total, 'line')}")]
    if tally.seconds_left is not None:
        parts.append((8, f"about {duration(tally.seconds_left)} left"))
    return [*parts, *_figures(tally)]


def _ended(tally: Tally) -> Parts:
    parts = [(9, f"{tally.answered} of {counted(tally.total, 'line')} answered")]
    parts += [(8, f"{tally.failed} failed")] if tally.failed else []
    parts += [(7, f"{tally.cut} cut by a limit")] if tally.cut else []
    return [*parts, *_figures(tally)]


def _figures(tally: Tally) -> Parts:
    stats = tally.stats
    parts: Parts = []
    if stats.tokens_per_second:
        parts.append((4, f"{number(stats.tokens_per_second)} tok/s"))
    if stats.cached_tokens:
        share = percent(stats.cached_tokens / stats.prompt_tokens)
        parts.append((3, f"{share} of the prompts cached"))
    return parts
