"""Loads a pair with progress on the screen, and says what should be known about it.

Called at the start of a chat, by `/model`, and by the commands that need a pair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemma_mtp.api import LoadOptions
from gemma_mtp.terminal.interrupts import stoppable

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles, Replies
    from gemma_mtp.chat.environment import Environment
    from gemma_mtp.settings import Options
    from gemma_mtp.terminal.render import Printer


def load(env: Environment, files: PairFiles, options: Options, printer: Printer) -> Replies:
    """Load a pair with progress, and say what is wrong with it; Ctrl-C stops it."""
    with stoppable() as cancel:

        def progress(fraction: float) -> bool:
            printer.loading(fraction)
            return not cancel.is_set()

        printer.begin()
        try:
            engine = env.load(files, options.part(LoadOptions), progress)
        finally:
            printer.finish()
    for warning in engine.info.warnings:
        printer.line(warning)
    return engine


def introduce(
    env: Environment, engine: Replies, options: Options, printer: Printer, *, named: bool
) -> None:
    """What should be known about this pair before its first word; `named`: the user chose it."""
    info = engine.info
    if info.plain_reason and options.draft != 0:
        printer.line(f"No speculation, plain decoding only: {info.plain_reason}")
    if not named and env.is_built_in(info.name) and printer.screen.live:
        printer.line(
            "This is the built-in toy model; gemma-mtp pull e2b fetches a real one.", dim=True
        )
