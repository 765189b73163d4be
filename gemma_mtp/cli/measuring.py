"""What the commands that measure have in common: `bench`, --shape and --report, and `verify`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Event as Flag
from typing import TYPE_CHECKING, Any, cast

from gemma_mtp.options import Options
from gemma_mtp.text import json_text, percent

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.engine.engine import Engine
    from gemma_mtp.terminal.render import Printer
    from gemma_mtp.terminal.tables import Block

WIDEST_LINE = 100  # columns; longer bars are no easier to read


@contextmanager
def loaded(
    env: Environment, files: PairFiles, options: Options, printer: Printer
) -> Iterator[Engine]:
    """The pair in this process, with the machine to itself."""
    from gemma_mtp.chat.loading import load

    with closing(load(env, files, options, printer, alone=True)) as engine:
        yield cast("Engine", engine)  # the real engine, of which a chat needs less


def showing(printer: Printer, cancel: Flag, words: str) -> Callable[[float], bool]:
    """Shows how much of something is done, and answers whether to go on."""

    def progress(fraction: float) -> bool:
        printer.progress(fraction, f"{words} {percent(fraction)}")
        return not cancel.is_set()

    return progress


def show(found: dict[str, Any] | Sequence[Block]) -> None:
    """Write results to standard output: an object as JSON, or texts and tables."""
    if isinstance(found, dict):
        print(json_text(found))
    else:
        from gemma_mtp.terminal import tables

        tables.show(*found, widest=WIDEST_LINE)
    sys.stdout.flush()
