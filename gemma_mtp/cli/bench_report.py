"""`bench --report`: figures of this machine to share, in a few minutes.

Knows words, streams and Ctrl-C; what is measured is `measure/bench/report_runs`, what is shown
`report_page`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from gemma_mtp.cli.bench_shape import CONTEXT, made_pair, shape_entry
from gemma_mtp.cli.measuring import loaded
from gemma_mtp.options import Options
from gemma_mtp.settings import LoadOptions
from gemma_mtp.text import json_text

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.engine.engine import Engine
    from gemma_mtp.measure.bench.limit import Limit
    from gemma_mtp.measure.bench.runs import Plan
    from gemma_mtp.terminal.render import Printer

NOTHING_PRIVATE = (
    "It says which hardware, software and model was measured, and figures; no name of a user, a "
    "host, a folder or a file is in it, and no text. Read it, and share it as it is."
)


def measure_report(
    env: Environment, model: str | None, shape: str | None, options: Options, plan: Plan, json: bool
) -> bool:
    """Measure a pair, or one of this shape, and print the page; whether Ctrl-C ended it."""
    from gemma_mtp.measure.bench import report_page
    from gemma_mtp.measure.bench.limit import Limit as TimeLimit
    from gemma_mtp.measure.bench.report_runs import ACCEPTANCES, MINUTES, Measured, measure_pair
    from gemma_mtp.terminal.interrupts import stoppable
    from gemma_mtp.terminal.render import Printer

    printer = Printer()
    options = options if options.context else options.with_values(context=CONTEXT)
    machine = report_page.about_machine(env.machine(), env.versions())
    with _pair(env, model, shape, options, printer) as (files, engine, name):
        loading = options.part(LoadOptions)
        measured = Measured(report_page.about_pair(files, engine.info, loading, name))
        if engine.info.plain_reason:  # which may name files
            printer.line(f"Plain decoding only is measured: {engine.info.plain_reason}")
            plan = replace(plan, drafts=("off",))
            measured.skipped.append("There was no drafter that can be used.")
        # Random weights get no draft right.
        chances = ACCEPTANCES if shape is not None else (*ACCEPTANCES, None)
        try:
            with stoppable() as cancel, suppress(KeyboardInterrupt):  # which a second one raises
                limit = TimeLimit(60 * MINUTES, cancel)
                measure_pair(engine, measured, plan, chances, limit, _shown(printer, limit))
        finally:
            printer.finish()
    found = report_page.as_json(machine, [measured])
    print(json_text(found) if json else report_page.page(machine, [measured]), flush=True)
    printer.line(NOTHING_PRIVATE)
    return cancel.is_set()


@contextmanager
def _pair(
    env: Environment, model: str | None, shape: str | None, options: Options, printer: Printer
) -> Iterator[tuple[PairFiles, Engine, str]]:
    """The pair to measure, loaded, and its name."""
    from gemma_mtp.terminal.interrupts import stoppable

    if shape is not None:
        entry = shape_entry(env, shape)
        with (
            stoppable(False) as stop,
            made_pair(env, entry, options, printer, stop) as (files, engine),
        ):
            yield files, engine, entry.name
        return
    files = env.resolve_or_offer(model, options)
    with loaded(env, files, options, printer) as engine:
        yield files, engine, files.name


def _shown(printer: Printer, limit: Limit) -> Callable[[float], None]:
    def show(share: float) -> None:
        printer.progress(share, f"measuring, at most {limit.left:.0f} s left")

    return show
