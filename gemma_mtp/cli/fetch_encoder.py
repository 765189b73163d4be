"""Offers the encoder of a model that is to be shown a picture, or played a recording, and has none
here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gemma_mtp.errors import ModelNotAvailable
from gemma_mtp.terminal.console import agreed, can_ask, say
from gemma_mtp.text import byte_size

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.files.media import Kind
    from gemma_mtp.options import Options


def with_encoder(
    env: Environment, files: PairFiles, options: Options, kinds: Sequence[Kind]
) -> PairFiles:
    """The pair with an encoder of these kinds, which is pulled if somebody at a terminal or the
    options say so. Raises ModelNotAvailable where there is none; what a server elsewhere has, it
    says itself."""
    kind = next((kind for kind in kinds if files.lacks(kind.key)), None)
    if kind is None:
        return files
    problem, helps = kind.lacking(files.called), files.lacks(kind.key)
    pulls = helps == f"gemma-mtp pull {files.name}"
    if not pulls or not (options.yes or (can_ask() and _agreed(env, files, problem))):
        raise ModelNotAvailable(problem, helps)
    from gemma_mtp.cli.pull import show_pull

    show_pull(env, files.name)
    found = env.resolve(files.called, options.drafter)
    if found.lacks(kind.key):
        raise ModelNotAvailable(problem, "None was published with it, or it cannot be fetched now.")
    return found


def refuse_deaf(env: Environment, name: str, kinds: Sequence[Kind]) -> None:
    """Raise ModelNotAvailable for a model that is not here and would not hear: it takes long to
    pull."""
    from gemma_mtp.models.encoder_check import what_brings_hearing

    helps = what_brings_hearing(None, "", env.catalogue.find(name))
    for kind in kinds:
        if kind.key == "audio" and helps:
            raise ModelNotAvailable(kind.lacking(name), helps)


def _agreed(env: Environment, files: PairFiles, problem: str) -> bool:
    entry = env.store.find(files.name)
    size = entry.encoder.total if entry is not None and entry.encoder is not None else None
    say(problem)
    return agreed(f"Pull it now{f' ({byte_size(size)})' if size else ''}?", default=True)
