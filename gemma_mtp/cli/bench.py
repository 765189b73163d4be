"""`bench`: its options, progress while it measures, and where the results go.

Knows words, streams and Ctrl-C; what is run and what follows from it is `bench/`'s.
"""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event as Flag
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.cli.flags import Json, Model, flag_of, takes_options
from gemma_mtp.cli.measuring import loaded, show, showing
from gemma_mtp.errors import ExitStatus, NotPulled, UsageError
from gemma_mtp.measure.draft_lengths import read_drafts
from gemma_mtp.options import SETTINGS, Options
from gemma_mtp.settings import LoadOptions

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.decoding.costs import Costs
    from gemma_mtp.engine.engine import Engine
    from gemma_mtp.measure.bench.report import Bench
    from gemma_mtp.measure.bench.runs import Plan, Run, Text
    from gemma_mtp.terminal.render import Printer

DRAFTS = "off,1,2,3,auto"
NOT_WITH_SHAPE = ("model", "prompt_file", "temperature", "synthetic_acceptance", "drafter")
"""Options that mean nothing where the weights are random."""
SHAPE_WHY = "whose weights are random and whose drafts are accepted at published rates"
NOT_WITH_REPORT = ("prompt_file", "temperature", "synthetic_acceptance", "costs")
REPORT_WHY = "which measures the same for everybody"


@takes_options(LoadOptions)
def bench(
    context: typer.Context,
    options: Options,
    model: Model = None,
    drafts: Annotated[
        str, typer.Option("--draft", metavar="LIST", help="Draft lengths to compare.")
    ] = DRAFTS,
    tokens: Annotated[
        int | None, typer.Option(help="Tokens of each run; else so many as take a minute.")
    ] = None,
    repeat: Annotated[int, typer.Option(help="Runs of each draft length.")] = 3,
    prompt_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ask this instead of three short prompts.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Randomness; 0 is none.")] = 1.0,
    synthetic_acceptance: Annotated[
        float | None,
        typer.Option(metavar="P", help="Accept each draft with this chance; no valid text."),
    ] = None,
    costs: Annotated[
        bool, typer.Option("--costs", help="Also time the verifying of 1 to 9 tokens at once.")
    ] = False,
    shape: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Measure a made-up pair of this size, such as e2b."),
    ] = None,
    report: Annotated[
        bool,
        typer.Option("--report", help="Figures to share, in five minutes; nothing private."),
    ] = False,
    as_json: Json = False,
) -> int:
    """Measure the speed of each draft length here, side by side.

    With --shape, before anything is downloaded: what drafting costs with a model of that size, and
    what it brings where drafts are right as often as others saw. Ctrl-C shows what there is.
    """
    from gemma_mtp.measure.bench.runs import TEXTS, Plan

    SETTINGS["temperature"].accept(temperature, "--temperature")
    _check(tokens, repeat, synthetic_acceptance)
    if report:
        interrupted = _report(context, model, shape, options, drafts, tokens, repeat, as_json)
    elif shape is not None:
        from gemma_mtp.cli.bench_shape import measure_shape

        given = _refuse_beside(context, "--shape", NOT_WITH_SHAPE, SHAPE_WHY)
        lengths = read_drafts(drafts) if "drafts" in given else ()
        plan = Plan(lengths, TEXTS, tokens or 0, repeat, 0.0)
        interrupted = measure_shape(context.obj, shape, options, plan, as_json)
    else:
        plan = Plan(
            read_drafts(drafts),
            TEXTS if prompt_file is None else (_text(prompt_file),),
            tokens or 0,
            repeat,
            temperature if synthetic_acceptance is None else 0.0,
            synthetic_acceptance,
        )
        interrupted = _measure(context.obj, model, options, plan, costs, as_json)
    return ExitStatus.INTERRUPTED if interrupted else ExitStatus.OK


def _report(
    context: typer.Context,
    model: str | None,
    shape: str | None,
    options: Options,
    drafts: str,
    tokens: int | None,
    repeat: int,
    as_json: bool,
) -> bool:
    """`bench --report`; whether it was stopped."""
    from gemma_mtp.cli.bench_report import measure_report
    from gemma_mtp.measure.bench.report_runs import PLAN

    if shape is not None:
        _refuse_beside(context, "--shape", NOT_WITH_SHAPE, SHAPE_WHY)
    given = _refuse_beside(context, "--report", NOT_WITH_REPORT, REPORT_WHY)
    lengths = read_drafts(drafts) if "drafts" in given else PLAN.drafts
    plan = replace(PLAN, drafts=lengths, tokens=tokens or 0, repeat=repeat)
    return measure_report(context.obj, model, shape, options, plan, as_json)


