"""`verify`: its options, progress while it compares, and the receipt.

Knows words, streams and Ctrl-C; what is compared and what follows from it is `verify/`'s.
"""

from __future__ import annotations

from functools import partial
from threading import Event as Flag
from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.cli.flags import Json, Model, takes_options
from gemma_mtp.cli.measuring import loaded, show
from gemma_mtp.errors import BadPair, ExitStatus, UsageError
from gemma_mtp.measure.draft_lengths import draft_setting, read_drafts
from gemma_mtp.options import Options
from gemma_mtp.settings import LoadOptions

if TYPE_CHECKING:
    from pathlib import Path

    from gemma_mtp.api import PairFiles
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.engine.engine import Engine
    from gemma_mtp.measure.verify.comparison import Comparison, Plan
    from gemma_mtp.measure.verify.report import Receipt
    from gemma_mtp.terminal.render import Printer


@takes_options(LoadOptions)
def verify(
    context: typer.Context,
    options: Options,
    model: Model = None,
    drafts: Annotated[
        str, typer.Option("--draft", metavar="LIST", help="Draft lengths to check.")
    ] = "3,auto",
    tokens: Annotated[int, typer.Option(help="Length of each reply.")] = 64,
    as_json: Json = False,
) -> int:
    """Check that drafting does not change the text here.

    Says how far that can be relied on. Ends with status 1 when the text changes by more than
    rounding explains.
    """
    from gemma_mtp.measure.verify import report

    if not 1 <= tokens <= 2**20:
        raise UsageError(f"--tokens must be at least 1, not {tokens}.")
    receipt = _receipt(context.obj, model, options, _drafting(drafts), tokens)
    show(report.as_json(receipt) if as_json else report.blocks(receipt))
    return ExitStatus.OK if receipt.ok else ExitStatus.ERROR


def _drafting(words: str) -> tuple[str, ...]:
    """The draft lengths of the list, without off: plain decoding is what they are set against."""
    drafts = tuple(word for word in read_drafts(words) if draft_setting(word) != 0)
    if not drafts:
        raise UsageError(
            f"--draft {words} drafts nothing, so there is nothing to check.", "Try --draft 3,auto."
        )
    return drafts


def _receipt(
    env: Environment,
    model: str | None,
    options: Options,
    drafts: tuple[str, ...],
    tokens: int,
) -> Receipt:
    """Load the pair and compare."""
    from gemma_mtp.measure.provenance import conditions
    from gemma_mtp.measure.verify.comparison import Plan, probe
    from gemma_mtp.measure.verify.report import Receipt
    from gemma_mtp.measure.verify.texts import texts
    from gemma_mtp.terminal.interrupts import stoppable
    from gemma_mtp.terminal.render import Printer

    printer = Printer()
    files = env.resolve_or_offer(model, options)
    with loaded(env, files, options, printer) as engine, stoppable() as cancel:
        if engine.info.plain_reason:
            raise BadPair(f"There is nothing to verify: {engine.info.plain_reason}.")
        plan = Plan(drafts, texts(engine, tokens), tokens)
        try:
            sums = _sums(files, printer)
            printer.screen.transient("comparing logits by width")
            probes = probe(engine, plan.widest, cancel)
            comparisons = _compare(engine, plan, cancel, printer)
        finally:
            printer.finish()
        loading = options.part(LoadOptions)
        about = conditions(files, engine.info, loading, plan.as_json(), env.versions(), sums)
        return Receipt(probes, comparisons, about)


def _sums(files: PairFiles, printer: Printer) -> dict[Path, str]:
    """The sha256 of each file, of a split model that of each part."""
    from gemma_mtp.files.checksum import sha256_of
    from gemma_mtp.models.gguf import read_header

    def told(name: str, size: int, done: int) -> None:
        printer.progress(done / max(size, 1), f"hashing {name}")

    return {
        path: sha256_of(path, partial(told, path.name, path.stat().st_size))
        for model in files.models
        for path in read_header(model).files
    }


def _compare(engine: Engine, plan: Plan, cancel: Flag, printer: Printer) -> list[Comparison]:
    from gemma_mtp.measure.verify.comparison import compare

    done = 0

    def written() -> None:
        nonlocal done
        done += 1
        printer.progress(
            done / plan.replies, f"reply {min(done + 1, plan.replies)} of {plan.replies}"
        )

    return list(compare(engine, plan, cancel, written))
