"""`bench --shape`: a pair of a real model's shape is made, measured and removed.

Looks first whether memory and disk suffice. Knows words, streams and Ctrl-C; what is measured and
what follows from it is `measure/bench/`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from threading import Event as Flag
from time import monotonic
from typing import TYPE_CHECKING

from gemma_mtp.cli.measuring import loaded, show, showing
from gemma_mtp.errors import BadPair, DoesNotFit, ModelNotAvailable
from gemma_mtp.options import Options
from gemma_mtp.settings import LoadOptions
from gemma_mtp.text import byte_size

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.engine.engine import Engine
    from gemma_mtp.measure.bench.runs import Plan
    from gemma_mtp.measure.bench.shape import ShapeBench
    from gemma_mtp.models.catalogue import Entry
    from gemma_mtp.terminal.render import Printer

CONTEXT = 2048  # tokens; far more than the replies need, and costs hardly depend on it


def measure_shape(env: Environment, name: str, options: Options, plan: Plan, as_json: bool) -> bool:
    """Make the pair, measure, remove it, and show the results; whether it was stopped."""
    from gemma_mtp.measure.bench import shape_report
    from gemma_mtp.measure.bench.shape import ShapeBench
    from gemma_mtp.terminal.interrupts import stoppable
    from gemma_mtp.terminal.render import Printer

    entry = shape_entry(env, name)
    options = options if options.context else options.with_values(context=CONTEXT)
    printer = Printer()
    assert entry.shape is not None
    bench = ShapeBench(entry.size, entry.shape, plan)
    with stoppable(False) as stop, made_pair(env, entry, options, printer, stop) as (files, engine):
        _measure(engine, bench, printer)
        _describe(env, files, options, engine, bench)
    bench.interrupted = bench.interrupted or stop.is_set()
    show(shape_report.as_json(bench) if as_json else shape_report.blocks(bench))
    return bench.interrupted


@contextmanager
def made_pair(
    env: Environment, entry: Entry, options: Options, printer: Printer, stop: Flag
) -> Iterator[tuple[PairFiles, Engine]]:
    """A pair of this shape, made and loaded, and removed afterwards; `stop` ends the making."""
    from gemma_mtp.models.temporary_pair import temporary_pair

    _require_memory(env, entry)
    printer.line(_announced(entry))
    writing = showing(printer, stop, "making the pair")
    with (
        temporary_pair(entry, writing) as files,
        loaded(env, files, options, printer) as engine,
    ):
        if engine.info.plain_reason:
            raise BadPair(f"Drafting cannot be measured: {engine.info.plain_reason}.")
        yield files, engine


def shape_entry(env: Environment, name: str) -> Entry:
    """The model whose shape is meant."""
    entry = env.catalogue.find(name)
    if entry is not None and entry.shape is not None and entry.drafter_shape is not None:
        return entry
    sizes = dict.fromkeys(known.size for known in env.catalogue.entries if known.drafter_shape)
    raise ModelNotAvailable(
        f'There is no shape of "{name}" to measure.', f"Those known: {', '.join(sizes)}."
    )


def _require_memory(env: Environment, entry: Entry) -> None:
    """Raise DoesNotFit where the machine has too little memory, with a size that fits."""
    from gemma_mtp.models.fit import Verdict, judge, too_large

    machine = env.machine()
    problem = too_large(entry, machine)
    if not problem:
        return
    known = [other for other in env.catalogue.entries if other.default and other.drafter_shape]
    fits = [judge(other, machine, here=True) for other in known]
    smaller = [fit.entry.size for fit in fits if fit and fit.verdict != Verdict.NO]
    hint = f"gemma-mtp bench --shape {smaller[-1]} fits." if smaller else "Close other programs."
    raise DoesNotFit(problem, hint)


def _announced(entry: Entry) -> str:
    from gemma_mtp.models.random_pair import random_pair

    size = byte_size(sum(file.bytes_on_disk for file in random_pair(entry)))
    return (
        f"A pair of the shape of {entry.title} with random weights is made and measured: {size} on "
        "the disk, removed afterwards. This takes some minutes; Ctrl-C shows what there is."
    )


def _measure(engine: Engine, bench: ShapeBench, printer: Printer) -> None:
    """All there is time for, into `bench`."""
    from gemma_mtp.measure.bench.runs import warm_up
    from gemma_mtp.measure.bench.shape import run
    from gemma_mtp.terminal.interrupts import stoppable

    try:
        with stoppable() as cancel, suppress(KeyboardInterrupt):  # which a second Ctrl-C raises
            printer.screen.transient("warming up")
            # Costs are then timed behind this short reply, and not behind a longer text.
            if warm_up(engine, replace(bench.plan, drafts=("off",)), cancel):
                timing = showing(printer, cancel, "timing rounds")
                bench.costs = engine.measure_costs(progress=timing)
            if not cancel.is_set():
                started = monotonic()
                for done, total in run(engine, bench, cancel):
                    left = (monotonic() - started) / done * (total - done)
                    printer.progress(done / total, f"run {done} of {total}, {left:.0f} s left")
        bench.interrupted = cancel.is_set()
    finally:
        printer.finish()


def _describe(
    env: Environment, files: PairFiles, options: Options, engine: Engine, bench: ShapeBench
) -> None:
    from gemma_mtp.measure.provenance import conditions

    loading = options.part(LoadOptions)
    plan = replace(bench.plan, drafts=tuple(d for at in bench.rates for d in at.plan.drafts))
    about = conditions(files, engine.info, loading, plan.as_json(), env.versions())
    bench.conditions = about