def _refuse_beside(
    context: typer.Context, option: str, refused: tuple[str, ...], why: str
) -> set[str]:
    """The names of what was typed. Raises UsageError for what has no meaning beside `option`."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    for name in (name for name in refused if name in given):
        what = "A model" if name == "model" else flag_of(name)
        raise UsageError(
            f"{what} means nothing beside {option}, {why}.", "Leave one of the two out."
        )
    return given


def _check(tokens: int | None, repeat: int, synthetic: float | None) -> None:
    if tokens is not None and not 8 <= tokens <= 2**20:
        raise UsageError(f"--tokens must be at least 8, not {tokens}.")
    if not 1 <= repeat <= 1000:
        raise UsageError(f"--repeat must be between 1 and 1000, not {repeat}.")
    if synthetic is not None and not (math.isfinite(synthetic) and 0 <= synthetic <= 1):
        raise UsageError(f"--synthetic-acceptance must be between 0 and 1, not {synthetic}.")


def _text(file: Path) -> Text:
    from gemma_mtp.chat.attachments import read_file
    from gemma_mtp.measure.bench.runs import Text

    prompt = read_file(file, partial(print, file=sys.stderr)).text.strip()
    if not prompt:
        raise UsageError(f"{file} is empty.")
    return Text(file.name, prompt)


def _measure(
    env: Environment,
    model: str | None,
    options: Options,
    plan: Plan,
    with_costs: bool,
    as_json: bool,
) -> bool:
    """Load the pair, run the plan, or as much of it as there was time for, and show the results;
    whether it was stopped."""
    from gemma_mtp.measure.bench import report
    from gemma_mtp.terminal.interrupts import stoppable
    from gemma_mtp.terminal.render import Printer

    printer = Printer()
    try:
        files = env.resolve_or_offer(model, options)
    except NotPulled as error:
        size = error.name.partition(":")[0]
        error.hint += (
            f"\n  gemma-mtp bench --shape {size} measures a made-up one, without a download."
        )
        raise
    with loaded(env, files, options, printer) as engine, stoppable(False) as late:
        if engine.info.plain_reason:
            printer.line(f"Plain decoding only is measured: {engine.info.plain_reason}")
            plan = replace(plan, drafts=("off",))
        found = _Found(plan)
        try:
            with stoppable() as cancel, suppress(KeyboardInterrupt):  # which a second Ctrl-C raises
                _run(engine, found, with_costs, cancel, printer)
        finally:
            printer.finish()
        bench = _bench(env, files, options, engine, found, cancel.is_set())
        show(report.as_json(bench) if as_json else report.blocks(bench))
        return cancel.is_set() or late.is_set()


@dataclass
class _Found:
    """What was measured so far; it is shown also when the rest was interrupted."""

    plan: Plan
    runs: list[Run] = field(default_factory=list)
    costs: Costs | None = None


def _run(engine: Engine, found: _Found, with_costs: bool, cancel: Flag, printer: Printer) -> None:
    from gemma_mtp.measure.bench.runs import affordable, measure, warm_up

    printer.screen.transient("warming up")
    plain = warm_up(engine, found.plan, cancel)
    if plain is None:
        return
    total = len(found.plan.order())
    if not found.plan.tokens:
        tokens = affordable(plain.tokens_per_second, total, engine.info.context_size)
        found.plan = replace(found.plan, tokens=tokens)
    printer.progress(0, f"run 1 of {total}")
    started = monotonic()
    for run in measure(engine, found.plan, cancel):
        found.runs.append(run)
        done = len(found.runs)
        left = (monotonic() - started) / done * (total - done)
        printer.progress(done / total, f"run {done + 1} of {total}, {left:.0f} s left")
    if with_costs and not cancel.is_set():
        timing = showing(printer, cancel, "timing widths")
        found.costs = engine.measure_costs(progress=timing)


def _bench(
    env: Environment,
    files: PairFiles,
    options: Options,
    engine: Engine,
    found: _Found,
    interrupted: bool,
) -> Bench:
    from gemma_mtp.measure.bench.report import Bench
    from gemma_mtp.measure.bench.results import Results
    from gemma_mtp.measure.provenance import conditions
    from gemma_mtp.resident.placing import without_drafter

    results = Results(found.plan.drafts, found.runs)
    loading = options.part(LoadOptions)
    about = conditions(files, engine.info, loading, found.plan.as_json(), env.versions())
    toy = env.is_built_in(files.name)
    whose, alone = engine.info.drafter_of, None
    if (placement := engine.info.placement).gpus:
        here = replace(env.machine(), memory_speed=env.memory_speed())
        alone = without_drafter(files, loading, placement, here)
    return Bench(found.plan, results, found.costs, about, interrupted, toy, whose, alone)
