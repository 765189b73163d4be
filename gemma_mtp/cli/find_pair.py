"""Finds the pair that a command is to load, and offers to pull one that is not here.

The environment asks, for the commands that load one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gemma_mtp.cli.doctor import warning
from gemma_mtp.cli.fetch_drafter import with_drafter
from gemma_mtp.cli.fetch_encoder import refuse_deaf, with_encoder
from gemma_mtp.errors import NotPulled
from gemma_mtp.options import Options
from gemma_mtp.terminal.console import agreed, can_ask, note, say
from gemma_mtp.text import byte_size

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.files.media import Kind


def resolve_or_offer(
    env: Environment, model: str | None, options: Options, kinds: Sequence[Kind] = ()
) -> PairFiles:
    """The pair to load, with what these kinds need; what is not here is pulled if somebody at a
    terminal or the options say so.

    Says what may go wrong: that another one is used than last time, or that memory is short.
    """
    files = _found(env, model, options, kinds)
    return with_encoder(env, files, options, kinds) if kinds else files


def _found(
    env: Environment, model: str | None, options: Options, kinds: Sequence[Kind]
) -> PairFiles:
    if trouble := env.trouble():
        note(trouble)
    if model is not None:
        say_what_is_meant(env, model)
    try:
        files = env.resolve(model, options.drafter)
    except NotPulled as error:
        refuse_deaf(env, error.name, kinds)
        if not (options.yes or (can_ask() and _offer(env, error.name))):
            raise
        from gemma_mtp.cli.pull import show_pull

        show_pull(env, error.name, goes_on=True)
        return env.resolve(model, options.drafter)
    if options.draft != 0 and (files.drafter is None or files.drafter_of):
        files = with_drafter(env, files, options)
    lost = "" if model else env.store.last_used_problem()
    if lost:
        note(f"{lost} {files.called} is used instead.")
    if files.note:
        note(files.note)
    if doubt := warning(env, files.name):
        note(doubt)
    return files


def say_what_is_meant(env: Environment, typed: str) -> None:
    """A line where a name means something else than the very thing it names."""
    if said := env.store.meant(typed).note:
        note(said)


def _offer(env: Environment, name: str) -> bool:
    """Whether to pull a model now; Enter means yes unless it does not fit."""
    entry, doubt = env.catalogue.find(name), warning(env, name)
    if doubt:
        say(doubt)
    size = f" ({byte_size(entry.bytes)})" if entry is not None and entry.bytes else ""
    question = f"{name} is not on this machine. Pull it now{size}?"
    return agreed(question, default=not doubt)


def name_lost_links() -> None:
    """Models on a disk that is not connected look as if they were not there."""
    from gemma_mtp import paths
    from gemma_mtp.files import places

    for lost in places.dangling_below(paths.models_dir()):
        note(f"{lost}.")
