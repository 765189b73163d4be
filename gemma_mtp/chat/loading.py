"""Loads a pair with progress on the screen, and says what should be known about it.

Called at the start of a chat, by `/model`, and by the commands that need a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from gemma_mtp.api import LoadOptions, Replies, Stats
from gemma_mtp.terminal.interrupts import stoppable
from gemma_mtp.terminal.outcome import borrowed
from gemma_mtp.text import counted

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.chat.environment import Environment
    from gemma_mtp.options import Options
    from gemma_mtp.terminal.render import Printer

Pair = TypeVar("Pair", bound=Replies)
INEXACT = (
    "On this GPU exact mode does not hold: its last bits depend on how many tokens are checked at "
    "once, so the draft length may change the text. With --gpu-layers 0 it holds."
)
PAYS = 1.05  # a speedup; a smaller one would be given as 1.0


def load(
    env: Environment,
    files: PairFiles,
    options: Options,
    printer: Printer,
    *,
    alone: bool = False,
) -> Replies:
    """Load a pair with progress, and say what is wrong with it; Ctrl-C stops it.

    `alone`: in this process, as measuring needs it.
    """
    if alone:
        return loaded(partial(env.load, files, options.part(LoadOptions)), printer)
    return loaded(partial(env.attach, files, options), printer)


def loaded(begin: Callable[[Callable[[float], bool]], Pair], printer: Printer) -> Pair:
    """The pair that `begin` loads, which is given what takes note of its progress. Where a GPU has
    a part in it, what is where is said once, when it has been loaded."""
    most = 0.0
    with stoppable() as cancel:

        def progress(fraction: float) -> bool:
            nonlocal most
            most = max(most, fraction)
            printer.loading(fraction)
            return not cancel.is_set()

        printer.begin()
        try:
            engine = begin(progress)
        finally:
            printer.finish()
    info = engine.info
    for warning in info.warnings:
        printer.line(warning)
    if most > 0 and info.placement.gpus:
        words = info.placement.in_words(bool(info.drafter_parameters))
        printer.line(f"{words[:1].upper()}{words[1:]}.", dim=True)
    if most > 1 and (chosen := info.device_choice.in_words):
        printer.line(f"Fastest there: {chosen}.", dim=True)
    return engine


def introduce(
    env: Environment, engine: Replies, options: Options, printer: Printer, *, named: bool
) -> None:
    """What should be known about this pair before its first word; `named`: the user chose it."""
    info = engine.info
    if info.plain_reason and options.draft != 0:
        printer.line(f"No drafts, plain decoding only: {info.plain_reason}")
    if options.is_exact and not info.exact_holds:
        printer.line(INEXACT)
    if not named and env.is_built_in(info.name) and printer.screen.live:
        printer.line(
            "This is the built-in toy model; gemma-mtp pull e2b fetches a real one.", dim=True
        )


def what_mtp_does(env: Environment, engine: Replies, options: Options) -> str:
    """A line for the start of a chat: what drafts brought here so far, or what they are; "" for a
    pair without, of which `introduce` says more."""
    if engine.info.plain_reason or engine.info.server:
        return ""
    if options.draft == 0:
        return "Drafts are off; /draft auto uses them where they pay."
    if options.draft != "auto":
        return f"MTP: a drafter proposes {counted(options.draft, 'token')}, the model checks."
    gain = env.known_speedup(engine.info.name)
    if gain is None:
        return "MTP: a drafter proposes, the model checks; used if it pays."
    if gain < PAYS:
        whose = borrowed(engine.info.drafter_of, Stats())
        return f"Drafts have not paid here so far; auto keeps measuring. {whose}".rstrip()
    return f"Drafts made replies about {gain:.1f} times as fast here."
