"""Answers the lines of a batch, one after the other in the order of the file.

Called by `run --batch`. The order is the file's since the engine keeps what prompts have in common,
also of several groups of lines that take turns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gemma_mtp.api import End, Event, Grammar, PairFiles, Replies, Request, Stats, Tool, ToolChoice
from gemma_mtp.batch.answers import Answers, Verdict, verdict
from gemma_mtp.batch.lines import Line
from gemma_mtp.errors import DoesNotFit, GemmaMtpError, UsageError
from gemma_mtp.options import Options
from gemma_mtp.server.errors import Refused
from gemma_mtp.server.tools import AUTO

PAUSE = 1.0  # seconds before a line is tried again of which something else than the line failed


@dataclass(frozen=True)
class ForAll:
    """What holds for all lines that do not say it themselves: the options, what comes with these
    files, the form of the answer, and tools."""

    options: Options
    files: PairFiles | None = None
    grammar: Grammar | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = AUTO

    def request(self, line: Line) -> tuple[Request, tuple[str, ...]]:
        """What the engine is asked for, and fields of the line that mean nothing here. Raises
        UsageError and Refused."""
        asked = line.asked()
        asked = replace(asked, grammar=asked.grammar or self.grammar)
        if not asked.tools:
            asked = replace(asked, tools=self.tools, tool_choice=self.tool_choice)
        options = asked.options(self.options)
        options = self.files.fill(options) if self.files else options
        opening = self.files.opening if self.files else ()
        return asked.request(options, opening), asked.ignored


@dataclass
class Tally:
    """How far a batch is. `answered`, `failed` and `cut` are of all its lines, also of those that
    were answered before this start; `lines`, `seconds` and `stats` of this one. A cut answer is an
    answer, and so counted twice; `form_cut` says that one of these had a form to keep."""

    total: int
    answered: int = 0
    failed: int = 0
    cut: int = 0
    form_cut: bool = False
    lines: int = 0
    seconds: float = 0.0
    stats: Stats = field(default_factory=Stats)
    ignored: set[str] = field(default_factory=set)

    def count(self, found: Verdict) -> None:
        self.answered += found != "failed"
        self.failed += found == "failed"
        self.cut += found == "cut"

    @property
    def done(self) -> int:
        """Lines that have been dealt with."""
        return self.answered + self.failed

    @property
    def seconds_left(self) -> float | None:
        """What the rest will take, going by this start; None before its first line."""
        return (self.total - self.done) * self.seconds / self.lines if self.lines else None


class Work:
    """Goes through the lines; `observe` is told each event of a reply, and None when a line is
    done."""

    def __init__(
        self,
        lines: Sequence[Line],
        answers: Answers,
        for_all: ForAll,
        observe: Callable[[Event | None], None],
        *,
        fail_fast: bool = False,
    ) -> None:
        self._todo = [line for line in lines if line.key not in answers.done]
        self._answers, self._for_all, self._observe = answers, for_all, observe
        self._fail_fast = fail_fast
        self.tally = Tally(len(lines))
        for found in answers.done.values():
            self.tally.count(found)

    def run(self, engine: Replies, cancel: threading.Event) -> None:
        """Answer all, until `cancel` is set.

        What is wrong with a line becomes its answer. Where something else failed twice, another
        line shows whether it was the line after all; if that fails as well, neither gets an
        answer. Raises the error then, and with `fail_fast` the first one.
        """
        doubt: list[tuple[Line, GemmaMtpError]] = []
        for line in self._todo:
            if cancel.is_set():
                return
            try:
                answer = self._answer(engine, line, cancel)
            except GemmaMtpError as error:
                if self._fail_fast:
                    error.args = (f"Line {line.index + 1}: {error}",)
                    raise
                if not _is_of_the_line(error):
                    if doubt:
                        raise
                    doubt.append((line, error))
                    continue
                answer = line.failed(error)
            if answer is None:
                return
            if verdict(answer) != "failed":
                while doubt:
                    other, why = doubt.pop()
                    self._add(other.failed(why))
            self._add(answer)
        if doubt:
            raise doubt[0][1]

    def _add(self, answer: dict[str, Any]) -> None:
        self._answers.add(answer)
        self.tally.count(verdict(answer))
        self.tally.lines += 1
        self._observe(None)

    def _answer(
        self, engine: Replies, line: Line, cancel: threading.Event
    ) -> dict[str, Any] | None:
        """The line with the answer; None where it was stopped. Raises GemmaMtpError."""
        began = time.perf_counter()
        request, ignored = self._for_all.request(line)
        self.tally.ignored.update(ignored)
        try:
            end = self._end(engine, request, cancel)
        except DoesNotFit as error:
            if error.tokens:
                error.hint = "Shorten it, or give all lines more room by a larger --ctx."
            raise
        if end.reason == "cancelled":
            return None
        seconds = time.perf_counter() - began
        self.tally.seconds += seconds
        self.tally.stats += end.stats
        files = self._for_all.files
        info = replace(engine.info, name=files.called) if files else engine.info
        answer = line.answered(end, info, request, seconds)
        has_form = request.grammar or request.tool_choice.mode == "required"
        self.tally.form_cut |= bool(has_form) and verdict(answer) == "cut"
        return answer

    def _end(self, engine: Replies, request: Request, cancel: threading.Event) -> End:
        """The end of a reply, which is asked for twice where it was not the request that failed."""
        try:
            return self._once(engine, request, cancel)
        except GemmaMtpError as error:
            if _is_of_the_line(error) or cancel.is_set():
                raise
        time.sleep(PAUSE)
        return self._once(engine, request, cancel)

    def _once(self, engine: Replies, request: Request, cancel: threading.Event) -> End:
        end: Event | None = None
        for end in engine.reply(request, cancel):
            self._observe(end)
        assert isinstance(end, End), "a reply ends with it"
        return end


def _is_of_the_line(error: GemmaMtpError) -> bool:
    """Whether other lines may do better."""
    return isinstance(error, UsageError | Refused) or (
        isinstance(error, DoesNotFit) and bool(error.tokens)
    )
